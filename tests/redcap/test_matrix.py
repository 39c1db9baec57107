"""Every fault of the double × every state that a row of the ledger can be in.

In the end, when whoever has to has mended what was broken, each session has one instance with its values.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

import pytest
from psycopg.types.json import Jsonb

import sync_server.jobs.redcap
from reporting.compiled import execute_in
from reporting.redcap.hosts import lift_ban
from reporting.redcap.projects import resume
from reporting.redcap.requests import push_changed
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


def state_of(name: str) -> str:
    """The ledger's, of a situation."""
    known = {"sent-arrived": "sent", "unchanged": "done", "gone": "done", "moved": "done"}
    return known.get(name, name)


def arrange(study: Study, double: Double, name: str) -> None:
    """A session in that state, which has to be written now with NEW (unchanged: OLD)."""
    uid = f"{SITE}/{name}"
    if name in THERE:
        values = {**OLD_VALUES, "cog_session_uid": uid}
        double.person_writes(
            name,
            {key: value for key, value in values.items() if value != "0"},
            event=EVENT,
            form=FORM,
            instance=1,
        )
    study.write(name, name, srt=400.0 if name == "unchanged" else 500.0)
    if name != "new":
        payload = Jsonb({**OLD_VALUES, "cog_session_uid": uid})
        was_sent = name not in ("pending", "allocated", "parked")
        was_read = name in ("accepted", "done", "unchanged", "retired", "gone", "moved")
        study.ask(
            "INSERT INTO redcap_ledger (project, study, site, session_id, form, record, event, instance, state,"
            " payload, accepted, fence) VALUES ('studyA', %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, 7)",
            *(STUDY, SITE, name, FORM, name, EVENT, None if name == "pending" else 1, state_of(name)),
            *(payload if was_sent else None, payload if was_read and name != "accepted" else None),
        )
    if name == "moved":
        study.ask("UPDATE participants SET redcap_id = 'elsewhere' WHERE code = %s", f"p-{name}")
    if name == "gone":
        study.remove(name)
    with study.rows.transaction():
        execute_in(study.rows, push_changed(SITE, [name]))


def is_as_it_has_to_be(study: Study, double: Double, name: str) -> None:
    """One instance, the values of now, and the ledger says so."""
    found = [
        (here.record, here.values.get("cog_srt_ms"), here.values.get("cog_status"))
        for here in instances_of(double.project, name)
    ]
    live = (name, OLD if name == "unchanged" else NEW, "1")
    gone = (name, None, None)
    wanted = {"gone": [gone], "moved": [("elsewhere", NEW, "1"), gone]}.get(name, [live])
    assert found == wanted, (name, study.errors())
    assert study.states()[name] == ("discarded" if name == "gone" else "done"), study.errors()
    failed = study.ask("SELECT error FROM outbox_attempts WHERE error ~ '^[A-Za-z]+(Error|Warning|Exception):'")
    assert failed == []
    states = study.ask("SELECT state FROM redcap_ledger WHERE session_id = %s ORDER BY id", name)
    assert states == {"gone": [("retired",)], "moved": [("retired",), ("done",)]}.get(name, [("done",)])


def nothing(_: Study, __: Double) -> None:
    """Nobody has to do anything."""


def lifted(study: Study, double: Double) -> None:
    assert study.ask("SELECT count(*) FROM redcap_hosts WHERE banned_at IS NOT NULL") == [(1,)]
    assert study.ask("SELECT count(*) FROM outbox WHERE key LIKE 'redcap.banned:%%'") == [(1,)]
    assert len(double.requests.entries) - double.told_before <= 6  # type: ignore[attr-defined]
    double.unban()
    with study.rows.transaction():
        execute_in(study.rows, lift_ban(study.url.split("/")[2]))


def unlocked(study: Study, double: Double) -> None:
    assert "locked" in str(study.errors())
    for name in (*STATES, "elsewhere"):
        double.unlock(name)
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


def parked(study: Study, double: Double) -> None:
    assert "dead" in study.states().values()
    double.project.dictionary = cognition_project().dictionary
    study.resync()


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


def situations() -> list[Any]:
    """Fault, the requests that it befalls, the states that are in one batch."""
    found = []
    for fault in names():
        if fault in OF_A_ROW:
            asked = EXPORTS if fault == "rows-missing" else IMPORTS
            found += [pytest.param(fault, asked, (state,), id=f"{fault}-{state}") for state in STATES]
        else:
            only_imports = fault in ("field-removed", "choice-removed")
            for asked in (IMPORTS,) if only_imports else (EXPORTS, IMPORTS):
                found.append(pytest.param(fault, asked, STATES, id=f"{fault}-{asked[1]}"))
    return found


@pytest.mark.parametrize(("fault", "asked", "states"), situations())
async def test_a_fault_leaves_one_instance_a_session(
    pushing: Pushing,
    monkeypatch: pytest.MonkeyPatch,
    fault: str,
    asked: tuple[str, str],
    states: tuple[str, ...],
) -> None:
    study, double = pushing.study, pushing.double
    monkeypatch.setattr(sync_server.jobs.redcap, "push", partial(push, answer_seconds=0.3))
    study.map({**MAPPING, "withdrawn": "blank"})
    for state in states:
        arrange(study, double, state)
    double.told_before = len(double.requests.entries)  # type: ignore[attr-defined]
    scheduled = double.faults.add(fault, content=asked[0], action=asked[1])
    await pushing.drain()
    if scheduled.fired:
        MENDED_BY.get(fault, nothing)(study, double)
        await pushing.drain()
    else:
        assert states == ("unchanged",)
    for state in states:
        is_as_it_has_to_be(study, double, state)
