"""Start, crash, restart and stop of the whole system, as separate processes that are really killed."""

import os
import shutil
import signal
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
import redis

from sync_server.embedded.account import server_account
from sync_server.embedded.data_directory import DataDirectory
from sync_server.embedded.errors import NotRunning
from sync_server.embedded.ports import choose_port
from sync_server.embedded.record import last_record, running_system
from tests.embedded.conftest import copy_of
from tests.embedded.supervised import PATIENCE_S, SupervisedSystem

WITH_SERVICES = ("-m", "tests.embedded.system_with_services")


@pytest.fixture(scope="module")
def running(made_directory: Path) -> Iterator[SupervisedSystem]:
    """A durable system with two services, for tests that leave it running."""
    directory = copy_of(made_directory)
    with SupervisedSystem(directory, program=WITH_SERVICES) as system:
        yield system
    shutil.rmtree(directory.parent)


def remember(system: SupervisedSystem, what: str) -> None:
    """Commit `what` to Postgres and to Valkey; both have acknowledged it on return."""
    with psycopg.connect(system.owner_url) as owner:
        owner.execute("CREATE TABLE IF NOT EXISTS remembered (what text)")
        owner.execute("INSERT INTO remembered VALUES (%s)", (what,))
    with redis.Redis.from_url(system.redis_url) as valkey:
        valkey.sadd("remembered", what)


def remembered(system: SupervisedSystem) -> tuple[set[str], set[str]]:
    """What Postgres and Valkey remember."""
    with psycopg.connect(system.database_url) as app:
        rows = {row[0] for row in app.execute("SELECT what FROM remembered")}
    with redis.Redis.from_url(system.redis_url) as valkey:
        return rows, {item.decode() for item in valkey.smembers("remembered")}


def test_killed_postgres_comes_back_with_its_data(running: SupervisedSystem) -> None:
    remember(running, "before Postgres was killed")
    before = running_system(running.data_directory).children
    running.kill_child("postgres")
    after = running_system(running.data_directory).children
    assert {name for name in before if before[name] != after[name]} == {"postgres"}
    assert "before Postgres was killed" in remembered(running)[0]
    ended = running.log_line("child_ended", child="postgres")
    assert (ended["exit"], ended["next_try_in_s"]) == ("ended by SIGKILL", 0.2)


def test_killed_postgres_comes_back_though_a_query_still_runs(running: SupervisedSystem) -> None:
    ended: list[str] = []

    def run_for_ever() -> None:
        with psycopg.connect(running.database_url, autocommit=True) as app:
            try:
                app.execute("DO 'BEGIN LOOP NULL; END LOOP; END'")
            except psycopg.OperationalError as error:
                ended.append(str(error))

    endless = threading.Thread(target=run_for_ever)
    endless.start()
    with psycopg.connect(running.superuser_url, autocommit=True) as watcher:
        active = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'DO %' AND state = 'active'"
        while watcher.execute(active).fetchone() != (1,):
            pass
    running.kill_child("postgres")
    endless.join(PATIENCE_S)
    assert len(ended) == 1


def test_killed_valkey_comes_back_with_every_acknowledged_write(running: SupervisedSystem) -> None:
    with redis.Redis.from_url(running.redis_url) as valkey:
        for number in range(100):
            valkey.rpush("numbers", number)
    running.kill_child("valkey")
    with redis.Redis.from_url(running.redis_url) as valkey:
        assert [int(item) for item in valkey.lrange("numbers", 0, -1)] == list(range(100))


def test_writes_wait_for_the_disk_unless_a_test_asks_otherwise(running: SupervisedSystem) -> None:
    with psycopg.connect(running.database_url) as app:
        for setting in ("fsync", "synchronous_commit", "full_page_writes", "data_checksums"):
            assert app.execute(f"SHOW {setting}").fetchone() == ("on",)
    with redis.Redis.from_url(running.redis_url) as valkey:
        settings = valkey.config_get("append*")
    assert (settings["appendonly"], settings["appendfsync"]) == ("yes", "always")


def test_passwords_are_stored_as_scram_verifiers(running: SupervisedSystem) -> None:
    with psycopg.connect(running.superuser_url) as superuser:
        stored = superuser.execute("SELECT rolpassword FROM pg_authid WHERE rolcanlogin").fetchall()
    assert len(stored) == 3
    assert all(verifier.startswith("SCRAM-SHA-256$4096:") for (verifier,) in stored)


def test_crash_of_a_service_restarts_it_and_nothing_else(running: SupervisedSystem) -> None:
    before = running_system(running.data_directory).children
    assert set(before) == {"postgres", "valkey", "first", "second"}
    running.kill_child("first")
    after = running_system(running.data_directory).children
    assert {name for name in before if before[name] != after[name]} == {"first"}


def test_children_inherit_neither_the_lock_nor_the_lifelines_writing_end(running: SupervisedSystem) -> None:
    lock = str(DataDirectory.at(running.data_directory).lock_file)
    assert lock in open_files(running.process.pid).values()
    for pid in running_system(running.data_directory).children.values():
        files = open_files(pid)
        assert lock not in files.values()
        for descriptor, target in files.items():
            # A pipe that a server made for itself has both its ends there.
            if descriptor > 2 and target.startswith("pipe:") and list(files.values()).count(target) == 1:
                assert access_mode(pid, descriptor) == os.O_RDONLY


def open_files(pid: int) -> dict[int, str]:
    """What each descriptor of a process leads to."""
    return {int(link.name): str(link.readlink()) for link in Path(f"/proc/{pid}/fd").iterdir()}


def access_mode(pid: int, descriptor: int) -> int:
    fields = dict(
        line.split(":", 1) for line in Path(f"/proc/{pid}/fdinfo/{descriptor}").read_text().splitlines()
    )
    return int(fields["flags"], 8) & os.O_ACCMODE


def test_second_system_on_a_directory_says_so_and_leaves_the_first_alone(running: SupervisedSystem) -> None:
    second = SupervisedSystem(running.data_directory)
    second.launch()
    assert second.wait() == 1
    assert f"already running on {running.data_directory} (pid {running.process.pid})" in second.log_text
    remember(running, "after the second")
    assert running_system(running.data_directory).pid == running.process.pid


def test_killed_supervisor_takes_its_children_along_and_starts_again(data_directory: Path) -> None:
    with SupervisedSystem(data_directory, program=WITH_SERVICES) as system:
        remember(system, "before")
        family = system.family()
        assert family.names > {"postgres", "valkey-server"}
        system.kill()
    # At once: the old servers and services are still shutting down.
    with SupervisedSystem(data_directory, program=WITH_SERVICES) as again:
        family.assert_ends()
        assert again.database_url == system.database_url
        remember(again, "later")
        assert remembered(again) == ({"before", "later"}, {"before", "later"})
        orphans = again.family()
        again.kill()
        orphans.assert_ends()


def test_everything_killed_at_once_starts_again(data_directory: Path) -> None:
    with SupervisedSystem(data_directory) as system:
        remember(system, "before")
        system.family().kill()
        system.kill()
    with SupervisedSystem(data_directory) as again:
        assert remembered(again) == ({"before"}, {"before"})


def test_process_id_of_a_dead_postmaster_that_was_given_anew_does_not_prevent_a_start(
    data_directory: Path,
) -> None:
    directory = DataDirectory.at(data_directory)
    account = server_account(directory.cluster)
    with subprocess.Popen(["sleep", "600"], user=account.uid if account is not None else None) as unrelated:
        port = choose_port(directory.root, given=None, remembered=None)
        for lock in (directory.cluster / "postmaster.pid", directory.root / "run" / f".s.PGSQL.{port}.lock"):
            lock.write_text(f"{unrelated.pid}\n{directory.cluster}\n1\n{port}\n\n\n1 1\n")
        try:
            with SupervisedSystem(data_directory, "--pg-port", str(port)) as system:
                remember(system, "started")
            assert unrelated.poll() is None
        finally:
            unrelated.terminate()


def test_stop_ends_services_then_valkey_then_postgres(data_directory: Path) -> None:
    with SupervisedSystem(data_directory, program=WITH_SERVICES) as system:
        family = system.family()
        assert running_system(data_directory).base_url == "http://127.0.0.1:1"
        assert system.stop() == 0
    family.assert_ends()
    stopped = [line["child"] for line in system.events("child_stopped")]
    assert stopped == ["second", "first", "valkey", "postgres"]
    assert not system.events("child_ignores_signal")
    with pytest.raises(NotRunning):
        running_system(data_directory)
    record = last_record(DataDirectory.at(data_directory))
    assert record is not None
    assert (record.state, record.children) == ("stopped", {})
    with SupervisedSystem(data_directory) as again:
        with redis.Redis.from_url(again.redis_url) as valkey:
            diary = valkey.lrange("diary", 0, -1)
        again.process.send_signal(signal.SIGINT)
        assert again.wait() == 0
    assert diary == [b"first started", b"second started", b"second ended", b"first ended"]
