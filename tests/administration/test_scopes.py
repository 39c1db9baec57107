"""What a scope covers: the table in `reporting.scope`."""

import pytest
from sqlalchemy import ColumnElement, column

from reporting.scope import EVERYTHING, Part, Scope, within

SRO = Scope((Part("SRO", None, frozenset({"lima"})),))
SRO_AT_LIMA = Scope((Part("SRO", "lima"),))
OTHER = Scope((Part("ABC", None, frozenset({"quito"})),))
NOTHING = Scope(())


@pytest.mark.parametrize(
    ("scope", "lima", "quito", "whole", "seen", "site"),
    [
        (EVERYTHING, True, True, True, True, True),
        (SRO, True, True, True, True, True),
        (SRO_AT_LIMA, True, False, False, True, True),
        (OTHER, False, False, False, False, False),
        (NOTHING, False, False, False, False, False),
    ],
)
def test_scope_covers_what_its_parts_cover(
    scope: Scope, *, lima: bool, quito: bool, whole: bool, seen: bool, site: bool
) -> None:
    assert scope.covers("SRO", "lima") is lima
    assert scope.covers("SRO", "quito") is quito
    assert scope.covers("SRO", None) is whole
    assert scope.sees_study("SRO") is seen
    assert scope.covers_site("lima") is site


def test_condition_of_a_scope_names_its_studies_and_sites() -> None:
    study: ColumnElement[str] = column("study")
    site: ColumnElement[str] = column("site")
    literal = {"literal_binds": True}

    def sql(scope: Scope, **columns: object) -> str:
        return str(within(scope, **columns).compile(compile_kwargs=literal))  # type: ignore[arg-type]

    assert sql(EVERYTHING, study=study, site=site) == "true"
    assert sql(SRO_AT_LIMA, study=study, site=site) == "study = 'SRO' AND site = 'lima'"
    assert sql(SRO, study=study, site=site) == "study = 'SRO'"
    assert sql(SRO_AT_LIMA, study=study) == "study = 'SRO'"
    assert sql(SRO, site=site) == "site IN ('lima')"
    at_lima = Scope((Part("SRO", "lima", frozenset({"lima", "quito"})),))
    assert sql(at_lima, site=site) == "site IN ('lima')"
    assert sql(NOTHING, study=study) == "false"
