"""A study's visit definitions: rows, and what has to hold between them."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any, Final

import msgspec
from sqlalchemy import Select, Update, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.sql.dml import ReturningInsert

from reporting.tables import study_batteries, visit_definitions
from reporting.visits.schedule import ENROLMENT, Definition, Plan, cycle

MOST_DEFINITIONS: Final = 200
"""Of one study."""

_d = visit_definitions.c


class DefinitionRow(msgspec.Struct, frozen=True):
    """A visit that every participant of a study has, `offset_days` after its anchor."""

    study: str
    code: str
    title: str
    anchor: str
    offset_days: int
    window_before_days: int
    window_after_days: int
    battery_id: str | None
    battery_version: int | None
    position: int
    retired: bool
    row_version: int
    created_at: datetime
    updated_at: datetime

    @property
    def definition(self) -> Definition:
        """What visits are made from."""
        plan = Plan(self.anchor, self.offset_days, self.window_before_days, self.window_after_days)
        return Definition(self.code, plan, self.retired)


SORTABLE = {name: _d[name] for name in ("position", "code", "anchor", "offset_days", "updated_at")}
KEY = [_d.position, _d.code]


class UnsoundSchedule(ValueError):
    """Visits that can never get a date; the message says which."""

    def __init__(self, message: str, codes: Iterable[str]) -> None:
        self.codes = list(codes)
        super().__init__(message)


def check_schedule(definitions: Iterable[Definition]) -> None:
    """Every anchor is enrolment or a visit that is not retired, and no visit counts from itself, by any way.

    Raises UnsoundSchedule.
    """
    anchors = {each.code: each.plan.anchor for each in definitions if not each.retired}
    for code, anchor in anchors.items():
        if anchor != ENROLMENT and anchor not in anchors:
            raise UnsoundSchedule(f"{code} counts from {anchor}, which is no visit (any more)", [code])
    circle = cycle(anchors)
    if circle is not None:
        raise UnsoundSchedule(f"visits count from each other in a circle: {' → '.join(circle)}", circle)


def select_definitions(study: str) -> Select[*tuple[Any, ...]]:
    """Statement: the fields of DefinitionRow of a study's definitions, in no order."""
    return select(*(_d[name] for name in DefinitionRow.__struct_fields__)).where(_d.study == study)


def insert_definition(study: str, code: str, **fields: Any) -> ReturningInsert[Any]:
    """Statement: insert, unless there is one with that code; returns its code."""
    made = insert(visit_definitions).values(study=study, code=code, **fields)
    return made.on_conflict_do_nothing().returning(_d.code)


def update_definition(study: str, code: str, **fields: Any) -> Update:
    """Statement: change these fields."""
    changed = {"row_version": _d.row_version + 1, "updated_at": func.now()}
    return update(visit_definitions).where(_d.study == study, _d.code == code).values(**fields, **changed)


def select_battery(study: str, battery: str, version: int) -> Select[str]:
    """Statement: the battery, if the study has it in this version."""
    b = study_batteries.c
    return select(b.battery_id).where(b.study == study, b.battery_id == battery, b.battery_version == version)
