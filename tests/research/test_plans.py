"""Plans of filtered pages: no statement of any dataset's page reads trials from end to end."""

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from psycopg.rows import namedtuple_row
from sqlalchemy import ClauseElement

from reporting.compiled import compiled
from reporting.engine import connect
from reporting.research import pages, query
from reporting.research.audience import Audience, Wanted
from reporting.research.datasets import DATASETS
from reporting.research.filters import period, read_filters
from reporting.research.keyset import Position
from reporting.research.pages import read_page
from reporting.research.query import Question, prepare
from reporting.research.relations import OF_SESSIONS
from reporting.steps import Steps

LARGE = {"trial_rows", "trial_extras"}

# Enough that a planner who may choose would rather read few sessions by their index.
ROWS = (
    "INSERT INTO studies (code) VALUES ('SRO')",
    "INSERT INTO research_policies (study, secret) VALUES ('SRO', sha256('x'))",
    """INSERT INTO sessions (site, id, study, participant, visit, status, started_at, rev)
    SELECT (ARRAY['lima', 'oslo'])[n % 2 + 1], md5(n::text), CASE WHEN n % 5 = 0 THEN 'other' ELSE 'SRO' END,
           'p' || n / 3, 'v' || n % 3, 'completed', '2026-01-01'::timestamptz + n * interval '1 hour', '1-a'
    FROM generate_series(1, 1500) AS n""",
    """INSERT INTO participants (study, code, site, enrolled_on)
    SELECT DISTINCT ON (study, participant) study, participant, site, '2026-01-01'::date FROM sessions""",
    """INSERT INTO trial_rows (site, session_id, task, run, trial_index, stage, rt_ms, response)
    SELECT site, id, 'simon', 1, t, 'test', 300 + t, '37' FROM sessions, generate_series(1, 80) AS t""",
    """INSERT INTO trial_extras SELECT site, id, 'simon', 1, part, '{"1": {"cue": "x"}}'
    FROM sessions, generate_series(0, 1) AS part""",
    """INSERT INTO scores SELECT site, id, task, 1, 'score' || n, n, 1
    FROM sessions, generate_series(1, 6) AS n, unnest('{simon,stroop}'::text[]) AS task""",
    """INSERT INTO quality_flags (site, session_id, task, run, trial_index, code, detail)
    SELECT site, id, 'simon', 1, n, 'anticipatory', '{}' FROM sessions, generate_series(1, 8) AS n""",
)


@pytest.fixture
def connection(database_url: str, owner_database_url: str) -> Iterator[psycopg.Connection]:
    with connect(owner_database_url) as owner:
        for statement in ROWS:
            owner.execute(statement.encode())
        owner.execute("ANALYZE")
    with connect(database_url) as service:
        yield service


def read_whole(plan: dict[str, Any]) -> Iterator[str]:
    """The tables that a plan reads from end to end."""
    if plan["Node Type"] == "Seq Scan":
        yield plan["Relation Name"]
    for child in plan.get("Plans", ()):
        yield from read_whole(child)


def explained(connection: psycopg.Connection, steps: Steps[Any]) -> tuple[list[str], Any]:
    """The large tables that the steps' statements would read whole, and what the steps come to."""
    found: list[str] = []

    def ask(statement: ClauseElement) -> Any:
        sql, parameters = compiled(statement)
        plan = connection.execute(f"EXPLAIN (FORMAT JSON) {sql}".encode(), parameters).fetchone()
        assert plan is not None
        found.extend(name for name in read_whole(plan[0][0]["Plan"]) if name in LARGE)
        # Rows with names, as the service has them.
        return connection.cursor(row_factory=namedtuple_row).execute(sql.encode(), parameters)

    try:
        statement = next(steps)
        while True:
            statement = steps.send(ask(statement).fetchall())
    except StopIteration as end:
        return found, end.value


FILTERS: list[tuple[dict[str, str], str | None]] = [
    ({}, None),
    ({"participant": "p100"}, None),
    ({"site": "oslo", "visit": "v1"}, None),
    ({"session_id": "none"}, None),
    ({}, "2026-01-20"),
]
OF_ROWS = {
    "trials": {"rt_ms.gte": "375", "task": "simon"},
    "scores_long": {"score": "score3", "value.gte": "3"},
    "quality": {"level": "serious"},
    "sessions_wide": {"stroop_acc.gte": "0.5", "flags_serious.gte": "1"},
}


def test_no_page_of_any_dataset_reads_trials_whole(connection: psycopg.Connection) -> None:
    asked = 0
    for name, dataset in DATASETS.items():
        of_rows = [(OF_ROWS[name], None)] if name in OF_ROWS else []
        filters = FILTERS if name in OF_SESSIONS else [({}, None), ({"participant": "p100"}, None)]
        for given, since in (*filters, *of_rows):
            for audience in (Audience.IDENTIFIED, Audience.DEIDENTIFIED):
                conditions = (*read_filters(dataset, given.items()), *period(dataset, since, None))
                question = Question(dataset, audience, Wanted("SRO"), conditions)
                whole, prepared = explained(connection, prepare(question))
                position: Position | None = None
                for _ in range(2):
                    steps = read_page(prepared, list(dataset.by_name), 50, position)
                    more, page = explained(connection, steps)
                    whole += more
                    position = page.next
                    if position is None:
                        break
                assert whole == [], (name, given, since, audience)
                asked += 1
    assert asked > 60


def test_the_test_would_notice_a_table_that_is_read_whole(
    connection: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection.execute(
        "SET enable_indexscan = off; SET enable_bitmapscan = off; SET enable_indexonlyscan = off"
    )
    prepared = query.Prepared(Question(DATASETS["trials"], Audience.IDENTIFIED, Wanted("SRO")), None, None, 0)
    monkeypatch.setattr(pages, "MOST_SESSIONS", dict.fromkeys(OF_SESSIONS, 8))
    whole, page = explained(connection, read_page(prepared, ["rt_ms", "extra"], 10, None))
    assert len(page.rows) == 10
    assert set(whole) == {"trial_rows", "trial_extras"}
