"""The field study of one site as a whole system would have it: projected, planned, with a researcher's login.

Those who did the Stroop task twice, months apart; of their sessions the ones that have it.
"""

import gzip
import re
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
import psycopg

from reporting.projection.pump import Pump
from tests.projection.memory_feed import MemoryFeed

SITE: Final = "lima"
TASK: Final = "stroop"

_PLANNED: Final = """
INSERT INTO studies (code, title, status) VALUES ('SRO', 'Self-regulation', 'active') ON CONFLICT DO NOTHING;
INSERT INTO sites (code) SELECT DISTINCT site FROM sessions ON CONFLICT DO NOTHING;
INSERT INTO study_sites (study, site) SELECT DISTINCT study, site FROM sessions;
INSERT INTO participants (study, code, site, status, enrolled_on)
SELECT study, participant, min(site), 'enrolled', min(started_at)::date FROM sessions GROUP BY 1, 2;
INSERT INTO visit_definitions (study, code, anchor, position)
VALUES ('SRO', 'baseline', 'enrolment', 1), ('SRO', 'retest', 'baseline', 2);
INSERT INTO visits (study, participant, code, site, state, due_on, window_from, window_to, completed_on,
                    in_window, session_site, session_id, session_count)
SELECT DISTINCT ON (participant, visit) study, participant, visit, site, 'completed', started_at::date,
       started_at::date - 14, started_at::date + 14, started_at::date, true, site, id, 1
FROM sessions ORDER BY participant, visit, started_at;
"""


class FieldStudy(NamedTuple):
    """Where it is: the service's login, the owner's, a researcher's."""

    database_url: str
    owner_url: str
    researcher_url: str


def documents(directory: Path) -> list[dict[str, Any]]:
    """The sessions with the task, of those who have it at both visits."""
    retest = [msgspec.json.decode(line) for line in _lines(directory / f"retest-{SITE}.ndjson.gz")]
    twice = {each["participant"] for each in retest}
    # Not decoded before it is known whose it is: most of them are of others.
    wanted = re.compile(rb'"participant":"(?:%s)"' % b"|".join(sorted(code.encode() for code in twice)))
    lines = _lines(directory / f"complete-{SITE}.ndjson.gz")
    return retest + [msgspec.json.decode(line) for line in lines if wanted.search(line)]


def _lines(path: Path) -> list[bytes]:
    with gzip.open(path) as lines:
        return [line for line in lines if b'"task":"%s"' % TASK.encode() in line]


async def project(directory: Path, database_url: str) -> None:
    """Into an empty database."""
    feed = MemoryFeed(SITE)
    for document in documents(directory):
        kept = [run for run in document["tasks"] if run["task"] == TASK]
        feed[SITE].save({**document, "tasks": kept}, "1-a")
    await Pump(feed, database_url).drain()


def plan(admin: psycopg.Connection) -> None:
    """The study, its roster and its visits, from the sessions; `admin` may do everything."""
    admin.execute(_PLANNED)
