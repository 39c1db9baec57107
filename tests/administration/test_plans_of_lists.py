"""Plans of the lists of a study: an index finds what a page shows, and passes what is before."""

from collections.abc import Iterator
from datetime import date
from typing import Any

import psycopg
import pytest
from sqlalchemy import ClauseElement, func, select

from reporting.compiled import compiled
from reporting.engine import connect
from reporting.participants import roster
from reporting.participants.roster import RosterFilter, select_roster
from reporting.queries.snapshot import Page, part_of
from reporting.scope import Part, Scope
from reporting.visits import listing
from reporting.visits.listing import VisitFilter, select_visits

TODAY = {"UTC": date(2026, 5, 1), "America/Lima": date(2026, 4, 30)}
EVERYTHING = Scope((Part(),))
ROWS = (
    """INSERT INTO participants (study, code, site)
    SELECT CASE WHEN n % 10 = 0 THEN 'SRO' ELSE 'other' END, 'p' || n, 'lima'
    FROM generate_series(1, 3000) n""",
    """INSERT INTO visits (study, participant, code, site, state, due_on)
    SELECT study, code, 'v' || n, site, CASE n WHEN 9 THEN 'due' ELSE 'completed' END, '2026-01-01'::date + n
    FROM participants, generate_series(1, 9) n""",
)


@pytest.fixture
def connection(owner_database_url: str) -> Iterator[psycopg.Connection]:
    with connect(owner_database_url) as owner:
        for statement in ROWS:
            owner.execute(statement.encode())
        owner.commit()
        owner.autocommit = True
        owner.execute("VACUUM (ANALYZE) visits, participants, consents")
        yield owner


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", ()):
        yield from nodes(child)


def scans(connection: psycopg.Connection, statement: ClauseElement, table: str) -> list[tuple[str, str]]:
    """How a statement's plan reads a table: by what, and by which index."""
    sql, parameters = compiled(statement)
    row = connection.execute(f"EXPLAIN (FORMAT JSON) {sql}".encode(), parameters).fetchone()
    assert row is not None
    found = [node for node in nodes(row[0][0]["Plan"]) if node.get("Relation Name") == table]
    return [(node["Node Type"], node.get("Index Name", "")) for node in found]


def number_of(matching: Any) -> ClauseElement:
    return select(func.count()).select_from(matching.order_by(None).subquery())


def test_the_lists_of_a_study_are_read_by_their_indexes(connection: psycopg.Connection) -> None:
    visits = select_visits(TODAY, EVERYTHING, VisitFilter(study="SRO")).order_by(*listing.KEY)
    late = select_visits(TODAY, EVERYTHING, VisitFilter(study="SRO", overdue=True)).order_by(*listing.KEY)
    in_order, by_state = (
        "ix_visits_study_due_on_participant_code",
        "ix_visits_study_state_due_on_participant_code",
    )
    assert [how for how, _ in scans(connection, number_of(visits), "visits")] == ["Index Only Scan"]
    assert scans(connection, part_of(visits, Page(1, 100)), "visits") == [("Index Scan", in_order)]
    assert scans(connection, late.limit(1), "visits") == [("Index Scan", by_state)]
    far = part_of(visits, Page(25, 100), listing.IDENTITY)
    assert sorted(scans(connection, far, "visits")) == [
        ("Index Only Scan", in_order),
        ("Index Scan", "pk_visits"),
    ]
    people = select_roster(RosterFilter(study="SRO"), EVERYTHING).order_by(*roster.KEY)
    far = part_of(people, Page(4, 50), roster.KEY)
    assert ("Index Only Scan", "pk_participants") in scans(connection, far, "participants")
    # Passing over participants is no look at their consents, and one who is shown is looked up once.
    consents = scans(connection, far, "consents")
    without = select_roster(RosterFilter(study="SRO", consent="none"), EVERYTHING)
    assert [len(consents), len(scans(connection, number_of(without), "consents"))] == [1, 1]
