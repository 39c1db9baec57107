"""Asking for sessions to be pushed, in the transaction of the cause.

| changed | asked for by | sessions |
|---|---|---|
| sessions: written, corrected, scored or flagged anew, deleted, quarantined, gone | the projector | these |
| a mapping was saved, a project goes on | `resync` | all of the study |
| a participant got a record, another one, or changed | `push_participants` | theirs |
| a session left a form that does not repeat: another one may have it | `push_others_of` | its participant's |
| a worker that was cut off has sent something | `push_again` | those of its rows |

One entry a session, entered again: whoever delivers it brings about what the session is at that moment. A
session that has gone is asked for where the ledger knows it: what becomes of its instance is the mapping's
`withdrawn`. Studies without a mapping cost one look at an empty index.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import Any, Final

import psycopg
from sqlalchemy import (
    ARRAY,
    ColumnElement,
    FromClause,
    Text,
    and_,
    bindparam,
    exists,
    func,
    literal,
    null,
    or_,
    select,
    union,
)
from sqlalchemy.dialects.postgresql import JSONB, Insert, insert

from reporting.compiled import compiled
from reporting.outbox.entry import Entry, enter_again
from reporting.tables import outbox, participants, redcap_ledger, redcap_mappings, redcap_projects, sessions

KIND: Final = "redcap"


def push_again(asked: Iterable[tuple[str, str, str]]) -> Insert:
    """Statement: these (study, site, session id); at least one."""
    return enter_again(
        Entry(
            kind=KIND,
            key=f"{study}/{site}/{session}",
            study=study,
            site=site,
            payload={"site": site, "session": session},
        )
        for study, site, session in asked
    )


def push_changed(site: str, session_ids: Collection[str]) -> Insert:
    """Statement: of these sessions of a site, those that a mapping is, or was, about."""
    return _push_changed(literal(site, Text), literal(sorted(session_ids), ARRAY(Text)), None)


def _push_changed(
    site: ColumnElement[str], ids: ColumnElement[Any], people: tuple[Any, Any] | None
) -> Insert:
    rows = func.unnest(ids).table_valued("id", name="given").render_derived()
    s, m, r, p = sessions.c, redcap_mappings.c, redcap_ledger.c, redcap_projects.c
    mapped = (
        select(s.study, s.site, s.id)
        .select_from(rows)
        .join(sessions, and_(s.site == site, s.id == rows.c.id))
        .join(redcap_mappings, m.study == s.study)
    )
    # By project, so that the ledger's index is used.
    known = (
        select(r.study, r.site, r.session_id)
        .select_from(redcap_projects)
        .join(rows, literal(value=True))
        .join(
            redcap_ledger,
            and_(r.project == p.project, r.site == site, r.session_id == rows.c.id, r.state != "retired"),
        )
    )
    if people is None:
        return _enter(union(mapped, known).subquery("asked"))
    named = func.unnest(*people).table_valued("study", "participant", name="named").render_derived()
    theirs = (
        select(s.study, s.site, s.id)
        .select_from(named)
        .join(sessions, and_(s.study == named.c.study, s.participant == named.c.participant))
        .join(redcap_mappings, m.study == s.study)
    )
    return _enter(union(mapped, known, theirs).subquery("asked"))


def push_written(
    connection: psycopg.Connection,
    site: str,
    session_ids: Collection[str],
    people: Collection[tuple[str, str]] = (),
) -> None:
    """In the transaction that has written rows or flags of these sessions, or of sessions of these (study,
    participant): ask for those that a mapping is, or was, about.
    """
    if not session_ids and not people:
        return
    row = connection.execute(_ANY_MAPPING).fetchone()
    if row is not None and row[0]:
        ordered = sorted(people)
        asked = {
            "site": site,
            "ids": sorted(session_ids),
            "studies": [study for study, _ in ordered],
            "participants": [participant for _, participant in ordered],
        }
        connection.execute(_PUSH_WRITTEN, {**_CONSTANT, **asked})


def resync(study: str, *, site: str | None = None) -> Insert:
    """Statement: all sessions of the study, at one site or all, and those that the ledger has of it."""
    s, r = sessions.c, redcap_ledger.c
    at: list[list[ColumnElement[bool]]] = [[], []] if site is None else [[s.site == site], [r.site == site]]
    of_study = select(s.study, s.site, s.id).where(s.study == study, *at[0])
    known = select(r.study, r.site, r.session_id).where(r.study == study, r.state != "retired", *at[1])
    return _enter(union(of_study, known).subquery("asked"))


def push_participants(study: str, codes: Collection[str]) -> Insert:
    """Statement: all sessions of these participants of the study, if it has a mapping."""
    s, m = sessions.c, redcap_mappings.c
    theirs = (
        select(s.study, s.site, s.id)
        .join(redcap_mappings, m.study == s.study)
        .where(s.study == study, s.participant == func.any(literal(sorted(codes), ARRAY(Text))))
    )
    return _enter(theirs.subquery("asked"))


def push_others_of(study: str, record: str, session: tuple[str, str]) -> Insert:
    """Statement: the sessions of a record's participant, but for this one (site, session id)."""
    s, m, p = sessions.c, redcap_mappings.c, participants.c
    theirs = (
        select(s.study, s.site, s.id)
        .join(redcap_mappings, m.study == s.study)
        .outerjoin(participants, and_(p.study == s.study, p.code == s.participant))
        .where(
            s.study == study,
            or_(p.redcap_id == record, s.participant == record),
            or_(s.site != session[0], s.id != session[1]),
        )
    )
    return _enter(theirs.subquery("asked"))


def _enter(asked: FromClause) -> Insert:
    """`asked` has study, site and session id, by position."""
    study, site, session = list(asked.c)
    payload = func.jsonb_build_object("site", site, "session", session, type_=JSONB)
    rows = select(
        literal(KIND),
        (study + "/" + site + "/" + session).label("key"),
        study,
        site,
        payload,
        func.sha256(func.convert_to(payload.cast(Text), "UTF8")),
        func.now(),
        # In the order in which `enter_again` locks: others ask for the same.
    ).order_by((study + "/" + site + "/" + session).collate("C"))
    names = ["kind", "key", "study", "site", "payload", "payload_sha256", "next_attempt_at"]
    inserted = insert(outbox).from_select(names, rows)
    return inserted.on_conflict_do_update(
        index_elements=["kind", "key"],
        set_={
            "ticket": outbox.c.ticket + 1,
            "state": "pending",
            "attempts": 0,
            "next_attempt_at": inserted.excluded.next_attempt_at,
            "error": null(),
            "ended_at": null(),
        },
    )


def _compiled_once() -> tuple[bytes, Mapping[str, Any]]:
    of = (bindparam("studies", type_=ARRAY(Text)), bindparam("participants", type_=ARRAY(Text)))
    statement = _push_changed(bindparam("site", type_=Text), bindparam("ids", type_=ARRAY(Text)), of)
    text, parameters = compiled(statement)
    return text.encode(), {name: value for name, value in parameters.items() if value is not None}


_PUSH_WRITTEN, _CONSTANT = _compiled_once()
_ANY_MAPPING: Final = compiled(
    select(or_(exists(select(redcap_mappings.c.study)), exists(select(redcap_projects.c.project))))
)[0].encode()
