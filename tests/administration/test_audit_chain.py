"""The audit log as a chain: what was changed afterwards is named."""

import asyncio
from collections.abc import Iterator

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import Connection

from reporting.audit import AuditEntry, record_entry
from reporting.audit_chain import Head, Verified, seal, verify
from reporting.engine import async_engine, sync_engine
from sync_server.audit_sealing import follow_audit_log
from tests.embedded.supervised import SupervisedSystem


class Log:
    """A sealed log of five entries, and somebody with every right and the triggers off."""

    def __init__(self, connection: Connection, intruder: psycopg.Connection) -> None:
        self.connection = connection
        self.intruder = intruder

    def write(self, number: int) -> None:
        entry = AuditEntry(
            actor="ada@example.org",
            actor_kind="person",
            action="participant.update",
            entity="participant",
            entity_id=f"SRO/s{number}",
            reason="why",
            before={"a": 1.5, "b": None},
            after={"ä": [number]},
        )
        self.connection.execute(record_entry(entry))
        self.connection.commit()

    def seal(self) -> Head:
        while True:
            sealed, head = seal(self.connection, most=2)
            self.connection.commit()
            if not sealed:
                return head

    def verify(self, expect: str | None = None) -> Verified:
        found = verify(self.connection, expect=expect)
        self.connection.rollback()
        return found

    def broken(self) -> tuple[str, int | None]:
        found = self.verify().first_break
        assert found is not None
        assert found.message
        return found.kind, found.entry

    def tamper(self, statement: str) -> None:
        self.intruder.execute("SET session_replication_role = replica")
        self.intruder.execute(statement.encode())


@pytest.fixture
def log(database_url: str, postgres_server: SupervisedSystem, fresh_database: str) -> Iterator[Log]:
    engine = sync_engine(database_url)
    superuser = psycopg.conninfo.make_conninfo(postgres_server.superuser_url, dbname=fresh_database)
    with engine.connect() as connection, psycopg.connect(superuser, autocommit=True) as intruder:
        log = Log(connection, intruder)
        for number in range(1, 6):
            log.write(number)
        yield log
    engine.dispose()


def test_entries_that_nobody_touched_verify_and_earlier_heads_stay_in_the_chain(log: Log) -> None:
    assert log.verify().unsealed == 5
    first = log.seal()
    assert (first.position, len(first.digest)) == (5, 64)
    assert log.seal() == first
    log.write(6)
    head = log.seal()
    found = log.verify(expect=first.digest)
    assert (found.head, found.entries, found.unsealed, found.first_break) == (head, 6, 0, None)


def test_entry_of_a_slow_transaction_is_sealed_after_later_ones(log: Log, database_url: str) -> None:
    with psycopg.connect(database_url) as slow:
        slow.execute(
            "INSERT INTO audit_log (actor, actor_kind, action, entity, entity_id)"
            " VALUES ('x', 'process', 'a.b', 'x', 'slow')"
        )
        log.write(7)
        log.seal()
        slow.commit()
    log.seal()
    assert log.verify().first_break is None
    order = log.intruder.execute("SELECT entry FROM audit_chain ORDER BY position").fetchall()
    assert [entry for (entry,) in order] == [1, 2, 3, 4, 5, 7, 6]


def test_entries_that_waited_for_days_to_be_sealed_verify(log: Log) -> None:
    log.tamper("UPDATE audit_log SET at = at - (6 - id) * interval '1 day'")
    log.seal()
    log.write(6)
    log.seal()
    assert log.verify().first_break is None


async def test_entries_committed_behind_many_sealed_ones_are_sealed_while_the_service_runs(
    log: Log, database_url: str
) -> None:
    engine = async_engine(database_url)
    sealing = asyncio.create_task(follow_audit_log(engine, interval=0.001))
    try:
        while log.verify().unsealed:  # noqa: ASYNC110 (the sealer tells nobody)
            await asyncio.sleep(0.01)
        log.intruder.execute(f"{OTHER_ENTRY} VALUES (-20000, now(), 'x', 'person', 'a.b', 'x', 'y')".encode())
        async with asyncio.timeout(30):
            while log.verify().unsealed:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
    finally:
        sealing.cancel()
        await asyncio.gather(sealing, return_exceptions=True)
        await engine.dispose()
    assert log.verify().first_break is None


OTHER_ENTRY = (
    "INSERT INTO audit_log (id, at, actor, actor_kind, action, entity, entity_id) OVERRIDING SYSTEM VALUE"
)


@pytest.mark.parametrize(
    ("tampering", "named"),
    [
        ("UPDATE audit_log SET reason = 'another' WHERE id = 3", ("changed", 3)),
        ("UPDATE audit_log SET after = '{}' WHERE id = 5", ("changed", 5)),
        ("UPDATE audit_log SET actor = 'eve@example.org' WHERE id = 2", ("broken", 2)),
        ("UPDATE audit_log SET at = at - interval '1 second' WHERE id = 1", ("broken", 1)),
        ("DELETE FROM audit_log WHERE id = 4", ("missing", 4)),
        ("DELETE FROM audit_log WHERE id = 5", ("missing", 5)),
        ("DELETE FROM audit_chain WHERE position = 2", ("missing", None)),
        (
            "UPDATE audit_chain SET entry = -entry; UPDATE audit_chain SET entry = CASE entry"
            " WHEN -2 THEN 3 WHEN -3 THEN 2 ELSE -entry END",
            ("changed", 3),
        ),
        ("UPDATE audit_chain SET sealed_at = sealed_at - interval '1 day' WHERE position = 1", ("broken", 1)),
        (
            "UPDATE audit_log SET erasure = 77, entity_id = 'erased', reason = NULL, before = NULL,"
            " after = NULL WHERE id = 2",
            ("unexplained", 2),
        ),
        (
            f"{OTHER_ENTRY} VALUES (-1, now() - interval '1 day', 'x', 'person', 'a.b', 'x', 'y')",
            ("backdated", -1),
        ),
    ],
)
def test_tampering_is_found_and_its_first_entry_named(
    log: Log, tampering: str, named: tuple[str, int | None]
) -> None:
    log.seal()
    log.tamper(tampering)
    log.seal()
    assert log.broken() == named


def test_newest_entries_that_are_gone_with_their_places_are_missed_by_who_kept_the_head(log: Log) -> None:
    head = log.seal()
    log.tamper("DELETE FROM audit_chain WHERE position >= 4")
    log.tamper("DELETE FROM audit_log WHERE id >= 4")
    assert log.verify().first_break is None
    found = log.verify(expect=head.digest).first_break
    assert found is not None
    assert found.kind == "unexpected"


@pytest.mark.parametrize("table", ["audit_log", "audit_chain"])
def test_application_can_neither_change_nor_drop_what_is_on_record(
    log: Log, database_url: str, table: str
) -> None:
    log.seal()
    name = sql.Identifier(table)
    key = sql.Identifier("id" if table == "audit_log" else "entry")
    with psycopg.connect(database_url, autocommit=True) as application:
        for statement in ("DELETE FROM {0}", "UPDATE {0} SET {1} = {1} + 1000"):
            with pytest.raises(psycopg.Error, match=r"append-only|can only be updated to DEFAULT"):
                application.execute(sql.SQL(statement).format(name, key))
        if table == "audit_log":
            with pytest.raises(psycopg.errors.RaiseException, match="append-only"):
                application.execute("UPDATE audit_log SET reason = NULL, erasure = 1")
