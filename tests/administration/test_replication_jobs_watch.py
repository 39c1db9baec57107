"""Looks on record: late, twice and many of them; and when a relay asks for one."""

from datetime import timedelta

from sqlalchemy import Connection

from reporting.engine import sync_engine
from reporting.outbox.duties import Duty
from reporting.replication_jobs.changing import Wanted, act_on_job, create_job, read_job
from reporting.replication_jobs.health import Look
from reporting.replication_jobs.observing import Seen, record_looks
from reporting.replication_jobs.rows import EVENTS_KEPT
from sync_server.jobs.duties import duties
from sync_server.settings import Settings
from tests.administration.office import Office

PATIENCE = timedelta(minutes=15)


def make(connection: Connection, name: str = "up") -> int:
    wanted = Wanted(
        site="lima", name=name, kind="collected", direction="push", url="https://centre.example/db/site-lima"
    )
    return create_job(connection, wanted, by="somebody").id


def record(connection: Connection, job: int, look: Look, *, generation: int = 1, attempt: int = 1) -> None:
    record_looks(connection, [Seen(job, generation, attempt, look)], patience=PATIENCE)


async def test_a_look_of_an_older_attempt_or_a_paused_job_is_not_recorded(office: Office) -> None:
    office.study("SRO", "lima")
    with office.gateway.database() as engine, engine.begin() as connection:
        job = make(connection)
        record(connection, job, Look(state="running", written=1))
        act_on_job(connection, read_job(connection, job), "retry", by="somebody")
        record(connection, job, Look(state="running", written=9))
        assert read_job(connection, job).state == "initializing"
        record(connection, job, Look(state="running", written=2), attempt=2)
        assert read_job(connection, job).written == 2
        act_on_job(connection, read_job(connection, job), "pause", by="somebody")
        record(connection, job, Look(state="failed", error="x"), attempt=2)
        paused = read_job(connection, job)
        assert (paused.state, paused.stuck_since, paused.error) == ("paused", None, None)
        # Of a job that is not there.
        record(connection, 999, Look(state="running"))


async def test_an_episode_is_told_once_and_ends_when_somebody_pauses_the_job(office: Office) -> None:
    office.study("SRO", "lima")
    with office.gateway.database() as engine, engine.begin() as connection:
        job = make(connection)
        for error in ("a", "b"):
            record(connection, job, Look(state="failed", error=error))
        assert read_job(connection, job).stuck_since is not None
        act_on_job(connection, read_job(connection, job), "pause", by="somebody")
        act_on_job(connection, read_job(connection, job), "resume", by="somebody")
        record(connection, job, Look(state="failed", error="c"))
    told = office.rows("SELECT split_part(key, ':', 1), payload FROM outbox WHERE kind = 'event' ORDER BY id")
    assert [name for name, _ in told] == ["replication.stuck", "replication.recovered", "replication.stuck"]
    assert [payload["data"]["state"] for _, payload in told] == ["failed", "paused", "failed"]


async def test_the_history_keeps_the_last_events_of_each_job(office: Office) -> None:
    office.study("SRO", "lima")
    with office.gateway.database() as engine, engine.begin() as connection:
        one, other = make(connection), make(connection, "other")
        record(connection, other, Look(state="running"))
        for number in range(EVENTS_KEPT + 5):
            record(connection, one, Look(state="running" if number % 2 else "pending"))
    counts = office.rows("SELECT job, count(*) FROM replication_job_events GROUP BY job ORDER BY job")
    assert counts == [(one, EVENTS_KEPT), (other, 1)]


async def test_a_relay_asks_for_looks_while_there_are_jobs(office: Office, office_settings: Settings) -> None:
    office.study("SRO", "lima")
    [watch] = [each for each in duties(office_settings) if each.name == "replication watch"]
    assert watch.every <= timedelta(seconds=30)
    engine = sync_engine(office_settings.database_url)

    def asked(duty: Duty) -> list[str]:
        office.rows("DELETE FROM outbox")
        with engine.begin() as connection:
            duty.do(connection, connection.exec_driver_sql("SELECT now()").scalar_one())
        return [kind for (kind,) in office.rows("SELECT kind FROM outbox")]

    try:
        assert asked(watch) == []
        with engine.begin() as connection:
            job = make(connection)
        assert asked(watch) == ["replication"]
        with engine.begin() as connection:
            act_on_job(connection, read_job(connection, job), "cancel", by="somebody")
        # A worker that read before may write its document once more.
        assert asked(watch) == ["replication"]
        office.rows("UPDATE replication_jobs SET updated_at = now() - interval '2 hours'")
        assert asked(watch) == []
    finally:
        engine.dispose()
