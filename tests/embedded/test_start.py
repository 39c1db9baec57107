"""Starts under difficult circumstances: interrupted, in odd places, with something in the way."""

import os
import signal
import socket
import stat
import tempfile
from pathlib import Path

import psycopg
import pytest
import redis

from sync_server.embedded.account import server_account
from sync_server.embedded.data_directory import DataDirectory
from sync_server.embedded.errors import DirectoryUnusable, NotRunning, StartFailed
from sync_server.embedded.record import SystemRecord, last_record, running_system, write_record
from sync_server.embedded.secrets_file import load_or_create
from sync_server.embedded.system import EmbeddedSystem
from tests.embedded.supervised import SupervisedSystem

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="about the account that root changes to")


async def test_system_in_ones_own_event_loop(empty_directory: Path) -> None:
    async with EmbeddedSystem(empty_directory, unsafe_for_tests=True) as system:
        assert running_system(empty_directory).database_url == system.database_url
        assert list(system.pids) == ["postgres", "valkey"]
        async with await psycopg.AsyncConnection.connect(system.database_url) as connection:
            await connection.execute("SELECT version_num FROM alembic_version")
        with pytest.raises(StartFailed, match="hopeless did not start: exit code 3"):
            await system.start_service("hopeless", ("/bin/sh", "-c", "exit 3"))
        with pytest.raises(StartFailed, match=r"absent did not start: .*No such file"):
            await system.start_service("absent", (str(empty_directory / "absent"),))
    assert system.pids == {}
    with pytest.raises(NotRunning, match="is not running"):
        running_system(empty_directory)


async def test_record_of_a_killed_system_is_not_taken_for_that_of_the_one_that_starts(
    empty_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = DataDirectory.at(empty_directory)
    directory.create()
    record = SystemRecord(
        state="running",
        pid=1,
        postgres_port=5555,
        database_url="",
        owner_url="",
        redis_url="",
        base_url="http://127.0.0.1:1",
        children={"serve": 2},
    )
    write_record(directory, record)

    async def while_it_ends_what_the_killed_one_left(*_: object) -> None:
        with pytest.raises(NotRunning, match="starting"):
            running_system(empty_directory)
        raise StartFailed("it", "seen")

    monkeypatch.setattr("sync_server.embedded.system.end_leftovers", while_it_ends_what_the_killed_one_left)
    system = EmbeddedSystem(empty_directory, unsafe_for_tests=True)
    with pytest.raises(StartFailed, match="seen"):
        await system.start()
    await system.stop()
    left = last_record(directory)
    assert left is not None
    assert (left.state, left.base_url, left.children, left.postgres_port) == ("stopped", None, {}, 5555)


def test_what_the_directory_holds_is_for_its_owner_alone(postgres_server: SupervisedSystem) -> None:
    root = postgres_server.data_directory
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in root.iterdir()}
    assert stat.S_IMODE(DataDirectory.at(root).cluster.stat().st_mode) == 0o700
    assert all(modes[name] == 0o600 for name in ("up.lock", "system.json", "secrets.json"))
    assert all(modes[name] == 0o700 for name in ("valkey", "store", "keys", "log", "run"))
    passing = 0o710 if os.geteuid() == 0 else 0o700
    assert modes["postgres"] == stat.S_IMODE(root.stat().st_mode) == passing


@pytest.mark.parametrize("stop_signal", [signal.SIGKILL, signal.SIGTERM])
def test_start_that_was_interrupted_is_repeated(empty_directory: Path, stop_signal: signal.Signals) -> None:
    system = SupervisedSystem(empty_directory)
    system.launch()
    system.log_line("cluster_creating")
    family = system.family()
    system.process.send_signal(stop_signal)
    assert system.wait() == (0 if stop_signal == signal.SIGTERM else -signal.SIGKILL)
    family.assert_ends()
    assert not DataDirectory.at(empty_directory).cluster.exists()
    with SupervisedSystem(empty_directory) as again, psycopg.connect(again.database_url) as app:
        app.execute("SELECT 1")
    assert not (empty_directory / "postgres" / "initdb.password").exists()


def test_data_directory_too_deep_for_a_socket(empty_directory: Path) -> None:
    deep = empty_directory / ("d" * 60) / ("e, f's \"" * 8)
    with SupervisedSystem(deep) as system:
        with redis.Redis.from_url(system.redis_url) as valkey:
            assert valkey.ping()
            sockets = Path(valkey.connection_pool.connection_kwargs["path"]).parent
        assert stat.S_IMODE(sockets.stat().st_mode) == 0o700
        assert deep not in sockets.parents
        for url in (system.database_url, system.superuser_url):
            with psycopg.connect(url) as connection:
                connection.execute("SELECT 1")
    assert not sockets.exists()


def test_socket_directory_made_by_somebody_else_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # pytest's own directories are too deep for a socket where tests run in several processes.
    with tempfile.TemporaryDirectory(prefix="short-") as short:
        monkeypatch.setattr("tempfile.tempdir", short)
        deep = DataDirectory.at(tmp_path / ("d" * 100))
        deep.root.mkdir()
        mine = deep.socket_directory(None)
        assert mine.parent == Path(short)
        mine.rmdir()
        mine.symlink_to(tmp_path)
        with pytest.raises(DirectoryUnusable, match="belongs to another user"):
            deep.socket_directory(None)


def test_port_that_is_taken_is_an_error_that_names_it(data_directory: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        system = SupervisedSystem(data_directory, "--pg-port", str(port))
        system.launch()
        assert system.wait() == 1
    assert f"Port {port} on 127.0.0.1" in system.log_text
    assert "--pg-port" in system.log_text
    with SupervisedSystem(data_directory, "--pg-port", str(port)) as retried:
        assert retried.database_url.endswith(f"@127.0.0.1:{port}/metricis")


def test_migration_that_fails_stops_the_start(data_directory: Path) -> None:
    with SupervisedSystem(data_directory) as system, psycopg.connect(system.owner_url) as owner:
        owner.execute("DELETE FROM alembic_version")
        owner.execute("INSERT INTO alembic_version VALUES ('of_a_later_release')")
    system.launch()
    assert system.wait() == 1
    assert "could not be migrated" in system.log_text
    assert "of_a_later_release" in system.log_text
    assert [line["child"] for line in system.events("child_stopped")][-1:] == ["postgres"]


def test_directory_with_other_content_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    tmp_path.chmod(0o755)
    system = SupervisedSystem(tmp_path)
    system.launch()
    assert system.wait() == 1
    assert "holds files that are not this system's" in system.log_text
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o755


def test_lost_secrets_are_not_replaced_by_ones_that_open_nothing(tmp_path: Path) -> None:
    directory = DataDirectory.at(tmp_path)
    first = load_or_create(directory)
    assert load_or_create(directory) == first
    directory.cluster.mkdir(parents=True)
    directory.secrets_file.unlink()
    with pytest.raises(DirectoryUnusable, match="restore it"):
        load_or_create(directory)


def test_secret_that_an_older_release_did_not_know_is_added(tmp_path: Path) -> None:
    directory = DataDirectory.at(tmp_path)
    directory.secrets_file.write_text('{"app_password": "kept"}')
    first = load_or_create(directory)
    assert first.app_password == "kept"
    assert len(first.jwt_secret) >= 32
    assert load_or_create(directory) == first


@as_root
@pytest.mark.parametrize("closed", [False, True])
def test_servers_have_one_capability_below_a_closed_directory_and_none_elsewhere(
    empty_directory: Path, closed: bool
) -> None:
    empty_directory.parent.chmod(0o700 if closed else 0o711)
    account = server_account(DataDirectory.at(empty_directory).cluster)
    assert account is not None
    with SupervisedSystem(empty_directory) as system:
        for child in ("postgres", "valkey"):
            status = dict(
                line.split(":\t", 1)
                for line in Path(f"/proc/{system.pid(child)}/status").read_text().splitlines()
            )
            assert status["Uid"].split() == [str(account.uid)] * 4
            assert status["Groups"].split() == []
            sets = {int(status[name], 16) for name in ("CapPrm", "CapEff", "CapInh", "CapAmb")}
            if not closed and _is_open(system_program(system.pid(child))):
                assert sets == {0}
            if closed:
                assert len(sets) == 1
                # CAP_DAC_READ_SEARCH; CAP_DAC_OVERRIDE where root itself has no more than that.
                assert sets <= {1 << 2, 1 << 1}


def system_program(pid: int) -> Path:
    return Path(f"/proc/{pid}/exe").readlink()


def _is_open(program: Path) -> bool:
    return all(parent.stat().st_mode & stat.S_IXOTH for parent in program.parents)


@as_root
def test_owner_of_an_existing_cluster_keeps_it(tmp_path: Path) -> None:
    os.chown(tmp_path, 12345, 54321)
    account = server_account(tmp_path)
    assert account is not None
    assert (account.uid, account.gid, account.name) == (12345, 54321, "12345")
