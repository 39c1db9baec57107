"""What a study's mapping may speak of on our side, as statements: batteries with their tasks, visits."""

from collections.abc import Iterable, Sequence

from sqlalchemy import Select, select

from reporting.redcap.known import Known
from reporting.tables import batteries, visit_definitions


def select_batteries() -> Select[str, Sequence[str] | None]:
    """Statement: (id, tasks) of all versions."""
    return select(batteries.c.id, batteries.c.tasks).order_by(batteries.c.id, batteries.c.version)


def select_visits(study: str) -> Select[str]:
    """Statement: codes of the study's visits."""
    return select(visit_definitions.c.code).where(visit_definitions.c.study == study)


def known_of(of_batteries: Iterable[tuple[str, Sequence[str] | None]], visits: Iterable[str]) -> Known:
    """What the statements answered. A study without a schedule names visits as it likes. Pure."""
    tasks: dict[str, set[str] | None] = {}
    for name, named in of_batteries:
        before = tasks.setdefault(name, set())
        tasks[name] = None if named is None or before is None else before | set(named)
    scheduled = frozenset(visits)
    return Known(batteries=tasks, visits=scheduled or None)
