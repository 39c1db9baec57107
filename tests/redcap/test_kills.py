"""A worker is killed at every step there is: before and after each HTTP request and each commit."""

import random
from collections.abc import Iterator

import pytest

from reporting.compiled import execute_in
from reporting.redcap.requests import push_participants
from tests.redcap.conftest import Pushing
from tests.redcap.killed_worker import KilledWorkers
from tests.redcap.pushed import KEY, MAPPING, STUDY, Study, drain, instances_of
from tests.redcap_double.double import Double


@pytest.fixture
def workers(study: Study) -> Iterator[KilledWorkers]:
    settings = study.settings
    with KilledWorkers(
        database_url=settings.database_url, data_dir=str(settings.data_dir), key=KEY
    ) as started:
        yield started


def begin(study: Study, number: int) -> None:
    """What is in REDCap before: a session that will change, one that will go, one that will move."""
    for name in ("changes", "goes"):
        study.write(f"{name}-{number}", f"{number}")
    study.write(f"moves-{number}", f"{number}m")


def change(study: Study, number: int) -> None:
    """What has to be brought about: these, and two new ones of one record."""
    study.write(f"changes-{number}", f"{number}", srt=111.0, flags=["clock_suspect"])
    study.remove(f"goes-{number}")
    study.write(f"new-{number}", f"{number}", srt=222.0)
    study.write(f"newer-{number}", f"{number}", srt=333.0)
    study.ask("UPDATE participants SET redcap_id = %s WHERE code = %s", f"{number}n", f"p-{number}m")
    with study.rows.transaction():
        execute_in(study.rows, push_participants(STUDY, [f"p-{number}m"]))


def is_as_it_has_to_be(study: Study, double: Double, number: int) -> None:
    """One instance a session, with the values of now; nothing else in its records."""
    found = {
        name: [
            (here.record, here.values.get("cog_srt_ms"), here.values.get("cog_flags___1"))
            for here in instances_of(double.project, f"{name}-{number}")
        ]
        for name in ("changes", "goes", "new", "newer", "moves")
    }
    record = str(number)
    assert found == {
        "changes": [(record, "111.0", "1")],
        "goes": [(record, None, None)],
        "new": [(record, "222.0", None)],
        "newer": [(record, "333.0", None)],
        "moves": [(f"{number}m", None, None), (f"{number}n", "300.0", None)],
    }, number
    rows = [place for place in double.project.records.rows if place.record == record]
    assert sorted(place.instance for place in rows) == [1, 2, 3, 4]
    states = {name: state for name, state in study.states().items() if name.endswith(f"-{number}")}
    assert states.pop(f"goes-{number}") == "discarded"
    assert set(states.values()) == {"done"}, study.errors()


async def test_whoever_is_killed_at_any_step_leaves_one_instance_a_session(
    pushing: Pushing, workers: KilledWorkers
) -> None:
    study, double = pushing.study, pushing.double
    study.map({**MAPPING, "withdrawn": "blank"})
    begin(study, 0)
    await pushing.drain()
    change(study, 0)
    lived = workers.work(study.claim())
    assert not lived["killed"]
    steps = lived["steps"]
    is_as_it_has_to_be(study, double, 0)
    for number in range(1, steps + 1):
        begin(study, number)
    await drain(study, pushing.resources, rounds=50)
    for number in range(1, steps + 1):
        change(study, number)
        assert workers.work(study.claim(), die_at=number)["killed"], number
    unfinished = study.ask("SELECT count(*) FROM outbox WHERE kind = 'redcap' AND state = 'leased'")
    assert unfinished[0][0] > steps
    study.bury()
    await drain(study, pushing.resources, rounds=50)
    for number in range(steps + 1):
        is_as_it_has_to_be(study, double, number)


async def test_workers_that_are_killed_again_and_again_come_to_the_same_end(
    pushing: Pushing, workers: KilledWorkers
) -> None:
    study, double = pushing.study, pushing.double
    study.map({**MAPPING, "withdrawn": "blank"})
    chance = random.Random(7)
    for number in range(4):
        begin(study, number)
    await pushing.drain()
    for number in range(4):
        change(study, number)
    for _ in range(15):
        workers.work(study.claim(), die_at=chance.randint(8, 80))
        study.bury()
    await pushing.drain()
    for number in range(4):
        is_as_it_has_to_be(study, double, number)
