"""A host that is away for long, and a row that it cannot bear: nothing that is right is given up."""

import pytest

from sync_server.jobs.registry import FOR_A_DAY
from tests.redcap.conftest import Pushing
from tests.redcap.pushed import instances_of, work
from tests.redcap_double.faults import Call


@pytest.mark.parametrize("fault", ["empty-500", "504", "html"])
async def test_sessions_wait_for_a_host_that_is_away_for_a_week(pushing: Pushing, fault: str) -> None:
    study, double = pushing.study, pushing.double
    double.faults.add(fault, times=None)
    study.write("a")
    study.write("b", "2")
    # As many jobs as an entry has attempts at most.
    study.ask("UPDATE outbox SET attempts = %s", FOR_A_DAY.attempts - 2)
    for _ in range(4):
        await work(study, pushing.resources)
        study.hurry()
    assert set(study.states().values()) == {"pending"}, study.errors()
    assert all("REDCap" in error for error in study.errors().values())
    double.faults.clear()
    await pushing.drain()
    assert set(study.states().values()) == {"done"}


async def test_a_row_that_the_host_cannot_bear_is_sent_alone_in_the_end_and_others_come_through(
    pushing: Pushing,
) -> None:
    study, double = pushing.study, pushing.double

    def is_poisoned(call: Call) -> bool:
        return "lima/poison" in call.parameters.text("data")

    double.faults.add("empty-500", times=None, content="record", action="import", when=is_poisoned)
    names = ["a", "b", "poison", "y", "z"]
    for number, name in enumerate(names):
        study.write(name, str(number))
    for _ in range(12):
        await work(study, pushing.resources)
        study.ask("UPDATE outbox SET next_attempt_at = now() WHERE state = 'pending' AND attempts < 6")
    states = study.states()
    assert states.pop("poison") == "pending"
    assert set(states.values()) == {"done"}, study.errors()
    assert all(len(instances_of(double.project, name)) == (name != "poison") for name in names)


async def test_a_worker_whose_lock_was_lost_sends_nothing_more_and_the_next_one_goes_on(
    pushing: Pushing,
) -> None:
    study, double = pushing.study, pushing.double
    study.write("a")
    study.write("b")

    def lose(_: object) -> None:
        lost = study.ask(
            "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND database ="
            " (SELECT oid FROM pg_database WHERE datname = current_database())"
        )
        assert lost == [(True,)]

    double.faults.hook(before=lose, content="record", action="import")
    await work(study, pushing.resources)
    assert double.requests.count("record", "import") == 1
    assert set(study.states().values()) == {"pending"}
    assert "lost" in "".join(study.errors().values())
    study.hurry()
    await pushing.drain()
    assert set(study.states().values()) == {"done"}, study.errors()
    assert sorted(here.instance for each in "ab" for here in instances_of(double.project, each)) == [1, 2]
