"""What older rules have quarantined is judged again by newer ones, without anybody asking.

A tablet with next year's app sends schema 2 to a server that knows schema 1: quarantined. After the update
the document is valid, but nothing in the feed changes. So every entry carries the version of the rules that
judged it, and the projector asks for a replay of each that older ones have judged. The same goes for
documents of a kind that had no rows then (consents, before they were managed), recorded as merely stored.

| what happens | outcome |
|---|---|
| the newer rules still quarantine it | it carries the newer version, and is not asked for again |
| the projector dies before the transaction | asked for again at the next start |
| … after it, before the replay | the replay is a row, and waits |
| the document is gone from the site database | asked for once: the entry carries the version from then on |
| a projector of the old version is faster | it writes its own version: asked for again at the next look |
| a stored document of a kind is gone | not asked for; it is when it is found again |
"""

from itertools import groupby
from typing import Final

import psycopg

from reporting.projection import quality_statements
from reporting.projection.kinds import KINDS
from reporting.projection.replays import request_replays

_AT_ONCE: Final = 1_000


def replay_judged_by_older_rules(connection: psycopg.Connection, rules_version: int) -> int:
    """Ask for a replay of every document that rules before `rules_version` have quarantined; answers of how
    many entries. In transactions of a thousand entries each.
    """
    asked = 0
    while True:
        with connection.transaction():
            found = connection.execute(
                quality_statements.JUDGED_BY_OLDER_RULES,
                {"rules_version": rules_version, "limit": _AT_ONCE},
            ).fetchall()
            for site, entries in groupby(found, key=lambda entry: entry[0]):
                keys = sorted({doc_id for _, doc_id in entries})
                request_replays(connection, site, keys, cause="rules", requested_by="projector")
                connection.execute(
                    quality_statements.NOTE_RULES,
                    {"site": site, "doc_ids": keys, "rules_version": rules_version},
                )
        asked += len(found)
        if not found:
            return asked


def replay_stored_without_rows(connection: psycopg.Connection) -> int:
    """Ask for a replay of every document that was stored when its kind had no rows; answers of how many. In
    transactions of a thousand each.
    """
    asked = 0
    while True:
        with connection.transaction():
            about = {"types": list(KINDS), "limit": _AT_ONCE}
            found = connection.execute(quality_statements.STORED_WITHOUT_ROWS, about).fetchall()
            for site, entries in groupby(found, key=lambda entry: entry[0]):
                keys = [doc_id for _, doc_id in entries]
                request_replays(connection, site, keys, cause="rules", requested_by="projector")
        asked += len(found)
        if len(found) < _AT_ONCE:
            return asked
