"""The worker of exports as a process: killed in the middle, and Redis emptied meanwhile."""

from contextlib import ExitStack

import psycopg
import pytest
import redis

from sync_server.settings import Settings
from tests.administration.exporting import PATH, ask, table, unzipped, with_data
from tests.administration.office import Office
from tests.job_processes import kill, process, until, valkey

__all__ = ["valkey"]


@pytest.mark.timeout(120)
async def test_after_a_worker_was_killed_in_the_middle_there_is_one_whole_file(
    office: Office, office_settings: Settings, valkey: "redis.Redis", owner_database_url: str
) -> None:
    with_data(office)
    member = office.as_("researcher", study="SRO")

    def holds(condition: str) -> bool:
        [(found,)] = office.rows(f"SELECT count(*) FROM {condition}")  # noqa: S608 (the tests' own)
        return bool(found == 1)

    with ExitStack() as running, psycopg.connect(owner_database_url) as holding:
        # The sessions come, the trials do not: it is in the middle.
        holding.execute("LOCK TABLE trial_rows")
        worker = running.enter_context(process("work", office_settings, "--queues", "reports"))
        relay = running.enter_context(process("relay", office_settings))
        asked = await ask(member, "sessions_wide", "trials")
        await until(lambda: holds("research_files WHERE state = 'running' AND content_key IS NOT NULL"))
        # It comes up while the other is at it, and finds nothing to do yet.
        next_worker = running.enter_context(process("work", office_settings, "--queues", "reports"))
        folder = office_settings.files_folder
        await until(lambda: any((folder / ".making").glob("*/export.zip")))
        kill(worker)
        valkey.flushall()
        assert list(folder.glob("*.zip")) == []
        await until(lambda: holds("outbox WHERE kind = 'research_file' AND state = 'pending'"))
        holding.rollback()
        office.rows("UPDATE outbox SET next_attempt_at = now() WHERE kind = 'research_file'")
        await until(lambda: holds("research_files WHERE state = 'done'"))
        kill(next_worker)
        kill(relay)
    told = (await member.get(f"{PATH}/{asked.body['id']}")).body
    assert told["error"] is None
    files = await unzipped(member, told)
    assert (len(table(files["sessions_wide.csv"])), len(table(files["trials.csv"]))) == (4, 12)
    assert [path.name for path in folder.glob("*.zip")] == [f"{_key(office)}.zip"]
    assert office.rows("SELECT attempt FROM research_files") == [(2,)]


def _key(office: Office) -> str:
    [(key,)] = office.rows("SELECT content_key FROM research_files")
    return str(key)
