"""Studies, participants and batteries that become known after the sessions that name them.

Looking for flags that have become obsolete costs a look at every one of them, so it is done only where the
references have changed since the last time: their numbers, their newest, and what batteries consist of.

| what happens | outcome |
|---|---|
| a batch looked for a reference just before that came | it holds the lock: its site is looked at after it |
| a batch begins after the reference was committed | it sees the reference |
| a site's batch holds its lock | the site is passed over until the next look; no other waits for it |
| a session is written anew meanwhile | not meanwhile: the same lock |
| the projector dies in between | what was done stays; the next one begins with a look at every site |
| a battery's tasks change, or become unknown again | `missing_tasks` of its sessions are made anew |

A reference that is taken back brings no flag back until its sessions are projected again.
"""

from typing import Final, NamedTuple

import psycopg

from reporting.projection import quality_statements
from reporting.quality import RULES

_AT_ONCE: Final = 1_000


class References(NamedTuple):
    """What tells whether references have changed. Opaque."""

    known: str
    """The numbers of studies, participants and batteries, and the newest."""
    tasks: str
    """What batteries consist of."""


class Resolver:
    """Brings flags up to date with the references; remembers how far each site is."""

    def __init__(self) -> None:
        self._done: dict[str, References] = {}

    def __call__(self, connection: psycopg.Connection) -> int:
        """Look at every site that is behind; answers how many flags went or came."""
        with connection.transaction():
            row = connection.execute(quality_statements.REFERENCES).fetchone()
            sites = [site for (site,) in connection.execute(quality_statements.PROJECTED_SITES)]
        assert row is not None  # noqa: S101 (a SELECT without FROM has one)
        references = References(*row)
        changed = 0
        for site in sites:
            done = self._done.get(site)
            if done != references:
                found = resolve_site(
                    connection, site, with_tasks=done is None or done.tasks != references.tasks
                )
                if found is not None:
                    self._done[site] = references
                    changed += found
        return changed


def resolve_site(connection: psycopg.Connection, site: str, *, with_tasks: bool) -> int | None:
    """Bring one site's flags up to date; how many went or came, None where a batch has the site."""
    with connection.transaction():
        if connection.execute(quality_statements.LOCK_SITE, {"site": site}).fetchone() is None:
            return None
        changed = sum(
            connection.execute(statement, {"site": site}).rowcount
            for statement in quality_statements.RESOLVE_REFERENCES
        )
        return changed + (_flag_missing_tasks(connection, site) if with_tasks else 0)


def _flag_missing_tasks(connection: psycopg.Connection, site: str) -> int:
    changed = 0
    after = ""
    while True:
        parameters = {"site": site, "after": after, "limit": _AT_ONCE}
        page = [row[0] for row in connection.execute(quality_statements.SESSIONS_WITH_TASKS, parameters)]
        if not page:
            return changed
        flagged = {"site": site, "session_ids": page, "rule_version": RULES["missing_tasks"].version}
        before = connection.execute(quality_statements.DROP_MISSING_TASKS, flagged).rowcount
        now = connection.execute(quality_statements.FLAG_MISSING_TASKS, flagged).rowcount
        changed += abs(now - before)
        after = page[-1]
