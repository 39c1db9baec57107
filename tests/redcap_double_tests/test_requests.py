"""How many requests came, how fast, and what happens to who sends too many; and that no token is told."""

from datetime import datetime, timedelta
from pathlib import Path

import pytest
import requests

from tests import redcap_double as redcap_double_package
from tests.redcap_double.answers import Answer
from tests.redcap_double.building import TOKEN, study_project
from tests.redcap_double.double import REQUESTS_PER_MINUTE, Double
from tests.redcap_double.fixtures import Running
from tests.redcap_double.parameters import Parameters
from tests.redcap_double.project import User
from tests.test_layout import IMPURE_MODULES, _imports

START = datetime(2026, 3, 1, 12)  # noqa: DTZ001 (server time has no zone)
VERSION = Parameters.of([("content", "version"), ("format", "json")])


class Clock:
    """Server time that stands until it is moved."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        return self.now

    def move(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


def _ask(double: Double, remote: str = "192.0.2.1") -> int:
    admitted = double.admit(remote, TOKEN, VERSION)
    if isinstance(admitted, Answer):
        return admitted.status
    reply = double.respond(*admitted, None)
    assert isinstance(reply, Answer)
    return reply.status


def test_more_than_600_requests_in_any_minute_ban_their_address_for_good() -> None:
    clock = Clock()
    double = Double([study_project()], clock=clock, ban_status=429)
    for _ in range(REQUESTS_PER_MINUTE):
        assert _ask(double) == 200
        clock.move(0.1)
    assert REQUESTS_PER_MINUTE == 600
    for _ in range(3):
        assert _ask(double) == 200
        clock.move(0.1)
    clock.move(-0.15)
    assert _ask(double) == 429
    clock.move(3600)
    assert _ask(double) == 429
    assert _ask(double, "192.0.2.2") == 200
    double.unban()
    assert _ask(double) == 200
    assert double.requests.busiest_minute(lambda entry: entry.status == 200) == 600


def test_without_a_limit_nobody_is_banned() -> None:
    double = Double([study_project()], clock=Clock(), requests_per_minute=None)
    assert {_ask(double) for _ in range(REQUESTS_PER_MINUTE + 1)} == {200}


def test_requests_are_counted_by_kind_and_by_minute(redcap_double: Running) -> None:
    clock = Clock()
    redcap_double.double.clock = clock
    client = redcap_double.client()
    client.import_records([{"record_id": "1", "age": "1"}])
    clock.move(30)
    client.export_records(fields=["record_id"])
    clock.move(31)
    client.export_records(fields=["record_id"])
    client.delete_records(["1"])

    log = redcap_double.requests
    assert log.by_kind() == {
        ("record", "import"): 1,
        ("record", "export"): 2,
        ("record", "delete"): 1,
        ("metadata", "export"): 1,
    }
    assert log.by_minute() == {"2026-03-01 12:00": 3, "2026-03-01 12:01": 2}
    assert log.busiest_minute() == 4
    assert log.count("record") == 4
    entry = log.of("record", "import")[0]
    assert (entry.username, entry.status, entry.remote) == ("sync", 200, "127.0.0.1")
    assert entry.size == len('[{"record_id":"1","age":"1"}]')
    log.clear()
    assert log.count() == 0


def test_no_token_is_in_the_log_or_in_what_python_shows_of_a_double(redcap_double: Running) -> None:
    redcap_double.client().export_project_info()
    requests.post(redcap_double.url, data={"token": "C0FFEE" * 5 + "00", "content": "version"}, timeout=20)
    shown = repr(redcap_double) + repr(redcap_double.requests) + repr(User("a", "5EC12E7"))
    assert redcap_double.token not in shown
    assert "C0FFEE" not in shown
    assert "5EC12E7" not in shown


SHELL = {"__init__", "__main__", "cli", "double", "fixtures", "running", "server"}
CORE = [
    path for path in sorted(Path(redcap_double_package.__path__[0]).glob("*.py")) if path.stem not in SHELL
]


@pytest.mark.parametrize("path", CORE, ids=lambda path: path.stem)
def test_the_core_knows_no_http_no_clock_and_no_chance(path: Path) -> None:
    assert {module for module in _imports(path) if module.split(".")[0] in IMPURE_MODULES} == set()
