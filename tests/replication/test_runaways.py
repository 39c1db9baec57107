"""A `validate_doc_update` that never ends keeps other writers waiting for a bounded time."""

import json

import pytest

from replication.edits import Edit
from replication.errors import FunctionFailed, Unavailable
from replication.javascript import sandbox
from replication.store.registry import Registry
from replication.store.runaways import MOST_STOPPED, REMEMBERED_SECONDS, WHILE_SECONDS, Runaways
from replication.values import Rev
from tests.replication.stored import feed, push, replicated

LOOPS = "function (doc) { while (doc.x) {} }"


def never_ends() -> None:
    raise FunctionFailed("timeout", "the function took longer than 5 s")


def ends() -> None:
    return


def about(name: str) -> tuple[bytes, ...]:
    return (name.encode(),)


def test_few_may_be_stopped_in_a_while_and_each_is_refused_at_once_when_it_comes_again() -> None:
    now = [0.0]
    runaways = Runaways(clock=lambda: now[0])
    for number in range(MOST_STOPPED):
        runaways.run(ends, about("good"))
        with pytest.raises(FunctionFailed):
            runaways.run(never_ends, about(f"bad {number}"))
    with pytest.raises(Unavailable):
        runaways.run(ends, about("good"))
    for number in range(MOST_STOPPED):
        with pytest.raises(FunctionFailed):
            runaways.run(ends, about(f"bad {number}"))
    now[0] += WHILE_SECONDS
    runaways.run(ends, about("good"))
    now[0] += REMEMBERED_SECONDS
    runaways.run(ends, about("bad 0"))


def test_one_that_ends_its_process_is_a_runaway_too() -> None:
    """Each costs the start of another process."""

    def crashes() -> None:
        raise FunctionFailed("process_ended", "the function ended the process it ran in")

    runaways = Runaways()
    for number in range(MOST_STOPPED):
        with pytest.raises(FunctionFailed):
            runaways.run(crashes, about(f"bad {number}"))
    with pytest.raises(Unavailable):
        runaways.run(ends, about("good"))
    with pytest.raises(FunctionFailed) as raised:
        runaways.run(ends, about("bad 0"))
    assert raised.value.error == "process_ended"


def test_what_a_function_says_is_passed_on_and_not_remembered() -> None:
    def throws() -> None:
        raise FunctionFailed("TypeError", "x is undefined")

    runaways = Runaways()
    for _ in range(2 * MOST_STOPPED):
        with pytest.raises(FunctionFailed, match="x is undefined"):
            runaways.run(throws, about("a"))
    runaways.run(ends, about("a"))


async def test_a_batch_about_which_a_function_never_ends_gets_through_in_parts(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("quickjs")
    monkeypatch.setattr(sandbox, "CPU_SECONDS", 1)
    database = await registry.create("site")
    rule = json.dumps({"validate_doc_update": LOOPS}).encode()
    await push(database, Edit("_design/rule", (Rev.parse("1-a"),), rule))
    batch = [replicated(f"d{number}", "1-a", x=number < 5) for number in range(7)]
    with pytest.raises(Unavailable):
        await database.write(batch, new_edits=False)
    assert [row.id for row in await feed(database)] == ["_design/rule"]
    monkeypatch.setattr("replication.store.runaways.WHILE_SECONDS", 0.0)
    outcomes = await database.write(batch, new_edits=False)
    assert [outcome.failure is None for outcome in outcomes] == [False] * 5 + [True] * 2
