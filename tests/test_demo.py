"""The demo, as `make demo` runs it; and its launcher, which leaves nothing behind."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.embedded.supervised import PATIENCE_S, Family
from tests.gateway.processes import invoke

LAUNCHER = [sys.executable, "-m", "tests.demo_servers"]
# Says that it is there, then what ends it; its lifeline sends SIGTERM.
WAITS = """
import signal, sys, time
from sync_server.embedded.lifeline import watch_lifeline
watch_lifeline()
heard = []
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    signal.signal(number, lambda number, frame: heard.append(number))
print("there", flush=True)
while not heard:
    time.sleep(0.02)  # one that comes just before signal.pause() would be waited for ever
print("heard", *map(int, heard), flush=True)
sys.exit(7)
"""


@contextmanager
def launched(*command: str) -> Iterator["subprocess.Popen[str]"]:
    # What these tests were started with, such as `nohup`, is not what the launcher is to find.
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    process = subprocess.Popen([*LAUNCHER, *command], stdout=subprocess.PIPE, text=True)
    signal.signal(signal.SIGHUP, before)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def test_the_demo_shows_what_is_in_redcap_and_who_is_reminded_and_leaves_no_process() -> None:
    command = [sys.executable, "-m", "sync_server", "demo", "--exit", "--sessions", "7"]
    # As wide as the terminal for which the tables are made.
    environment = {**os.environ, "COLUMNS": "80"}
    family: Family | None = None
    with subprocess.Popen([*LAUNCHER, *command], stdout=subprocess.PIPE, text=True, env=environment) as ran:
        assert ran.stdout is not None
        lines = []
        for line in ran.stdout:
            lines.append(line.rstrip())
            if line.startswith("Projected"):
                family = Family(ran.pid)
    text = "\n".join(lines)
    assert ran.returncode == 0, text
    assert family is not None, text
    family.assert_ends()
    (notebook,) = [line for line in lines if line.startswith("Notebook ")]
    assert notebook.endswith("docs/notebooks/retest.py --study DEMO")
    assert max(len(line) for line in lines if not line.startswith(("Postgres ", "Notebook "))) <= 80

    rows = {tuple(re.findall(r"[^│\s]+(?: [^│\s]+)*", line)) for line in lines if line.startswith("│")}
    # Six of one, one of another, and one of somebody who is reminded.
    assert ("cog_session", "done", "8", "3") in rows, text
    assert {row[1] for row in rows if row[0] == "cog_visit"} == {"baseline"}
    assert "Record 1, instance 1, as REDCap has it" in text
    assert ("cancelled", "completed", "overdue", "baseline", "2") in rows, text
    assert ("cancelled", "opted_out", "overdue", "baseline", "2") in rows, text
    assert ("planned", "–", "ahead", "retest", "1") in rows, text
    assert [row for row in rows if row[1:] == ("p203", "retest", "ahead", "email")], text
    mailed = {line.split()[2] for line in lines if line.startswith("Mail to ")}
    told = sum(int(row[-1]) for row in rows if row[0] == "sent")
    assert "luis.rojas@mail.example:" in mailed
    assert not mailed & {"rosa.quispe@mail.example:", "jorge.mamani@mail.example:"}
    assert told == len([line for line in lines if line.startswith("Mail to ")])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_to_the_launcher_is_passed_on_once_and_the_command_says_how_it_ends(number: int) -> None:
    with launched(sys.executable, "-c", WAITS) as process:
        assert process.stdout is not None
        while process.stdout.readline() != "there\n":
            assert process.poll() is None
        family = Family(process.pid)
        process.send_signal(number)
        assert process.stdout.readline() == f"heard {int(number)}\n"
        assert process.wait(PATIENCE_S) == 7
        family.assert_ends()


def test_a_launcher_that_is_killed_takes_the_command_with_it() -> None:
    with launched(sys.executable, "-c", WAITS) as process:
        assert process.stdout is not None
        while process.stdout.readline() != "there\n":
            assert process.poll() is None
        family = Family(process.pid)
        process.kill()
        assert process.stdout.readline() == f"heard {int(signal.SIGTERM)}\n"
        family.assert_ends()


def test_what_cannot_be_started_is_said() -> None:
    with launched("/no/such/command") as process:
        assert process.wait(PATIENCE_S) == 127
    env = {"REDCAP_DEMO_URL": "http://127.0.0.1:1/api/"}
    invoke("demo", "--exit", env=env).failed_with("REDCAP_DEMO_URL and REDCAP_DEMO_TOKEN go together")
