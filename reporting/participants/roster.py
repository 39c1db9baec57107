"""The roster as statements. Contacts are columns of bytes here, sealed before and opened after."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec
from sqlalchemy import Select, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.sql.dml import ReturningInsert

from reporting.consent.state import State as ConsentState
from reporting.consent.state import consent_state
from reporting.participants.rules import State, Status
from reporting.scope import Scope, within
from reporting.tables import participants, sites, study_sites

_p = participants.c


class Participant(msgspec.Struct, frozen=True):
    """A participant without the contact. `site` null: known by code only, published to no tablet. `consent`
    is the worst state of the forms that the study requires, now.
    """

    study: str
    code: str
    site: str | None
    status: Status
    language: str | None
    enrolled_on: date | None
    redcap_id: str | None
    has_contact: bool
    consent: ConsentState
    row_version: int
    created_at: datetime
    updated_at: datetime

    @property
    def state(self) -> State:
        """What the rules look at."""
        return State(self.site, self.status, self.language, self.enrolled_on, self.redcap_id)


_consent = consent_state(_p.study, _p.code)
_DERIVED = {"has_contact": _p.contact.is_not(None), "consent": _consent}

COLUMNS: Sequence[Any] = [
    _DERIVED[name].label(name) if name in _DERIVED else _p[name] for name in Participant.__struct_fields__
]
SORTABLE = {name: _p[name] for name in ("code", "site", "status", "enrolled_on", "created_at", "updated_at")}
KEY = [_p.study, _p.code]


class RosterFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which participants; None = any. `q` is how a code begins."""

    study: str | None = None
    site: str | None = None
    status: Status | None = None
    consent: ConsentState | None = None
    redcap_id: str | None = None
    q: str | None = None


def select_roster(wanted: RosterFilter, scope: Scope) -> Select[*tuple[Any, ...]]:
    """Statement: the participants that are wanted and in the scope, as Participant's fields."""
    statement = select(*COLUMNS).where(within(scope, study=_p.study, site=_p.site))
    for column, value in (
        (_p.study, wanted.study),
        (_p.site, wanted.site),
        (_p.status, wanted.status),
        (_p.redcap_id, wanted.redcap_id),
    ):
        if value is not None:
            statement = statement.where(column == value)
    if wanted.consent is not None:
        statement = statement.where(_consent == wanted.consent)
    if wanted.q is not None:
        statement = statement.where(_p.code.startswith(wanted.q, autoescape=True))
    return statement


def select_participant(study: str, code: str, *, lock: bool = False) -> Select[*tuple[Any, ...]]:
    """Statement: one, as Participant's fields and the sealed contact; `lock`: until the transaction ends."""
    statement = select(*COLUMNS, _p.contact).where(_p.study == study, _p.code == code)
    return statement.with_for_update() if lock else statement


def select_site_of(study: str, code: str) -> Select[str | None]:
    """Statement: the participant's site."""
    return select(_p.site).where(_p.study == study, _p.code == code)


def select_participants(study: str, codes: Sequence[str]) -> Select[*tuple[Any, ...]]:
    """Statement: those with these codes, as above; locked, in one order."""
    wanted = select(*COLUMNS, _p.contact).where(_p.study == study, _p.code.in_(codes))
    return wanted.order_by(_p.code).with_for_update()


def select_records(study: str, records: Sequence[str]) -> Select[str, str]:
    """Statement: (record, code) of the participants that are these records in REDCap."""
    return select(_p.redcap_id, _p.code).where(_p.study == study, _p.redcap_id.in_(records))


def insert_participants(rows: Sequence[Mapping[str, Any]]) -> ReturningInsert[str]:
    """Statement: new ones; answers the codes that were not there yet. At least one."""
    statement = insert(participants).values([dict(row) for row in rows])
    return statement.on_conflict_do_nothing(index_elements=["study", "code"]).returning(_p.code)


def hold_sites_of_study(study: str) -> Select[str, str, str]:
    """Statement: (code, timezone, status) of the sites at which a study runs; it does so, and they stay open
    or archived, until the transaction ends (as `studies.rows.hold_study_site` and `studies.sites.hold_site`).
    """
    return (
        select(sites.c.code, sites.c.timezone, sites.c.status)
        .join(study_sites, study_sites.c.site == sites.c.code)
        .where(study_sites.c.study == study)
        .order_by(sites.c.code)
        .with_for_update(read=True, of=[study_sites, sites])
    )


def today_at(moment: datetime, timezone: str) -> date:
    """The day that it is there at this moment; UTC's where the zone is not known here."""
    try:
        return moment.astimezone(ZoneInfo(timezone)).date()
    except (ZoneInfoNotFoundError, ValueError):
        return moment.date()
