"""What a study's mapping may speak of on our side, as statements: batteries with their tasks, visits.

`batteries.tasks` are those without which a session is not complete; optional ones are in the definition only.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Select, select

from reporting.redcap.known import Known
from reporting.tables import batteries, visit_definitions

OfBattery = tuple[str, Sequence[str] | None, Mapping[str, Any] | None]
"""Id, required tasks, definition; of one version."""


def select_batteries() -> Select[str, Sequence[str] | None, Mapping[str, Any] | None]:
    """Statement: OfBattery of all versions."""
    b = batteries.c
    return select(b.id, b.tasks, b.definition).order_by(b.id, b.version)


def select_visits(study: str) -> Select[str]:
    """Statement: codes of the study's visits."""
    return select(visit_definitions.c.code).where(visit_definitions.c.study == study)


def known_of(of_batteries: Iterable[OfBattery], visits: Iterable[str]) -> Known:
    """What the statements answered. A study without a schedule names visits as it likes. Pure."""
    tasks: dict[str, set[str] | None] = {}
    for name, required, definition in of_batteries:
        before, named = tasks.setdefault(name, set()), _named(required, definition)
        tasks[name] = None if named is None or before is None else before | named
    scheduled = frozenset(visits)
    return Known(batteries=tasks, visits=scheduled or None)


def _named(required: Sequence[str] | None, definition: Mapping[str, Any] | None) -> set[str] | None:
    defined = {each["task"] for each in (definition or {}).get("tasks", ())}
    return defined | set(required or ()) if defined or required is not None else None
