"""Whether the mapping's `participants` fit a project."""

from typing import Any

import msgspec
import pytest

from reporting.redcap.dictionary import Dictionary, Event, Field, Repeat
from reporting.redcap.roster_checking import roster_problems
from reporting.redcap.roster_mapping import RosterMapping
from tests.redcap.redcap_office import ROSTER

PROJECT = Dictionary(
    record_id="record_id",
    fields=[
        Field(name="record_id", form="person", type="text"),
        Field(name="ppt_code", form="person", type="text"),
        Field(name="lang", form="person", type="radio", choices={"1": "Spanish", "2": "Quechua"}),
        Field(name="consented_on", form="person", type="text", validation="date_ymd"),
        Field(name="email", form="person", type="text", validation="email"),
        Field(name="boxes", form="person", type="checkbox", choices={"1": "One"}),
        Field(name="cog_uid", form="cog", type="text"),
    ],
    forms=["person", "cog"],
    events=[Event(name="base_arm_1", forms=["person", "cog"]), Event(name="later_arm_1", forms=["cog"])],
    repeats=[Repeat(event="base_arm_1", form="cog")],
    groups=["lima_clinic", "quito_clinic"],
)


def found(**changes: Any) -> dict[str, str]:
    roster = msgspec.convert({**ROSTER, **changes}, RosterMapping)
    return {
        each.path.removeprefix("$.participants."): each.message for each in roster_problems(roster, PROJECT)
    }


def test_mapping_that_fits_has_no_problem() -> None:
    assert found() == {}
    assert found(code={"from": "record_id"}) == {}


@pytest.mark.parametrize(
    ("changes", "path", "said"),
    [
        ({"event": None}, "event", "several events"),
        ({"event": "bas_arm_1"}, "event", "no event bas_arm_1"),
        ({"event": "later_arm_1"}, "code.from", "person of ppt_code is not in the event"),
        ({"code": {"from": "cog_uid"}}, "code.from", "cog of cog_uid repeats"),
        ({"fields": {"language": {}}}, "fields.language", "either `from` or `by`"),
        ({"fields": {"language": {"from": "langs"}}}, "fields.language.from", "no field langs"),
        ({"fields": {"language": {"from": "boxes"}}}, "fields.language.from", "holds no text"),
        ({"fields": {"language": {"by": "dag"}}}, "fields.language.by", "only say the site"),
        ({"fields": {"site": {"by": "dag"}}}, "fields.site", "has to be told"),
        (
            {"fields": {"site": {"by": "dag", "map": {"cusco": "cusco"}}}},
            "fields.site.map.cusco",
            "no data access group cusco",
        ),
        (
            {"fields": {"site": {"by": "dag", "map": {"lima_clinic": "lima"}, "direction": "both"}}},
            "fields.site.direction",
            "never pushed",
        ),
        (
            {"fields": {"language": {"from": "lang", "map": {"3": "es"}}}},
            "fields.language.map.3",
            "no choice 3",
        ),
        (
            {"fields": {"language": {"from": "lang", "map": {"1": "?"}}}},
            "fields.language.map.1",
            "no language",
        ),
        (
            {"fields": {"language": {"from": "lang", "map": {"1": "es", "2": "es"}, "direction": "both"}}},
            "fields.language.map",
            "not known which to write",
        ),
        (
            {"fields": {"contact.note": {"from": "ppt_code", "direction": "push"}}},
            "fields.contact.note.direction",
            "is not pushed",
        ),
    ],
)
def test_what_does_not_fit_is_told_with_its_path(changes: dict[str, Any], path: str, said: str) -> None:
    problems = found(**changes)
    assert said in problems[path], problems
