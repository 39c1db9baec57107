"""Flags that depend on more than one document: sessions that are one sitting, and tasks that are missing.

A session is a `duplicate_session` while another live one of its site has the same trials, or the same study,
participant and beginning. So one document's change touches the flags of others:

| what happens to A, twin of B | outcome |
|---|---|
| A arrives after B, before B, or with it | both are flagged, each with the other |
| A is saved again as another sitting | B, a companion of A's *old* row, is no duplicate any more |
| A is deleted, quarantined, or gone from the site database | B is no duplicate any more |
| A is found again | both are flagged again |
| a third one, C | all three; each shows the first of the others |
| the batch is rolled back or repeated | nothing, or the same: all of it is in the batch's transaction |

All of it happens under the checkpoint lock of the site, hence one batch after the other. The result is a
function of the live sessions, whatever the order in which they came.
"""

from collections.abc import Sequence

import psycopg

from reporting.projection import quality_statements
from reporting.quality import RULES
from reporting.redcap.requests import push_written
from reporting.visits.completion import complete_visits


def companions(connection: psycopg.Connection, site: str, session_ids: Sequence[str]) -> set[str]:
    """The sessions whose duplicate flags may depend on these, and these, as their rows are now."""
    if not session_ids:
        return set()
    parameters = {"site": site, "session_ids": list(session_ids)}
    return {other for (other,) in connection.execute(quality_statements.COMPANIONS, parameters)}


def flag_across(
    connection: psycopg.Connection, site: str, session_ids: Sequence[str], before: set[str]
) -> set[str]:
    """Bring flags up to date after the rows of `session_ids` were replaced, in the batch's transaction; the
    sessions whose flags may have changed.

    `before` are the companions that they had until then.
    """
    if not session_ids:
        return set()
    touched = before | companions(connection, site, session_ids) | set(session_ids)
    _flag_duplicates(connection, site, sorted(touched))
    parameters = {
        "site": site,
        "session_ids": list(session_ids),
        "rule_version": RULES["missing_tasks"].version,
    }
    connection.execute(quality_statements.DROP_MISSING_TASKS, parameters)
    connection.execute(quality_statements.FLAG_MISSING_TASKS, parameters)
    return touched


def flag_after_gone(connection: psycopg.Connection, site: str) -> None:
    """After this transaction has marked sessions as gone from the site database: their twins are none now,
    and they complete no visit.
    """
    gone = [
        session_id for (session_id,) in connection.execute(quality_statements.GONE_SESSIONS, {"site": site})
    ]
    if gone:
        touched = {*gone, *companions(connection, site, gone)}
        _flag_duplicates(connection, site, sorted(touched))
        people = complete_visits(connection, site, gone, before=())
        push_written(connection, site, touched, people)


def _flag_duplicates(connection: psycopg.Connection, site: str, session_ids: list[str]) -> None:
    parameters = {
        "site": site,
        "session_ids": session_ids,
        "rule_version": RULES["duplicate_session"].version,
    }
    connection.execute(quality_statements.DROP_DUPLICATE_FLAGS, parameters)
    connection.execute(quality_statements.FLAG_DUPLICATES, parameters)
