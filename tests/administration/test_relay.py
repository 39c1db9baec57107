"""From the outbox to a worker and back: claims, leases, and what is lost in between."""

import asyncio

import psycopg
from sqlalchemy import text

from reporting.compiled import execute_in
from reporting.engine import sync_engine
from reporting.outbox.claims import Started, end, ending, start
from reporting.outbox.policy import Done
from reporting.publication.requests import publish_documents, publish_sites
from reporting.tables import outbox
from sync_server.jobs.duties import duties, sweep
from sync_server.jobs.registry import FOR_A_DAY
from tests.administration.desk import Desk, at_desk
from tests.administration.office import Office


def ask(office: Office, *names: str) -> None:
    execute_in(office.connection, publish_documents([("lima", f"participant:SRO/{name}") for name in names]))


def swept(desk: Desk) -> None:
    engine = sync_engine(desk.resources.settings.database_url)
    with engine.begin() as connection:
        sweep(connection, connection.execute(text("SELECT now()")).scalar_one())
    engine.dispose()


async def test_many_changes_of_a_site_are_few_jobs(office: Office) -> None:
    office.study("SRO", "lima", "quito")
    async with at_desk(office) as desk:
        ask(office, *(f"p{n}" for n in range(1200)))
        execute_in(office.connection, publish_sites(["quito"]))
        assert desk.relay.turn() == 1201
        sizes = [len(claims) for _, claims in desk.queues.jobs]
        assert sorted(sizes) == [1, 200, 500, 500]
        # What is claimed is not claimed again, by this relay or another.
        assert desk.relay.turn() == 0


async def test_what_redis_lost_is_claimed_again_and_an_old_job_does_nothing(office: Office) -> None:
    await office.gateway.open_site("lima")
    office.study("SRO", "lima")
    async with at_desk(office) as desk:
        ask(office, "a", "b")
        desk.relay.turn()
        lost = desk.queues.jobs
        desk.queues.jobs = []
        swept(desk)
        assert desk.relay.turn() == 0, "the claim has not run out"
        # Redis was emptied: noticed at once. Without that, the claim runs out.
        desk.queues.emptied = True
        assert desk.relay.turn() == 2
        office.rows("UPDATE outbox SET leased_until = now() - interval '1 s'")
        desk.queues.jobs = []
        swept(desk)
        assert desk.relay.turn() == 2
        again = desk.queues.jobs
        desk.queues.jobs = lost + again + again
        assert await desk.work() == 2, "each is begun once, however often it was carried"
        assert desk.states() == {"publication": ["done", "done"]}
        # None of that was an attempt.
        assert office.rows("SELECT DISTINCT attempts FROM outbox") == [(1,)]


async def test_a_worker_that_died_counts_as_an_attempt_and_a_late_one_ends_nothing(office: Office) -> None:
    await office.gateway.open_site("lima")
    office.study("SRO", "lima")
    async with at_desk(office) as desk:
        ask(office, "a")
        desk.relay.turn()
        [(_, claims)] = desk.queues.jobs
        desk.queues.jobs = []
        engine = desk.resources.engine
        async with engine.begin() as connection:
            [begun] = [
                Started(*row) for row in await connection.execute(start(claims, lease=desk.relay._lease))
            ]
        office.rows("UPDATE outbox SET leased_until = now() - interval '1 s'")
        swept(desk)
        [(state, attempts, error)] = office.rows("SELECT state, attempts, error FROM outbox")
        assert (state, attempts) == ("pending", 1)
        assert "lease ran out" in error
        late = ending(begun, Done(), FOR_A_DAY, now=begun.started_at)
        async with engine.begin() as connection:
            assert (await connection.execute(end([late]))).all() == []
        assert desk.states() == {"publication": ["pending"]}
        office.rows("UPDATE outbox SET next_attempt_at = now()")
        await desk.drain()
        assert desk.states() == {"publication": ["done"]}
        # One that takes its worker along each time is given up in the end.
        ask(office, "a")
        office.rows("UPDATE outbox SET attempts = 1000")
        desk.relay.turn()
        office.rows("UPDATE outbox SET started_at = now(), leased_until = now() - interval '1 s'")
        swept(desk)
        assert desk.states() == {"publication": ["dead"]}


async def test_what_is_asked_for_again_during_its_delivery_stays_due(office: Office) -> None:
    await office.gateway.open_site("lima")
    office.study("SRO", "lima")
    async with at_desk(office) as desk:
        ask(office, "a")
        desk.relay.turn()
        [(_, claims)] = desk.queues.jobs
        async with desk.resources.engine.begin() as connection:
            [row] = await connection.execute(start(claims, lease=desk.relay._lease))
        ask(office, "a")
        done = ending(Started(*row), Done(), FOR_A_DAY, now=row.started_at)
        async with desk.resources.engine.begin() as connection:
            assert (await connection.execute(end([done]))).all() == []
        assert desk.states() == {"publication": ["pending"]}


async def test_two_workers_with_the_same_documents_write_each_once(office: Office) -> None:
    await office.gateway.open_site("lima")
    office.study("SRO", "lima")
    office.rows(
        "INSERT INTO participants (study, code, site)"
        " SELECT 'SRO', 'p' || n, 'lima' FROM generate_series(1, 300) n"
    )
    async with at_desk(office) as one, at_desk(office) as two:
        ask(office, *(f"p{n}" for n in range(1, 301)))
        one.relay.turn()
        # Asked for again at once: claimed by the other relay, while the first claim is being worked on.
        ask(office, *(f"p{n}" for n in range(1, 301)))
        two.relay.turn()
        await asyncio.gather(one.work(), two.work())
        await one.drain()
        documents = await one.documents("lima")
        assert len(documents) == 300
        assert {document["_rev"].partition("-")[0] for document in documents.values()} == {"1"}
        assert set(one.states()["publication"]) == {"done"}


async def test_duties_are_done_by_one_relay_in_their_interval_and_prune_what_is_old(office: Office) -> None:
    office.study("SRO", "lima")
    async with at_desk(office) as desk:
        settings = desk.resources.settings
        engine = sync_engine(settings.database_url)
        for _ in range(2):
            desk.relay._duties, desk.relay._duties_due_at = duties(settings), 0.0
            desk.relay.do_duties()
        # The drift duty asked for the site once, another for a look at files that nobody needs.
        asked = office.rows("SELECT kind, key, ticket FROM outbox ORDER BY kind")
        assert asked == [("publication", "lima/*", 1), ("research_sweep", "sweep", 1)]
        office.rows("UPDATE outbox SET state = 'done', ended_at = now() - interval '31 days'")
        office.rows(
            "INSERT INTO outbox (kind, key, payload, payload_sha256, state, ended_at) VALUES"
            " ('event', 'told', '{\"a\": 1}', '', 'done', now() - interval '31 days'),"
            " ('webhook', 'dead', '{}', '', 'dead', now() - interval '31 days'),"
            " ('webhook', 'new', '{}', '', 'done', now())"
        )
        office.rows("UPDATE duties SET ran_at = now() - interval '50 minutes'")
        desk.relay._duties_due_at = 0.0
        desk.relay.do_duties()
        kept = office.rows("SELECT key, payload FROM outbox ORDER BY key")
        assert kept == [("dead", {}), ("new", {}), ("told", {})]
        engine.dispose()


def test_an_entry_wakes_who_listens(database_url: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as listening:
        listening.execute("LISTEN outbox")
        with psycopg.connect(database_url) as connection:
            execute_in(connection, publish_sites(["lima"]))
        assert [told.channel for told in listening.notifies(timeout=5, stop_after=1)] == ["outbox"]
        assert outbox.name == "outbox"
