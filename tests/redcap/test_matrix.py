"""Every fault of the double × every state that a row of the ledger can be in.

In the end, when whoever has to has mended what was broken, each session has one instance with its values.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Final

import pytest
from psycopg.types.json import Jsonb

import sync_server.jobs.redcap
from reporting.compiled import execute_in
from reporting.redcap.hosts import lift_ban
from reporting.redcap.projects import resume
from sync_server.redcap.pushing import push
from tests.redcap.conftest import Pushing
from tests.redcap.pushed import EVENT, FORM, MAPPING, SITE, STUDY, Study, cognition_project, instances_of
from tests.redcap_double.catalogue import names
from tests.redcap_double.double import Double

OLD, NEW = "400.0", "500.0"

OLD_VALUES: Final = {
    "cog_srt_ms": OLD,
    "cog_status": "1",
    "cog_flags___1": "0",
    "cog_flags___2": "0",
    "cog_session_complete": "2",
}

NOT_THERE: Final = ("new", "pending", "allocated", "sent", "parked")
THERE: Final = ("sent-arrived", "accepted", "done", "unchanged", "retired", "gone", "moved")
STATES: Final = (*NOT_THERE, *THERE)

OF_A_ROW: Final = (
    "lock-form",
    "lock-record",
    "partial",
    "partial-silent",
    "person-adds-instance",
    "rows-missing",
)
"""Befall one row of a request: each state has its turn alone."""

EXPORTS, IMPORTS = ("record", "export"), ("record", "import")


LEDGER_STATES: Final = {"sent-arrived": "sent", "unchanged": "done", "gone": "done", "moved": "done"}
"""Of situations that are named otherwise."""


def arrange(study: Study, double: Double, state: str, name: str) -> None:
    """A session in that state, which has to be written now with NEW (unchanged: OLD)."""
    uid = f"{SITE}/{name}"
    values = {**OLD_VALUES, "cog_session_uid": uid}
    if state in THERE:
        stored = {key: value for key, value in values.items() if value != "0"}
        double.person_writes(name, stored, event=EVENT, form=FORM, instance=1)
    study.write(name, name, srt=400.0 if state == "unchanged" else 500.0)
    if state != "new":
        was_sent = state not in ("pending", "allocated", "parked")
        was_read = was_sent and state not in ("sent", "sent-arrived", "accepted")
        told = (STUDY, SITE, name, FORM, name, EVENT, None if state == "pending" else 1)
        study.ask(
            "INSERT INTO redcap_ledger (project, study, site, session_id, form, record, event, instance,"
            " state, payload, accepted, fence) VALUES ('studyA', %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, 7)",
            *(*told, LEDGER_STATES.get(state, state)),
            *(Jsonb(values) if was_sent else None, Jsonb(values) if was_read else None),
        )
    if state == "moved":
        study.ask("UPDATE participants SET redcap_id = %s WHERE code = %s", f"{name}-to", f"p-{name}")
    if state == "gone":
        study.remove(name)


def is_as_it_has_to_be(study: Study, double: Double, state: str, name: str) -> None:
    """One instance, the values of now, and the ledger says so."""
    found = [
        (here.record, here.values.get("cog_srt_ms"), here.values.get("cog_status"))
        for here in instances_of(double.project, name)
    ]
    live = (name, OLD if state == "unchanged" else NEW, "1")
    gone = (name, None, None)
    wanted = {"gone": [gone], "moved": [gone, (f"{name}-to", NEW, "1")]}.get(state, [live])
    assert found == wanted, (name, study.errors())
    assert study.states()[name] == ("discarded" if state == "gone" else "done"), study.errors()
    states = study.ask("SELECT state FROM redcap_ledger WHERE session_id = %s ORDER BY id", name)
    assert states == {"gone": [("retired",)], "moved": [("retired",), ("done",)]}.get(state, [("done",)])


def nothing(_: Study, __: Double) -> None:
    """Nobody has to do anything."""


def lifted(study: Study, double: Double) -> None:
    assert study.ask("SELECT count(*) FROM redcap_hosts WHERE banned_at IS NOT NULL") == [(1,)]
    assert study.ask("SELECT count(*) FROM outbox WHERE key LIKE 'redcap.banned:%%'") == [(1,)]
    double.unban()
    with study.rows.transaction():
        execute_in(study.rows, lift_ban(study.url.split("/")[2]))
    study.ask("DELETE FROM outbox WHERE kind = 'event'")


def unlocked(study: Study, double: Double) -> None:
    assert "locked" in str(study.errors())
    double.project.records.locks.clear()
    study.resync()


def resumed(cause: str) -> Callable[[Study, Double], None]:
    def mend(study: Study, double: Double) -> None:
        assert study.ask("SELECT paused_cause FROM redcap_projects") == [(cause,)]
        user = double.project.users[0]
        user.api_import = user.api_export = True
        user.token = study.token
        double.project.dictionary = cognition_project().dictionary
        with study.rows.transaction():
            execute_in(study.rows, resume("studyA"))
        study.resync()

    return mend


MENDED_BY: Final[Mapping[str, Callable[[Study, Double], None]]] = {
    "ban": lifted,
    "lock-record": unlocked,
    "lock-form": unlocked,
    "rights-removed": resumed("rights"),
    "401": resumed("rights"),
    "401-after": resumed("rights"),
    "token-removed": resumed("rights"),
    "field-removed": resumed("dictionary"),
    "choice-removed": nothing,
}


@pytest.mark.parametrize("fault", names())
async def test_a_fault_leaves_one_instance_a_session(
    pushing: Pushing, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    study, double = pushing.study, pushing.double
    monkeypatch.setattr(sync_server.jobs.redcap, "push", partial(push, answer_seconds=0.3))
    study.map({**MAPPING, "withdrawn": "blank"})
    for asked, states in situations(fault):
        prefix = f"{asked[1]}-{states[0]}"
        for state in states:
            arrange(study, double, state, f"{prefix}.{state}")
        scheduled = double.faults.add(fault, content=asked[0], action=asked[1])
        await pushing.drain()
        if scheduled.fired:
            MENDED_BY.get(fault, nothing)(study, double)
            await pushing.drain()
        else:
            assert states == ("unchanged",)
            double.faults.clear()
        for state in states:
            is_as_it_has_to_be(study, double, state, f"{prefix}.{state}")
    failed = study.ask(
        "SELECT error FROM outbox_attempts WHERE error ~ '^[A-Za-z]+(Error|Warning|Exception):'"
    )
    assert failed == []


def situations(fault: str) -> list[tuple[tuple[str, str], tuple[str, ...]]]:
    """The requests that it befalls, and the states that are in one batch."""
    if fault in OF_A_ROW:
        asked = EXPORTS if fault == "rows-missing" else IMPORTS
        return [(asked, (state,)) for state in STATES]
    if fault in ("field-removed", "choice-removed"):
        return [(IMPORTS, STATES)]
    return [(EXPORTS, STATES), (IMPORTS, STATES)]
