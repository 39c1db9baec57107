"""Field sessions as rows, and what hangs on them, for what reads datasets."""

import gzip
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import Connection, text

from reporting.engine import sync_engine
from reporting.projection.pump import Pump
from reporting.research.audience import Audience, Wanted
from reporting.research.datasets import DATASETS
from reporting.research.relations import relation, sort_key
from tests.projection.memory_feed import MemoryFeed

SECRET = b"s" * 32
EVERYWHERE = Wanted("SRO")
Row = dict[str, Any]

PREPARED = """
INSERT INTO studies (code) VALUES ('SRO'), ('other');
INSERT INTO participants (study, code, site, enrolled_on, redcap_id)
SELECT DISTINCT ON (study, participant) study, participant, site, '2016-07-01'::date, 'r-' || participant
FROM sessions ORDER BY study, participant, site;
INSERT INTO visits (study, participant, code, site, state, due_on, window_from, window_to, completed_on,
                    in_window, session_site, session_id, session_count, moved_to)
SELECT DISTINCT ON (participant) study, participant, 'first', site, 'completed', '2016-07-11',
       '2016-07-10', '2016-07-12', '2016-07-12', true, site, id, 1, '2016-07-11'
FROM sessions ORDER BY participant, site, id;
UPDATE sessions SET source_missing_at = now() WHERE (site, id) = (SELECT site, max(id) FROM sessions
    WHERE site = 'lima' GROUP BY site);
UPDATE sessions SET started_at_corrected = started_at - interval '3 days', clock_offset_s = -259200,
                    ended_at_corrected = ended_at - interval '3 days', device_id = 'tablet-1',
                    received_at = started_at
WHERE (site, id) = (SELECT site, min(id) FROM sessions WHERE site = 'lima' GROUP BY site);
INSERT INTO scores SELECT site, session_id, task, run + 1, name, -1, scoring_version FROM scores;
INSERT INTO conflicts (site, session_id, path, winner_rev, other_rev, state)
SELECT site, id, state, '1-a', '1-b', state
FROM sessions, unnest('{open,resolved,outdated}'::text[]) AS state;
UPDATE conflicts SET correction = 'correction:b' || session_id WHERE state = 'outdated';
INSERT INTO corrections (site, doc_id, session_id, number, rev, kind, reason, author, made_at, body,
                         source_missing_at)
SELECT site, 'correction:' || name || id, id, 1, '1-a', 'patch', '', '', now(), '{}',
       CASE WHEN name = 'c' THEN now() END
FROM sessions, unnest('{a,b,c}'::text[]) AS name;
INSERT INTO losing_revisions (site, doc_id, rev, winner_rev)
SELECT site, 'session:' || id, '1-b', '1-a' FROM sessions;
"""


def field_documents(directory: Path | None) -> dict[str, list[Row]]:
    """The first documents of each kind, of two sites."""
    if directory is None:
        pytest.skip("the field sessions are not beside the checkout")
    found: dict[str, list[Row]] = {"lima": [], "nairobi": []}
    for site, documents in found.items():
        for file in sorted(directory.glob(f"*-{site}.ndjson.gz")):
            with gzip.open(file) as lines:
                documents.extend(msgspec.json.decode(line) for line in islice(lines, 1))
    return found


@pytest.fixture
async def projected(database_url: str, shared_field_sessions: Path | None) -> None:
    """Field sessions of two sites, their participants enrolled, visits completed by them."""
    feed = MemoryFeed("lima", "nairobi")
    for site, documents in field_documents(shared_field_sessions).items():
        for document in documents:
            feed[site].save(document, "1-a")
    await Pump(feed, database_url).drain()


@pytest.fixture
def service(projected: None, database_url: str) -> Iterator[Connection]:
    engine = sync_engine(database_url)
    with engine.connect() as connection:
        for statement in PREPARED.split(";\n"):
            connection.execute(text(statement.replace(":", r"\:").replace(r"\:\:", "::")))
        connection.execute(
            text("INSERT INTO research_policies (study, secret) VALUES ('SRO', :secret)"), {"secret": SECRET}
        )
        yield connection
    engine.dispose()


def rows(service: Connection, name: str, audience: Audience, wanted: Wanted = EVERYWHERE) -> list[Row]:
    """The dataset's rows in their order."""
    made = relation(DATASETS[name], audience, wanted).subquery()
    statement = made.select().order_by(*(made.c[key] for key in sort_key(DATASETS[name])))
    return [dict(row) for row in service.execute(statement).mappings()]


def raw(service: Connection, query: str) -> list[Row]:
    return [dict(row) for row in service.execute(text(query)).mappings()]
