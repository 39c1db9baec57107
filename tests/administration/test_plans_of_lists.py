"""Plans of long lists and counts: an index finds what a page shows, and passes what is before."""

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
from reporting.queries.audit import ENTRY, LATEST_FIRST, AuditFilter, select_audit
from reporting.queries.health import select_progress
from reporting.queries.listing import Order, order_of
from reporting.queries.snapshot import Page, end_of, part_of
from reporting.queries.tallies import select_of_visits, select_overdue
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
    """INSERT INTO audit_log (actor, actor_kind, action, entity, entity_id, study, before)
    SELECT 'person-' || n % 100, 'person', 'visit.move', 'visit', n, 'S-' || n % 100,
           to_jsonb(repeat('x', 300))
    FROM generate_series(1, 6000) n""",
    """INSERT INTO ingest_log (site, doc_id, rev, outcome, device, role, credential, request_id, received_at)
    SELECT 'site-' || n % 10, n, '1-a', 'received', 'tablet', 'tablet', 'c', n,
           now() - n * interval '1 minute'
    FROM generate_series(1, 6000) n""",
    """INSERT INTO checkpoints (site, database, epoch, batch, since, rereading)
    SELECT 'site-' || n, 'd', 'e', 1, '1', false FROM generate_series(0, 9) n""",
)


@pytest.fixture
def connection(owner_database_url: str) -> Iterator[psycopg.Connection]:
    with connect(owner_database_url) as owner:
        for statement in ROWS:
            owner.execute(statement.encode())
        owner.commit()
        owner.autocommit = True
        owner.execute("VACUUM (ANALYZE) visits, participants, consents, audit_log, ingest_log, checkpoints")
        yield owner


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", ()):
        yield from nodes(child)


def reads(connection: psycopg.Connection, statement: ClauseElement, table: str) -> list[dict[str, Any]]:
    """The nodes of a statement's plan that read a table."""
    sql, parameters = compiled(statement)
    row = connection.execute(f"EXPLAIN (FORMAT JSON) {sql}".encode(), parameters).fetchone()
    assert row is not None
    return [node for node in nodes(row[0][0]["Plan"]) if node.get("Relation Name") == table]


def scans(connection: psycopg.Connection, statement: ClauseElement, table: str) -> list[tuple[str, str]]:
    """How a statement's plan reads a table: by what, and by which index."""
    found = reads(connection, statement, table)
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

    # What all studies show of themselves, and how the sites' projection is, is told by indexes alone.
    (how,) = scans(connection, select_of_visits(EVERYTHING, date(2024, 1, 1)), "visits")
    assert how == ("Index Only Scan", "ix_visits_study_state_completed_on_site")
    assert "Seq Scan" not in [
        how for how, _ in scans(connection, select_overdue(EVERYTHING, TODAY), "visits")
    ]
    (receipts,) = reads(connection, select_progress(), "ingest_log")
    assert "received_at >" in receipts["Index Cond"]
    for wanted in (AuditFilter(study="S-7"), AuditFilter(actor="person-7")):
        acts = select_audit(wanted, EVERYTHING)
        assert "Seq Scan" not in [how for how, _ in scans(connection, number_of(acts), "audit_log")]
    acts = select_audit(AuditFilter(), EVERYTHING)
    last = end_of(acts, Page(119, 50), LATEST_FIRST, (ENTRY,), 5980)
    assert scans(connection, last, "audit_log") == [
        ("Index Only Scan", "pk_audit_log"),
        ("Index Scan", "pk_audit_log"),
    ]
    sql, parameters = compiled(last)
    shown = [row[0] for row in connection.execute(sql.encode(), parameters)]
    assert shown == list(range(31, 81))


def test_a_page_from_the_end_has_what_the_page_has(connection: psycopg.Connection) -> None:
    visits = select_visits(TODAY, EVERYTHING, VisitFilter(study="SRO"))
    order = order_of(Order("due_on", descending=True), sortable=listing.SORTABLE, key=listing.KEY)

    def read(statement: Any) -> list[Any]:
        sql, parameters = compiled(statement)
        return connection.execute(sql.encode(), parameters).fetchall()

    connection.execute("UPDATE visits SET due_on = NULL WHERE code = 'v3'")
    for page in (Page(20, 100), Page(27, 100), Page(28, 99), Page(99, 100)):
        forwards = read(part_of(visits.order_by(*order), page, listing.IDENTITY))
        assert read(end_of(visits, page, order, listing.IDENTITY, 2700))[::-1] == forwards
        assert len(forwards) == {20: 100, 27: 100, 28: 27, 99: 0}[page.number]
