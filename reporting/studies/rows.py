"""Studies, at which sites they run and which batteries they use: rows and statements.

| what happens | outcome |
|---|---|
| two make a study with the same code | the second is told so |
| a study is added to a site that is being archived | the lock on the site orders them: one is refused |
| a participant is enrolled at a site its study leaves | `hold_study_site` orders them, if both take it |
"""

from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import Delete, Select, Text, Update, cast, delete, func, or_, select, update
from sqlalchemy.dialects.postgresql import ARRAY, insert
from sqlalchemy.sql.dml import ReturningDelete, ReturningInsert

from reporting.studies.status import Status
from reporting.tables import (
    batteries,
    memberships,
    participants,
    research_policies,
    studies,
    study_batteries,
    study_sites,
    visit_definitions,
)


class StudyRow(msgspec.Struct, frozen=True):
    """A study."""

    code: str
    title: str
    description: str
    status: Status
    consent_required: bool
    sites: list[str]
    """Where it runs."""
    batteries: list[str]
    """Which published batteries its tablets get: `self-regulation@1`."""
    row_version: int
    created_at: datetime
    updated_at: datetime


_s = studies.c
_sites = select(study_sites.c.site).where(study_sites.c.study == _s.code).order_by(study_sites.c.site)
_b = study_batteries.c
_batteries = (
    select(_b.battery_id + "@" + cast(_b.battery_version, Text))
    .where(_b.study == _s.code)
    .order_by(_b.battery_id, _b.battery_version)
)
SORTABLE = {name: _s[name] for name in ("code", "title", "status", "created_at", "updated_at")}


def select_studies() -> Select[*tuple[Any, ...]]:
    """Statement: the fields of StudyRow."""
    return select(
        _s.code,
        _s.title,
        _s.description,
        _s.status,
        _s.consent_required,
        func.array(_sites.scalar_subquery(), type_=ARRAY(Text)),
        func.array(_batteries.scalar_subquery(), type_=ARRAY(Text)),
        _s.row_version,
        _s.created_at,
        _s.updated_at,
    )


def select_status(study: str) -> Select[Status]:
    """Statement: the study's status; no row where there is none."""
    return select(_s.status).where(_s.code == study)


def lock_study(study: str) -> Select[*tuple[Any, ...]]:
    """Statement: its row, which stays as it is until the transaction ends."""
    return select(studies).where(_s.code == study).with_for_update()


def insert_study(**fields: Any) -> Select[str]:
    """Statement: insert, unless there is one with that code; returns its code. It has a policy for research
    from then on.
    """
    made = insert(studies).values(**fields).on_conflict_do_nothing().returning(_s.code).cte("made")
    policy = insert(research_policies).from_select(["study"], select(made.c.code)).cte("policy")
    return select(made.c.code).add_cte(policy)


def update_study(study: str, **fields: Any) -> Update:
    """Statement: change these fields."""
    changed = {"row_version": _s.row_version + 1, "updated_at": func.now()}
    return update(studies).where(_s.code == study).values(**fields, **changed)


def select_sites_of_study(study: str) -> Select[str]:
    """Statement: the sites where it runs."""
    c = study_sites.c
    return select(c.site).where(c.study == study).order_by(c.site)


def insert_study_site(study: str, site: str) -> ReturningInsert[Any]:
    """Statement: it runs there from now on; returns the site where it did not."""
    c = study_sites.c
    return insert(study_sites).values(study=study, site=site).on_conflict_do_nothing().returning(c.site)


def hold_study_site(study: str, site: str, *, to_end: bool = False) -> Select[str]:
    """Statement: the site, if the study runs there; it does so until the transaction ends."""
    c = study_sites.c
    held = select(c.site).where(c.study == study, c.site == site)
    return held.with_for_update() if to_end else held.with_for_update(read=True)


def delete_study_site(study: str, site: str) -> Delete:
    """Statement: it runs there no more."""
    c = study_sites.c
    return delete(study_sites).where(c.study == study, c.site == site)


def count_taking_part(study: str, site: str) -> Select[int]:
    """Statement: how many of its participants at a site are screened or enrolled."""
    p = participants.c
    taking_part = p.status.in_(["screened", "enrolled"])
    return select(func.count()).where(p.study == study, p.site == site, taking_part)


def end_memberships(study: str, site: str) -> ReturningDelete[Any, Any]:
    """Statement: nobody has a role at this site of the study any more; returns (person, role)."""
    m = memberships.c
    return delete(memberships).where(m.study == study, m.site == site).returning(m.person, m.role)


def select_published_battery(battery: str, version: int) -> Select[*tuple[Any, ...]]:
    """Statement: (definition) of a version, which is NULL where it is known by id only."""
    b = batteries.c
    return select(b.definition).where(b.id == battery, b.version == version)


def insert_study_battery(study: str, battery: str, version: int) -> ReturningInsert[Any]:
    """Statement: its tablets get this battery; returns its id where they did not."""
    values = {"study": study, "battery_id": battery, "battery_version": version}
    return insert(study_batteries).values(values).on_conflict_do_nothing().returning(_b.battery_id)


def delete_study_battery(study: str, battery: str, version: int) -> ReturningDelete[*tuple[Any, ...]]:
    """Statement: its tablets get this battery no more; returns its id where they did."""
    named = (_b.study == study, _b.battery_id == battery, _b.battery_version == version)
    return delete(study_batteries).where(*named).returning(_b.battery_id)


def select_visits_with_battery(study: str, battery: str, version: int) -> Select[str]:
    """Statement: codes of its visit definitions, retired ones aside, that name this battery."""
    v = visit_definitions.c
    named = (v.study == study, v.battery_id == battery, v.battery_version == version)
    return select(v.code).where(*named, v.retired.is_(False)).order_by(v.code)


def matching(text: str) -> Any:
    """Condition: the code or title has this text in it, in any case."""
    return or_(_s.code.icontains(text, autoescape=True), _s.title.icontains(text, autoescape=True))
