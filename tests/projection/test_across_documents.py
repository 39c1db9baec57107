"""Flags that one document's change puts on others, or takes from them: duplicate sessions, missing tasks."""

import random
from typing import Any

import psycopg
import pytest

from reporting.projection.pump import Pump
from reporting.projection.reading import Limits
from reporting.projection.replays import request_replays
from reporting.quality import RULES
from tests.documents.examples import a_session, a_task_run, a_trial
from tests.projection.conftest import Project, rows
from tests.projection.memory_feed import MemoryDatabase, MemoryFeed

CROSS = ("duplicate_session", "missing_tasks")


def played(offset: int = 0, task: str = "simon") -> dict[str, Any]:
    """A task run with enough answers to be recognised by; another `offset`, other answers."""
    return {**a_task_run(task), "trials": [a_trial(n, rt=400 + offset + n) for n in range(1, 13)]}


def a_sitting(name: str, offset: int = 0, **members: Any) -> dict[str, Any]:
    return a_session(name, **{"tasks": [played(offset)], **members})


def duplicates(connection: psycopg.Connection, site: str = "lima") -> dict[str, dict[str, str]]:
    query = (
        "SELECT session_id, detail FROM quality_flags"
        " WHERE code = 'duplicate_session' AND site = %(site)s ORDER BY session_id"
    )
    return dict(rows(connection, query, site=site))


def missing(connection: psycopg.Connection) -> dict[str, list[str]]:
    found = rows(connection, "SELECT session_id, detail FROM quality_flags WHERE code = 'missing_tasks'")
    return {session_id: detail["tasks"] for session_id, detail in found}


def same_trials(**others: str) -> dict[str, dict[str, str]]:
    return {name: {"same_trials_as": other} for name, other in others.items()}


# --- duplicate sessions ------------------------------------------------------------------------------------


@pytest.mark.parametrize("changes", [1, 200])
async def test_two_sessions_with_the_same_trials_are_flagged_each_with_the_other(
    feed: MemoryFeed, database_url: str, connection: psycopg.Connection, changes: int
) -> None:
    for name, offset in (("b", 0), ("other", 7), ("a", 0)):
        feed["lima"].save(a_sitting(name, offset), "1-a")
    await Pump(feed, database_url, limits=Limits(changes)).drain()
    assert duplicates(connection) == same_trials(a="b", b="a")


async def test_sessions_of_one_participant_that_begin_in_the_same_second_are_flagged(
    feed: MemoryFeed, project: Project, connection: psycopg.Connection
) -> None:
    start = "2016-07-22T03:00:00Z"
    for number, name in enumerate("ab"):
        feed["lima"].save(a_sitting(name, number, started_at=start), "1-a")
    feed["lima"].save(a_sitting("c", 5, started_at=start, participant="s013"), "1-a")
    feed["lima"].save(a_sitting("d", 6, started_at=start, study="OTHER"), "1-a")
    feed["lima"].save(a_sitting("e", 1), "1-a")
    await project()
    assert duplicates(connection) == {
        "a": {"same_start_as": "b"},
        "b": {"same_start_as": "a", "same_trials_as": "e"},
        "e": {"same_trials_as": "b"},
    }


async def test_the_same_trials_at_two_sites_are_no_duplicates(
    feed: MemoryFeed, project: Project, connection: psycopg.Connection
) -> None:
    feed["lima"].save(a_sitting("a"), "1-a")
    feed["nairobi"].save(a_sitting("b", site="nairobi"), "1-a")
    await project()
    assert duplicates(connection) == duplicates(connection, "nairobi") == {}


async def test_sessions_without_enough_answers_are_no_duplicates(
    feed: MemoryFeed, project: Project, connection: psycopg.Connection
) -> None:
    for name in "ab":
        feed["lima"].save(a_session(name), "1-a")
    await project()
    assert duplicates(connection) == {}


async def test_of_three_each_shows_the_first_of_the_others(
    feed: MemoryFeed, project: Project, connection: psycopg.Connection
) -> None:
    for name in "cab":
        feed["lima"].save(a_sitting(name), "1-a")
        await project()
    assert duplicates(connection) == same_trials(a="b", b="a", c="a")


@pytest.mark.parametrize("how", ["other trials", "wrong", "deleted", "gone"])
async def test_when_one_is_none_any_more_the_other_is_none_either(
    feed: MemoryFeed, project: Project, connection: psycopg.Connection, how: str
) -> None:
    for name in "ab":
        feed["lima"].save(a_sitting(name), "1-a")
    await project()
    assert len(duplicates(connection)) == 2
    match how:
        case "other trials":
            feed["lima"].save(a_sitting("a", 3), "2-a", replaces=["1-a"])
        case "wrong":
            feed["lima"].save(a_sitting("a", status="lost"), "2-a", replaces=["1-a"])
        case "deleted":
            feed["lima"].delete("session:a", "2-a", replaces=["1-a"])
        case "gone":
            feed["lima"].purge("session:a")
            feed["lima"].mark = None
    await project()
    assert duplicates(connection) == {}


async def test_one_that_is_found_again_makes_both_duplicates_again(
    feed: MemoryFeed, project: Project, connection: psycopg.Connection
) -> None:
    for name in "ab":
        feed["lima"].save(a_sitting(name), "1-a")
    await project()
    gone = feed["lima"].leaves["session:a"]
    feed["lima"].purge("session:a")
    feed["lima"].mark = None
    await project()
    assert duplicates(connection) == {}
    for leaf in gone.values():
        feed["lima"].save(leaf.body, leaf.rev, doc_id=leaf.id)
    await project()
    assert duplicates(connection) == same_trials(a="b", b="a")


async def test_a_replay_leaves_the_flags_as_they_were(
    feed: MemoryFeed, project: Project, connection: psycopg.Connection
) -> None:
    for name in "ab":
        feed["lima"].save(a_sitting(name), "1-a")
    await project()
    with connection.transaction():
        request_replays(connection, "lima", ["session:a"], cause="retry", requested_by="c")
    await project()
    assert duplicates(connection) == same_trials(a="b", b="a")


# --- missing tasks -----------------------------------------------------------------------------------------


def publish(connection: psycopg.Connection, tasks: list[str] | None) -> None:
    connection.execute(
        "INSERT INTO batteries (id, version, tasks) VALUES ('self-regulation', 1, %s)"
        " ON CONFLICT (id, version) DO UPDATE SET tasks = excluded.tasks",
        [tasks],
    )


async def test_completed_session_without_some_of_the_batterys_tasks_is_flagged(
    feed: MemoryFeed, project: Project, connection: psycopg.Connection
) -> None:
    publish(connection, ["simon", "stroop", "digit_span"])
    feed["lima"].save(a_sitting("s1"), "1-a")
    feed["lima"].save(a_sitting("empty", tasks=[played(1), a_task_run("stroop", trials=0)]), "1-a")
    feed["lima"].save(a_sitting("stopped", 2, status="abandoned"), "1-a")
    feed["lima"].save(a_sitting("elsewhere", 3, battery={"id": "self-regulation", "version": 2}), "1-a")
    feed["lima"].save(a_sitting("without", 4, battery=None), "1-a")
    whole = [played(5, task) for task in ("simon", "stroop", "digit_span", "more")]
    feed["lima"].save(a_sitting("whole", tasks=whole), "1-a")
    await project()
    assert missing(connection) == {"s1": ["digit_span", "stroop"], "empty": ["digit_span", "stroop"]}


async def test_tasks_that_become_known_later_flag_what_was_projected_before(
    feed: MemoryFeed, project: Project, connection: psycopg.Connection
) -> None:
    feed["lima"].save(a_sitting("s1"), "1-a")
    await project()
    assert missing(connection) == {}
    for tasks, expected in (
        (["simon", "stroop"], {"s1": ["stroop"]}),
        (["simon", "go"], {"s1": ["go"]}),
        (["simon"], {}),
        (["stroop"], {"s1": ["stroop"]}),
        (None, {}),
    ):
        publish(connection, tasks)
        await project()
        assert missing(connection) == expected


async def test_session_that_is_saved_again_with_the_task_is_not_flagged_any_more(
    feed: MemoryFeed, project: Project, connection: psycopg.Connection
) -> None:
    publish(connection, ["simon", "stroop"])
    feed["lima"].save(a_sitting("s1"), "1-a")
    await project()
    assert missing(connection) == {"s1": ["stroop"]}
    feed["lima"].save(a_sitting("s1", tasks=[played(), played(task="stroop")]), "2-a", replaces=["1-a"])
    await project()
    assert missing(connection) == {}


# --- all of it ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(4))
async def test_flags_after_any_history_are_those_of_a_fresh_projection(
    feed: MemoryFeed, connection: psycopg.Connection, database_url: str, seed: int
) -> None:
    choices = random.Random(seed)
    for step in range(15):
        for number in range(choices.randint(1, 4)):
            change_something(feed["lima"], connection, choices, f"{step:02}{number}")
        await Pump(feed, database_url, limits=Limits(choices.choice([1, 2, 200]))).drain()
    found = live_flags(feed["lima"], connection)
    for table in (
        "sessions",
        "task_runs",
        "trial_rows",
        "trial_extras",
        "scores",
        "quality_flags",
        "documents",
        "checkpoints",
    ):
        connection.execute(f"DELETE FROM {table}".encode())  # noqa: S608 (our own tables)
    await Pump(feed, database_url).drain()
    assert live_flags(feed["lima"], connection) == found


def change_something(
    database: MemoryDatabase, connection: psycopg.Connection, choices: random.Random, rev_id: str
) -> None:
    name = choices.choice("abcde")
    leaves = database.leaves.get(f"session:{name}", {})
    replaced = choices.sample(sorted(leaves), k=min(len(leaves), choices.choice([0, 1, 1, 2])))
    rev = f"{1 + max((int(rev.partition('-')[0]) for rev in replaced), default=0)}-{rev_id}"
    status = choices.choice(["completed", "completed", "abandoned"])
    tasks = [played(choices.randint(0, 1), task) for task in choices.sample(["simon", "stroop"], 1)]
    start = f"2016-07-22T03:00:0{choices.randint(0, 3)}Z"
    match choices.choice(["save", "save", "save", "save wrongly", "delete", "purge", "publish", "rewind"]):
        case "save":
            sitting = a_session(name, tasks=tasks, status=status, started_at=start)
            database.save(sitting, rev, replaces=replaced)
        case "save wrongly":
            database.save(a_session(name, status="lost"), rev, replaces=replaced)
        case "delete" if replaced:
            database.delete(f"session:{name}", rev, replaces=replaced)
        case "purge" if leaves:
            database.purge(f"session:{name}")
            database.mark = None
        case "publish":
            publish(connection, choices.choice([None, ["simon"], ["simon", "stroop"]]))
        case _:
            database.mark = None


def live_flags(database: MemoryDatabase, connection: psycopg.Connection) -> list[tuple[Any, ...]]:
    """Of documents with a live leaf; rows of deleted ones stay as they were."""
    live = [
        key.removeprefix("session:")
        for key, leaves in database.leaves.items()
        if not all(leaf.deleted for leaf in leaves.values())
    ]
    query = (
        "SELECT session_id, code, task, trial_index, detail, rule_version FROM quality_flags"
        " WHERE session_id = ANY(%(ids)s) ORDER BY quality_flags::text"
    )
    return rows(connection, query, ids=live)


async def test_every_stored_flag_has_a_rule_and_its_version(
    feed: MemoryFeed, project: Project, connection: psycopg.Connection
) -> None:
    publish(connection, ["simon", "stroop"])
    hurried = [a_trial(n, rt=20 + n, correct=0) for n in range(1, 30)]
    for name in "ab":
        run = {**a_task_run(summary={"acc": 1}), "trials": hurried}
        document = a_session(name, tasks=[run], language="e\0n", started_at="1970-01-01T00:00:00Z")
        feed["lima"].save(document, "1-a")
    feed["lima"].save(a_session("c", battery={"id": "unknown", "version": 1}), "1-a")
    await project()
    found = rows(connection, "SELECT DISTINCT code, rule_version FROM quality_flags")
    assert {code for code, _ in found} >= {
        "anticipatory",
        "clock_suspect",
        "duplicate_session",
        "missing_tasks",
        "nul_replaced",
        "repeated_key",
        "summary_differs",
        "unknown_battery",
    }
    assert dict(found) == {code: RULES[code].version for code, _ in found}
