"""The processes that functions run in: how many there are, how they end, and what follows."""

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator

import psutil
import pytest

from replication.errors import FunctionFailed, Unavailable
from replication.javascript import children, pipe, sandbox
from replication.javascript.children import FILTERING, VALIDATING, Children, end_idle_children
from replication.javascript.pipe import Design, Function
from replication.javascript.sandbox import sandbox_of
from replication.javascript.tasks import KILL_AFTER
from tests.javascript.built_ins import LONG_STEPS
from tests.javascript.child_that_lies import LIES
from tests.javascript.running import running

PATIENCE = 5.0
"""For a machine that is busy with other things."""

pytest.importorskip("quickjs")


def function(source: str) -> Function:
    design = json.dumps({"filters": {"f": source}}).encode()
    return Function(Design(design, design), "passes", b'["filters","f"]', [b"{}"])


LETS_THROUGH = function("function () { return true; }")


def gone(processes: list[psutil.Process]) -> bool:
    return not psutil.wait_procs(processes, timeout=PATIENCE)[1]


@pytest.fixture(autouse=True)
def none_left() -> Iterator[None]:
    """Every test begins without children and leaves none behind."""
    end_idle_children()
    assert running() == []
    yield
    end_idle_children()
    assert running() == []


@pytest.fixture
def pool() -> Iterator[Children]:
    pool = Children(1)
    yield pool
    pool.end_idle()


@pytest.mark.parametrize("step", LONG_STEPS.values(), ids=LONG_STEPS.keys())
def test_one_step_that_takes_minutes_ends_within_the_limit(
    step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sandbox, "CPU_SECONDS", 1)
    source = f"function (doc) {{ if (doc.long) {{ {step}; }} return true; }}"
    made = sandbox_of(json.dumps({"filters": {"f": source}, "validate_doc_update": source}).encode())
    for passes in (
        lambda document: list(made.passes(("filters", "f"), [document], b"{}")),
        lambda document: made.validate(document, b"null", b"{}", b"{}"),
    ):
        passes(b"{}")
        began = time.monotonic()
        with pytest.raises(FunctionFailed, match="took longer than 1 s") as raised:
            passes(b'{"long":true}')
        assert raised.value.error == "timeout"
        assert time.monotonic() - began < 1 + KILL_AFTER + PATIENCE
        passes(b"{}")


def test_verdicts_before_the_one_that_fails_are_told() -> None:
    source = "function (doc) { if (doc === 300) { throw {forbidden: 1}; } return doc % 2; }"
    verdicts = sandbox_of(json.dumps({"filters": {"f": source}}).encode()).passes(
        ("filters", "f"), (str(number).encode() for number in range(400)), b"{}"
    )
    assert [next(verdicts) for _ in range(300)] == [False, True] * 150
    with pytest.raises(Exception, match="1"):
        next(verdicts)


def test_a_slow_batch_is_asked_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Together they take longer than one may."""
    monkeypatch.setattr(sandbox, "CPU_SECONDS", 1)
    source = "function () { var end = Date.now() + 100; while (Date.now() < end) {} return true; }"
    made = sandbox_of(json.dumps({"filters": {"f": source}}).encode())
    assert list(made.passes(("filters", "f"), [b"{}"] * 40, b"{}")) == [True] * 40


def test_a_filter_that_is_slow_about_every_document_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "READ_SECONDS", 0.5)
    source = "function () { var end = Date.now() + 200; while (Date.now() < end) {} return true; }"
    verdicts = sandbox_of(json.dumps({"filters": {"f": source}}).encode()).passes(
        ("filters", "f"), [b"{}"] * 40, b"{}"
    )
    told: list[bool] = []
    with pytest.raises(FunctionFailed, match="too slow") as raised:
        told.extend(verdicts)
    assert raised.value.error == "timeout"
    assert 1 <= len(told) < 10


def test_memory_ends_for_the_function_alone(pool: Children) -> None:
    eats = function("function () { var kept = []; for (;;) { kept.push(new ArrayBuffer(1e6)); } }")
    assert pool.ask(eats, [b"{}"], 5).error == "InternalError"
    large = b'"' + b"x" * (65 * 1024 * 1024) + b'"'
    assert pool.ask(LETS_THROUGH, [large], 5).error == "out_of_memory"
    assert pool.ask(LETS_THROUGH, [b'"' + b"x" * 1024 * 1024 + b'"'], 5).values == [True]


def test_a_child_ends_by_its_own_alarm_when_nobody_kills_it(
    pool: Children, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipe, "KILL_AFTER", 60.0)
    began = time.monotonic()
    with pytest.raises(FunctionFailed) as raised:
        pool.ask(function(f"function () {{ {LONG_STEPS['join']}; }}"), [b"{}"], 1)
    assert raised.value.error == "timeout"
    assert time.monotonic() - began < 1 + KILL_AFTER + PATIENCE


def test_a_child_that_was_killed_is_replaced(pool: Children) -> None:
    pool.ask(LETS_THROUGH, [b"{}"], 5)
    (pid,) = pool.idle
    os.kill(pid, signal.SIGKILL)
    psutil.Process(pid).wait(PATIENCE)
    assert pool.ask(LETS_THROUGH, [b"{}"], 5).values == [True]
    assert pool.idle != [pid]


@pytest.mark.parametrize(("sign", "error"), [(signal.SIGKILL, "process_ended"), (signal.SIGSTOP, "timeout")])
def test_a_child_that_ends_or_stops_within_a_call_fails_that_call(
    pool: Children, sign: signal.Signals, error: str
) -> None:
    pool.ask(LETS_THROUGH, [b"{}"], 5)
    threading.Timer(0.3, os.kill, (pool.idle[0], sign)).start()
    with pytest.raises(FunctionFailed) as raised:
        pool.ask(function("function () { for (;;) {} }"), [b"{}"], 1)
    assert raised.value.error == error
    assert pool.idle == []
    assert pool.ask(LETS_THROUGH, [b"{}"], 5).values == [True]


@pytest.mark.parametrize("lie", LIES)
def test_an_answer_that_no_child_gives_fails_the_call(
    pool: Children, monkeypatch: pytest.MonkeyPatch, lie: str
) -> None:
    monkeypatch.setattr(pipe, "MODULE", "tests.javascript.child_that_lies")
    with pytest.raises(FunctionFailed) as raised:
        pool.ask(LETS_THROUGH, [lie.encode()], 5)
    assert raised.value.error == "process_ended"
    monkeypatch.undo()
    assert pool.ask(LETS_THROUGH, [b"{}"], 5).values == [True]


def test_a_child_that_does_not_start_is_told(pool: Children, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipe, "MODULE", "tests.javascript")
    with pytest.raises(Unavailable):
        pool.ask(LETS_THROUGH, [b"{}"], 5)
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with pytest.raises(Unavailable):
        pool.ask(LETS_THROUGH, [b"{}"], 5)


def test_there_are_never_more_children_than_places(monkeypatch: pytest.MonkeyPatch) -> None:
    design = json.dumps({"filters": {"f": "function () { return true; }"}}).encode()

    def ask() -> None:
        for _ in range(20):
            assert list(sandbox_of(design).passes(("filters", "f"), [b"{}"], b"{}")) == [True]

    threads = [threading.Thread(target=ask) for _ in range(6)]
    for thread in threads:
        thread.start()
    most = 0
    while any(thread.is_alive() for thread in threads):
        most = max(most, len(running()))
        time.sleep(0.01)
    assert 1 <= most <= 2
    assert 1 <= len(FILTERING.idle) <= 2
    assert VALIDATING.idle == []


def test_who_waits_too_long_for_a_child_is_sent_away(pool: Children, monkeypatch: pytest.MonkeyPatch) -> None:
    pool.ask(LETS_THROUGH, [b"{}"], 5)
    slow = function("function () { var end = Date.now() + 1500; while (Date.now() < end) {} return true; }")
    thread = threading.Thread(target=pool.ask, args=(slow, [b"{}"], 5))
    thread.start()
    while pool.idle:
        time.sleep(0.01)
    monkeypatch.setattr(children, "WAIT_SECONDS", 0.1)
    with pytest.raises(Unavailable):
        pool.ask(LETS_THROUGH, [b"{}"], 5)
    monkeypatch.setattr(children, "WAIT_SECONDS", 30.0)
    assert pool.ask(LETS_THROUGH, [b"{}"], 5).values == [True]
    thread.join()


def test_a_child_that_nobody_asks_is_ended(pool: Children, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(children, "IDLE_SECONDS", 0.2)
    pool.ask(LETS_THROUGH, [b"{}"], 5)
    assert gone(running())
    assert pool.idle == []
    assert pool.ask(LETS_THROUGH, [b"{}"], 5).values == [True]


def test_a_child_has_nothing_of_the_services_environment(
    pool: Children, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JWT_SECRET_KEY", "secret")
    pool.ask(LETS_THROUGH, [b"{}"], 5)
    (child,) = running()
    assert "JWT_SECRET_KEY" not in child.environ()


def test_what_stops_the_service_leaves_a_child_to_its_call(pool: Children) -> None:
    """A terminal and a service manager tell the whole group; the service ends its children itself."""
    pool.ask(LETS_THROUGH, [b"{}"], 5)
    for sign in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        os.kill(pool.idle[0], sign)
    (pid,) = pool.idle
    assert pool.ask(LETS_THROUGH, [b"{}"], 5).values == [True]
    assert pool.idle == [pid]
