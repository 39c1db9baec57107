"""The ledger: which session has which instance of which form, and how far it has come. Statements.

A row is written before anything is asked of REDCap. `fence` grows with each take, and every later change
names it: a worker that was cut off and comes back changes nothing.

| what happens | outcome |
|---|---|
| a session is planned twice | one row that is not retired, by a unique index |
| two sessions are to have one instance | the second is refused by a unique constraint |
| a worker changes a row that another has taken meanwhile | no row: it is outdated |
| … and it has sent something meanwhile | `unsettle`: whoever has the row reads back again |
| an instance's session goes | the row is retired and keeps its instance, so that nobody else gets it |
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import msgspec
from sqlalchemy import (
    ARRAY,
    BigInteger,
    FromClause,
    Integer,
    Select,
    Text,
    Update,
    and_,
    case,
    func,
    literal,
    null,
    select,
    tuple_,
    update,
)
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.sql.dml import ReturningInsert

from reporting.redcap.target import Address
from reporting.tables import redcap_ledger

Session = tuple[str, str]
"""(site, session id)."""


class LedgerRow(msgspec.Struct, frozen=True, kw_only=True):
    """A session's row. `payload` is what was last sent, `accepted` what was last read back as sent."""

    id: int
    project: str
    study: str
    site: str
    session_id: str
    form: str
    record: str
    event: str
    instance: int | None
    state: str
    reason: str | None
    payload: Mapping[str, str] | None
    accepted: Mapping[str, str] | None
    fence: int

    @property
    def session(self) -> Session:
        """Whose row it is."""
        return self.site, self.session_id

    @property
    def address(self) -> Address:
        """Where it is."""
        return Address(self.record, self.event, self.form)

    @property
    def uid(self) -> str:
        """What the key field of its instance holds."""
        return f"{self.site}/{self.session_id}"


FIELDS = LedgerRow.__struct_fields__
_COLUMNS = [redcap_ledger.c[name] for name in FIELDS]


def ledger_row(row: Any) -> LedgerRow:
    """A row of FIELDS."""
    return LedgerRow(**dict(zip(FIELDS, row, strict=True)))


class Opened(msgspec.Struct, frozen=True, kw_only=True):
    """A session that is to have a row at an address. `instance` 1 where the form does not repeat."""

    project: str
    study: str
    site: str
    session_id: str
    address: Address
    instance: int | None = None


def open_rows(opened: Sequence[Opened]) -> ReturningInsert[Any]:
    """Statement: a row of its own each; the fields of LedgerRow. No row: the session has one already, or
    another session has the instance. At least one.
    """
    given = _unnested(
        project=(Text, [each.project for each in opened]),
        study=(Text, [each.study for each in opened]),
        site=(Text, [each.site for each in opened]),
        session_id=(Text, [each.session_id for each in opened]),
        form=(Text, [each.address.form for each in opened]),
        record=(Text, [each.address.record for each in opened]),
        event=(Text, [each.address.event for each in opened]),
        instance=(Integer, [each.instance for each in opened]),
    )
    state = case((given.c.instance.is_(None), "pending"), else_="allocated")
    names = [column.name for column in given.c]
    rows = select(*given.c, state, literal(1))
    inserted = insert(redcap_ledger).from_select([*names, "state", "fence"], rows)
    return inserted.on_conflict_do_nothing().returning(*_COLUMNS)


def select_retired(project: str, sessions: Collection[Session]) -> Select[*tuple[Any, ...]]:
    """Statement: (site, session id, record, event, form) where a retired row of a session has an instance."""
    r = redcap_ledger.c
    given = _sessions(sessions)
    return (
        select(r.site, r.session_id, r.record, r.event, r.form)
        .join(given, and_(r.site == given.c.site, r.session_id == given.c.session_id))
        .where(r.project == project, r.state == "retired", r.instance.is_not(None))
        .distinct()
    )


def select_elsewhere(project: str, study: str, sessions: Collection[Session]) -> Select[str, str, str]:
    """Statement: (site, session id, project) of rows of these that are not retired, in another project of the
    study. At least one session.
    """
    r = redcap_ledger.c
    given = _sessions(sessions)
    return (
        select(r.site, r.session_id, r.project)
        .join(given, and_(r.site == given.c.site, r.session_id == given.c.session_id))
        .where(r.study == study, r.project != project, r.state != "retired")
    )


def take(project: str, sessions: Collection[Session]) -> Update:
    """Statement: these sessions' rows that are not retired, from now on the taker's; the fields of LedgerRow.
    At least one session.
    """
    r = redcap_ledger.c
    given = _sessions(sessions)
    return (
        update(redcap_ledger)
        .where(
            r.project == project,
            r.site == given.c.site,
            r.session_id == given.c.session_id,
            r.state != "retired",
        )
        .values(fence=r.fence + 1, updated_at=func.now())
        .returning(*_COLUMNS)
    )


def revive(project: str, session: Session, address: Address, *, only: int | None = None) -> Update:
    """Statement: a retired row of the session at this address counts again; the fields of LedgerRow. `only`
    one with that instance.
    """
    r = redcap_ledger.c
    newest = (
        select(func.max(r.id))
        .where(
            r.project == project,
            r.site == session[0],
            r.session_id == session[1],
            tuple_(r.record, r.event, r.form) == tuple_(*map(literal, address)),
            r.state == "retired",
            r.instance.is_not(None) if only is None else r.instance == only,
        )
        .scalar_subquery()
    )
    return (
        update(redcap_ledger)
        .where(r.id == newest)
        .values(state="allocated", reason=null(), fence=r.fence + 1, updated_at=func.now())
        .returning(*_COLUMNS)
    )


def free_instance(project: str, address: Address) -> Update:
    """Statement: a form that does not repeat is had by the session that is there now: a retired row gives its
    instance back.
    """
    r = redcap_ledger.c
    return (
        update(redcap_ledger)
        .where(
            r.project == project,
            tuple_(r.record, r.event, r.form) == tuple_(*map(literal, address)),
            r.state == "retired",
            r.instance == 1,
        )
        .values(instance=null(), updated_at=func.now())
    )


def select_holder(project: str, address: Address, instance: int) -> Select[str, str, str]:
    """Statement: (site, session id, state) of the row that has the instance."""
    r = redcap_ledger.c
    return select(r.site, r.session_id, r.state).where(
        r.project == project,
        tuple_(r.record, r.event, r.form) == tuple_(*map(literal, address)),
        r.instance == instance,
    )


def change(row: LedgerRow, **to: Any) -> Update:
    """Statement: change it, if it is still the taker's; its id. No row: it is outdated, or erased."""
    r = redcap_ledger.c
    return (
        update(redcap_ledger)
        .where(r.id == row.id, r.fence == row.fence)
        .values(**to, updated_at=func.now())
        .returning(r.id)
    )


def give_instances(rows: Sequence[tuple[LedgerRow, int]]) -> Update:
    """Statement: the instances are these rows', where they are still the taker's; their ids. At least one."""
    r = redcap_ledger.c
    given = _unnested(
        id=(BigInteger, [row.id for row, _ in rows]),
        fence=(BigInteger, [row.fence for row, _ in rows]),
        instance=(Integer, [instance for _, instance in rows]),
    )
    return (
        update(redcap_ledger)
        .where(r.id == given.c.id, r.fence == given.c.fence)
        .values(instance=given.c.instance, state="allocated", updated_at=func.now())
        .returning(r.id)
    )


def change_all(rows: Sequence[LedgerRow], **to: Any) -> Update:
    """Statement: change all that are still the taker's, alike; their ids. At least one."""
    r = redcap_ledger.c
    given = _held(rows)
    return (
        update(redcap_ledger)
        .where(r.id == given.c.id, r.fence == given.c.fence)
        .values(**to, updated_at=func.now())
        .returning(r.id)
    )


def mark_sent(rows: Sequence[tuple[LedgerRow, str, bytes]]) -> Update:
    """Statement: before they are sent: (row, payload as JSON text, its SHA-256); ids of those that are still
    the taker's. At least one.
    """
    r = redcap_ledger.c
    given = _unnested(
        id=(BigInteger, [row.id for row, _, _ in rows]),
        fence=(BigInteger, [row.fence for row, _, _ in rows]),
        payload=(Text, [payload for _, payload, _ in rows]),
        digest=(Text, [digest.hex() for _, _, digest in rows]),
    )
    return (
        update(redcap_ledger)
        .where(r.id == given.c.id, r.fence == given.c.fence)
        .values(
            state="sent",
            reason=null(),
            payload=given.c.payload.cast(r.payload.type),
            payload_sha256=func.decode(given.c.digest, "hex"),
            updated_at=func.now(),
        )
        .returning(r.id)
    )


def settle(rows: Sequence[LedgerRow]) -> Update:
    """Statement: what was last sent has been read back; ids of those that are still the taker's."""
    r = redcap_ledger.c
    return change_all(rows, state="done", reason=None, accepted=r.payload)


def unsettle(ids: Collection[int]) -> Update:
    """Statement: an outdated worker has sent something: whoever has the rows now reads back again. Their
    sessions, as (study, site, session id).
    """
    r = redcap_ledger.c
    return (
        update(redcap_ledger)
        .where(r.id.in_(list(ids)))
        .values(
            state=case((r.state.in_(("accepted", "done")), "sent"), else_=r.state),
            fence=r.fence + 1,
            updated_at=func.now(),
        )
        .returning(r.study, r.site, r.session_id)
    )


def given_instances(project: str, addresses: Collection[Address]) -> Select[*tuple[Any, ...]]:
    """Statement: (record, event, form, instance) of what was given to whomever, also to who is retired, at
    these addresses. At least one.
    """
    r = redcap_ledger.c
    ordered = sorted(addresses)
    given = _unnested(
        record=(Text, [each.record for each in ordered]),
        event=(Text, [each.event for each in ordered]),
        form=(Text, [each.form for each in ordered]),
    )
    at = and_(r.record == given.c.record, r.event == given.c.event, r.form == given.c.form)
    return (
        select(r.record, r.event, r.form, r.instance)
        .select_from(redcap_ledger.join(given, at))
        .where(r.project == project, r.instance.is_not(None))
    )


class LedgerNumbers(msgspec.Struct, frozen=True):
    """How many rows of a project are in a state."""

    project: str
    state: str
    rows: int


def select_ledger_numbers() -> Select[*tuple[Any, ...]]:
    """Statement: the fields of LedgerNumbers."""
    r = redcap_ledger.c
    return select(r.project, r.state, func.count()).group_by(r.project, r.state).order_by(r.project, r.state)


def _sessions(sessions: Collection[Session]) -> FromClause:
    ordered = sorted(sessions)
    return _unnested(
        site=(Text, [site for site, _ in ordered]), session_id=(Text, [session for _, session in ordered])
    )


def _held(rows: Sequence[LedgerRow]) -> FromClause:
    return _unnested(
        id=(BigInteger, [row.id for row in rows]), fence=(BigInteger, [row.fence for row in rows])
    )


def _unnested(**columns: tuple[Any, list[Any]]) -> FromClause:
    """Rows from columns: as many parameters as columns, however many rows."""
    arrays = (literal(values, ARRAY(kind)) for kind, values in columns.values())
    return func.unnest(*arrays).table_valued(*columns, name="given").render_derived()
