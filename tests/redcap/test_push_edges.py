"""What comes between a push's steps: other workers, people, changes, erasures; and what a push waits for."""

from collections.abc import Callable
from functools import partial

import pytest

import sync_server.jobs.redcap
from reporting.compiled import execute_in
from reporting.redcap.projects import pause, resume
from sync_server.redcap.pushing import push
from tests.redcap.conftest import Pushing
from tests.redcap.pushed import EVENT, FORM, MAPPING, STUDY, instances_of, work
from tests.redcap_double.answers import Answer
from tests.redcap_double.faults import Call


def before_import(pushing: Pushing, do: Callable[[], object]) -> None:
    pushing.double.faults.hook(before=lambda _: do(), content="record", action="import")


async def test_a_worker_whose_row_was_taken_meanwhile_changes_nothing_and_asks_again(
    pushing: Pushing,
) -> None:
    study, double = pushing.study, pushing.double
    study.write("a")
    before_import(pushing, lambda: study.ask("UPDATE redcap_ledger SET fence = fence + 1"))
    await work(study, pushing.resources)
    assert study.states() == {"a": "pending"}
    assert [state for _, state, _, _ in study.ledger()] == ["sent"]
    await pushing.drain()
    assert study.states() == {"a": "done"}
    assert len(instances_of(double.project, "a")) == 1


async def test_a_worker_that_is_late_makes_the_other_one_look_again(pushing: Pushing) -> None:
    study = pushing.study
    study.write("a")
    # The other worker has ended, with newer values, before what this one has sent is written.
    before_import(pushing, lambda: study.ask("UPDATE redcap_ledger SET fence = fence + 1, state = 'done'"))
    await work(study, pushing.resources)
    assert [state for _, state, _, _ in study.ledger()] == ["sent"]
    assert study.states() == {"a": "pending"}


async def test_nothing_is_left_of_a_session_that_is_erased_while_it_is_sent(pushing: Pushing) -> None:
    study = pushing.study
    study.write("a")
    before_import(pushing, lambda: study.ask("DELETE FROM redcap_ledger"))
    before_import(pushing, lambda: study.ask("DELETE FROM outbox"))
    await work(study, pushing.resources)
    assert study.ask("SELECT count(*) FROM redcap_attempts") == [(0,)]
    assert study.ledger() == []
    assert study.states() == {}


async def test_a_session_that_changes_while_it_is_sent_ends_with_its_newest_values(pushing: Pushing) -> None:
    study, double = pushing.study, pushing.double
    study.write("a", srt=1.0)
    before_import(pushing, lambda: study.write("a", srt=2.0))
    await pushing.drain()
    assert [here.values["cog_srt_ms"] for here in instances_of(double.project, "a")] == ["2.0"]
    assert study.states() == {"a": "done"}


async def test_what_was_on_its_way_and_comes_after_newer_values_is_overwritten(pushing: Pushing) -> None:
    study, double = pushing.study, pushing.double
    study.write("a", srt=1.0)
    double.faults.add("drop", content="record", action="import")
    await work(study, pushing.resources)
    assert [state for _, state, _, _ in study.ledger()] == ["sent"]
    study.write("a", srt=2.0)
    study.hurry()
    await work(study, pushing.resources)
    assert study.states() == {"a": "pending"}
    double.person_writes("1", {"cog_srt_ms": "1.0"}, event=EVENT, form=FORM, instance=1)
    study.hurry()
    await pushing.drain()
    assert [here.values["cog_srt_ms"] for here in instances_of(double.project, "a")] == ["2.0"]
    assert study.states() == {"a": "done"}


async def test_a_number_that_a_person_takes_between_choosing_and_sending_is_theirs(pushing: Pushing) -> None:
    study, double = pushing.study, pushing.double
    study.write("a")
    double.faults.add("drop", content="record", action="import")
    await work(study, pushing.resources)
    double.person_writes("1", {"cog_person": "by hand"}, event=EVENT, form=FORM, instance=1)
    await pushing.drain()
    study.hurry()
    await pushing.drain()
    (here,) = instances_of(double.project, "a")
    assert here.instance == 2
    assert double.values("1", event=EVENT, form=FORM, instance=1) == {"cog_person": "by hand"}


async def test_a_job_ends_after_its_time_and_others_go_on(
    pushing: Pushing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sync_server.jobs.redcap, "push", partial(push, work_seconds=-1.0))
    study, double = pushing.study, pushing.double
    for number in range(5):
        study.write(f"s{number}", "1")
    jobs = 0
    while await work(study, pushing.resources):
        jobs += 1
    assert jobs == 5
    assert set(study.states().values()) == {"done"}
    assert len({here.instance for n in range(5) for here in instances_of(double.project, f"s{n}")}) == 5
    assert study.ask("SELECT count(*) FROM outbox_attempts") == [(5,)]


async def test_sessions_wait_for_a_connection_and_a_paused_project_and_are_dropped_without_a_mapping(
    pushing: Pushing,
) -> None:
    study, double = pushing.study, pushing.double
    study.write("a")
    with study.rows.transaction():
        execute_in(study.rows, pause("studyA", STUDY, "person", "holidays"))
    await work(study, pushing.resources)
    assert "holidays" in study.errors()["a"]
    with study.rows.transaction():
        execute_in(study.rows, resume("studyA"))
    sealed = study.ask("DELETE FROM redcap_connections RETURNING url")
    study.hurry()
    await work(study, pushing.resources)
    assert "no REDCap connection" in study.errors()["a"]
    assert study.ask("SELECT count(*), max(attempts) FROM outbox, outbox_attempts") == [(0, None)]
    assert double.requests.count() == 0
    assert len(sealed) == 1
    study.ask("DELETE FROM redcap_mappings")
    study.hurry()
    await work(study, pushing.resources)
    assert study.states() == {"a": "discarded"}
    study.write("b")
    assert study.states() == {"a": "discarded"}


async def test_a_mapping_that_does_not_fit_pauses_its_project_before_anything_is_sent(
    pushing: Pushing,
) -> None:
    study, double = pushing.study, pushing.double
    study.map({**MAPPING, "instruments": [{**MAPPING["instruments"][0], "form": "unheard"}]})
    study.write("a")
    await work(study, pushing.resources)
    assert study.ask("SELECT paused_cause FROM redcap_projects") == [("mapping",)]
    assert "unheard" in study.errors()["a"]
    assert double.requests.count("record", "import") == 0


async def test_a_value_that_redcap_changes_is_sent_twice_and_parked_with_both(pushing: Pushing) -> None:
    study, double = pushing.study, pushing.double

    def change(call: Call, answer: Answer) -> Answer:
        call.write("1", {"cog_srt_ms": "7"}, event=EVENT, form=FORM, instance=1)
        return answer

    double.faults.hook(after=change, times=None, content="record", action="import")
    study.write("a", srt=300.0)
    await pushing.drain()
    assert study.states() == {"a": "dead"}
    assert "sent '300.0', REDCap has '7'" in study.errors()["a"]
    assert double.requests.count("record", "import") == 2
