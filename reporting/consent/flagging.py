"""`no_valid_consent`: sessions of a study that requires consent, begun without it.

Depends on consents of every site, withdrawals, forms, and what studies require. So it is made in the batch
that writes a session, and again for all sessions of whoever is named in `consent_changes`, where triggers
note each change of any of these in its own transaction. That includes what people change by hand.

| what happens | outcome |
|---|---|
| a consent comes after its session, from any site | noted with its row; the flag goes |
| a batch looked for the consent just before that was committed | it has its site's lock: looked at after it |
| a batch begins after the commit | it sees the consent |
| a withdrawal; a consent deleted, gone, found again; a version published; consent required | noted too |
| the projector dies before a change is worked off | the row stays; whoever looks next works it off |
| two projectors work off one change | the same flags, twice |
| a batch has the site | the change stays until that site was looked at; others are not done again |
"""

from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

import psycopg
from sqlalchemy import ARRAY, Text, and_, bindparam, func, insert, literal, select
from sqlalchemy.dialects.postgresql import JSONB, aggregate_order_by

from reporting.compiled import compiled, execute_in
from reporting.consent.state import form_states
from reporting.projection import quality_statements
from reporting.publication.requests import WHOLE_SITE, participant_document, publish_documents
from reporting.quality import RULES
from reporting.redcap.requests import push_written
from reporting.tables import quality_flags, sessions, studies

CODE: Final = "no_valid_consent"
_CHANGES_AT_ONCE: Final = 500
_SESSIONS_AT_ONCE: Final = 1_000


def _flag_sessions() -> tuple[str, dict[str, Any]]:
    """SQL, and its constant parameters; the others are `site`, `session_ids`."""
    s = sessions.c
    states = form_states(
        s.study,
        s.participant,
        at=func.coalesce(s.started_at_corrected, s.started_at),
        device=s.device_id,
        at_of_device=s.started_at,
    )
    lacking = func.jsonb_agg(
        aggregate_order_by(
            func.jsonb_build_object("form", states.c.form, "state", states.c.state), states.c.form
        ),
        type_=JSONB,
    ).filter(states.c.state != "valid")
    wanted = (
        select(
            s.site,
            s.id,
            literal(CODE).label("code"),
            func.jsonb_build_object("forms", lacking).label("detail"),
            bindparam("rule_version", RULES[CODE].version).label("rule_version"),
        )
        .select_from(sessions.join(studies, and_(studies.c.code == s.study, studies.c.consent_required)))
        .join(states, literal(value=True))
        .where(s.site == bindparam("site"), s.id == func.any(bindparam("session_ids", type_=ARRAY(Text))))
        .group_by(s.site, s.id)
        .having(func.bool_or(states.c.state != "valid"))
    )
    statement = insert(quality_flags).from_select(
        ["site", "session_id", "code", "detail", "rule_version"], wanted
    )
    text, parameters = compiled(statement)
    return text, {name: value for name, value in parameters.items() if value is not None}


_FLAG, _CONSTANT = _flag_sessions()

_DROP: Final = """
DELETE FROM quality_flags
WHERE site = %(site)s AND session_id = ANY(%(session_ids)s) AND code = 'no_valid_consent'
"""

_PENDING: Final = "SELECT id, study, participant FROM consent_changes ORDER BY id LIMIT %(limit)s"
_END: Final = "DELETE FROM consent_changes WHERE id = ANY(%(ids)s)"

# By the participant where one is named, so that the index is used; whole studies are rare.
_CONCERNED: Final = """
SELECT id FROM (
    SELECT s.id FROM unnest(%(studies)s::text[], %(participants)s::text[]) AS changed (study, participant)
    JOIN sessions AS s ON s.participant = changed.participant AND s.study = changed.study
    WHERE s.site = %(site)s
    UNION
    SELECT s.id FROM sessions AS s WHERE s.site = %(site)s AND s.study = ANY(%(whole_studies)s)
) AS concerned
WHERE id > %(after)s ORDER BY id LIMIT %(limit)s
"""

_ALL: Final = "SELECT id FROM sessions WHERE site = %(site)s AND id > %(after)s ORDER BY id LIMIT %(limit)s"

_SITES_OF_PARTICIPANTS: Final = """
SELECT DISTINCT p.site, p.study, p.code
FROM unnest(%(studies)s::text[], %(participants)s::text[]) AS changed (study, participant)
JOIN participants AS p ON p.study = changed.study AND p.code = changed.participant
WHERE p.site IS NOT NULL
"""
_SITES_OF_STUDIES: Final = "SELECT DISTINCT site FROM study_sites WHERE study = ANY(%(whole_studies)s)"


class _Change(NamedTuple):
    id: int
    study: str
    participant: str | None


class ConsentChanges:
    """Works off `consent_changes`; remembers which sites were looked at for each."""

    def __init__(self) -> None:
        self._done: dict[str, set[int]] = {}

    def __call__(self, connection: psycopg.Connection) -> int:
        """Look at every site for every change; answers how many flags went or came."""
        changed = 0
        while True:
            flags, may_have_more = self._work_off_some(connection)
            changed += flags
            if not may_have_more:
                return changed

    def _work_off_some(self, connection: psycopg.Connection) -> tuple[int, bool]:
        with connection.transaction():
            changes = _pending(connection)
            sites = [site for (site,) in connection.execute(quality_statements.PROJECTED_SITES)]
        if not changes:
            self._done.clear()
            return 0, False
        changed = 0
        is_done = True
        ids = {change.id for change in changes}
        for site in sites:
            done = self._done.setdefault(site, set())
            done &= ids
            todo = [change for change in changes if change.id not in done]
            if not todo:
                continue
            flags = _look_at(connection, site, todo)
            if flags is None:
                is_done = False
            else:
                done |= ids
                changed += flags
        if is_done:
            with connection.transaction():
                _publish(connection, changes)
                connection.execute(_END, {"ids": sorted(ids)})
        return changed, is_done and len(changes) == _CHANGES_AT_ONCE


def flag_written(connection: psycopg.Connection, site: str, session_ids: Sequence[str]) -> int:
    """Flag those of these sessions that were begun without consent; they have no such flags yet."""
    if not session_ids:
        return 0
    parameters = {**_CONSTANT, "site": site, "session_ids": list(session_ids)}
    return connection.execute(_FLAG.encode(), parameters).rowcount


def flag_all(connection: psycopg.Connection, site: str) -> int:
    """All sessions of the site anew, in the caller's transaction, who holds the site."""
    return _flag_pages(connection, site, _ALL, {})


def flag_pending(connection: psycopg.Connection, site: str) -> int:
    """For what is noted and not worked off yet, in the caller's transaction, who holds the site."""
    changes = _pending(connection)
    return _flag_pages(connection, site, _CONCERNED, _parameters(changes)) if changes else 0


def _pending(connection: psycopg.Connection) -> list[_Change]:
    return [_Change(*row) for row in connection.execute(_PENDING, {"limit": _CHANGES_AT_ONCE})]


def _look_at(connection: psycopg.Connection, site: str, changes: Sequence[_Change]) -> int | None:
    """None where a batch has the site."""
    with connection.transaction():
        if connection.execute(quality_statements.LOCK_SITE, {"site": site}).fetchone() is None:
            return None
        return _flag_pages(connection, site, _CONCERNED, _parameters(changes), is_news=True)


def _flag_pages(
    connection: psycopg.Connection,
    site: str,
    statement: str,
    parameters: dict[str, object],
    *,
    is_news: bool = False,
) -> int:
    changed = 0
    after = ""
    while True:
        about = {**parameters, "site": site, "after": after, "limit": _SESSIONS_AT_ONCE}
        page = [row[0] for row in connection.execute(statement.encode(), about)]
        if not page:
            return changed
        before = connection.execute(_DROP, {"site": site, "session_ids": page}).rowcount
        changed += abs(flag_written(connection, site, page) - before)
        if is_news:
            push_written(connection, site, page)
        after = page[-1]


def _publish(connection: psycopg.Connection, changes: Iterable[_Change]) -> None:
    """Tablets are told of the consent of everybody concerned."""
    parameters = _parameters(changes)
    found = connection.execute(_SITES_OF_PARTICIPANTS, parameters).fetchall()
    documents = [(site, participant_document(study, code)) for site, study, code in found]
    documents += [(site, WHOLE_SITE) for (site,) in connection.execute(_SITES_OF_STUDIES, parameters)]
    if documents:
        # In one statement, which locks in one order.
        execute_in(connection, publish_documents(documents))


def _parameters(changes: Iterable[_Change]) -> dict[str, object]:
    named = sorted({(each.study, each.participant) for each in changes if each.participant is not None})
    whole = sorted({each.study for each in changes if each.participant is None})
    return {
        "studies": [study for study, _ in named],
        "participants": [participant for _, participant in named],
        "whole_studies": whole,
    }
