"""What must hold after documents were pushed: every revision on both sides, every row once, every score
right.
"""

import asyncio
import math
from collections.abc import Mapping
from typing import Any

import aiohttp
from psycopg import sql

from replication.client import CouchClient
from tests.end_to_end.conftest import Corpus
from tests.end_to_end.system import System
from tests.independent_scores import independent_scores

RESULT_TABLES = (
    "sessions",
    "task_runs",
    "trial_rows",
    "trial_extras",
    "scores",
    "quality_flags",
    "quarantine",
    "conflicts",
    "documents",
)


def is_projected(system: System, corpus: Corpus) -> bool:
    """Whether every session of the corpus has rows."""
    return bool(system.value("SELECT count(*) FROM sessions") >= corpus.documents)


def check_counts(system: System, corpus: Corpus) -> None:
    """Exactly the corpus's sessions and trials, nothing quarantined, nothing in conflict."""
    assert system.value("SELECT count(*) FROM sessions") == corpus.documents
    assert system.value("SELECT count(*) FROM trials") == corpus.trials
    assert system.value("SELECT count(*) FROM quarantine") == 0
    assert system.value("SELECT count(*) FROM conflicts") == 0
    assert system.value("SELECT count(*) FROM ingest_log WHERE outcome = 'received'") == corpus.documents


def check_revisions(system: System, tablet_revs: Mapping[str, Mapping[str, str]]) -> None:
    """Each site database, and Postgres, has the very revisions of its tablet. `tablet_revs`: site → id →
    rev.
    """
    for site, revs in tablet_revs.items():
        assert asyncio.run(store_revisions(system, f"site-{site}")) == {
            doc_id: (rev,) for doc_id, rev in revs.items()
        }
        with system.connect() as connection:
            rows = connection.execute("SELECT 'session:' || id, rev FROM sessions WHERE site = %s", [site])
            assert dict(rows.fetchall()) == revs


async def store_revisions(system: System, database: str) -> dict[str, tuple[str, ...]]:
    """Every document's leaves as the site database's feed tells them, but for the design documents that a
    CouchDB's site databases are made with.
    """
    async with aiohttp.ClientSession() as session:
        client = CouchClient(session, f"{system.base_url}/db", headers=system.service_headers)
        page = await client.changes(database, "0", limit=100_000)
    return {change.id: change.revs for change in page.changes if not change.id.startswith("_design/metricis")}


def check_scores(system: System, corpus: Corpus) -> None:
    """Every score equals the independent computation to 1e-9, and there is no other score."""
    with system.connect() as connection:
        rows = connection.execute("SELECT site, session_id, task, run, name, value FROM scores").fetchall()
    stored = {tuple(row[:5]): row[5] for row in rows}
    assert len(stored) == len(rows)
    expected: dict[tuple[Any, ...], float | None] = {}
    for document in corpus.read():
        session_id = document["_id"].removeprefix("session:")
        for (task, run, name), value in independent_scores(document).items():
            expected[document["site"], session_id, task, run, name] = value
    assert stored.keys() == expected.keys()
    wrong = {key: (stored[key], value) for key, value in expected.items() if not _equal(stored[key], value)}
    assert wrong == {}


def _equal(one: float | None, other: float | None) -> bool:
    if one is None or other is None:
        return one is other
    return math.isclose(one, other, rel_tol=1e-9, abs_tol=1e-9)


def fingerprint(system: System) -> dict[str, str]:
    """A hash of every result table, order left out, moments of projection included."""
    hashes = {}
    with system.connect() as connection:
        for table in RESULT_TABLES:
            hashed = sql.SQL("SELECT md5(string_agg(md5(t::text), '' ORDER BY md5(t::text))) FROM {} t")
            row = connection.execute(hashed.format(sql.Identifier(table))).fetchone()
            assert row is not None
            hashes[table] = str(row[0])
    return hashes
