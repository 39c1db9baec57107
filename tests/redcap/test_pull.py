"""Participants from REDCap into the roster, against the double."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from reporting.outbox.duties import run_if_due
from sync_server.jobs.duties import duties
from sync_server.redcap.pull_parts import Refused
from sync_server.redcap.pulling import OVERLAP, CannotPull, SomebodyElse
from tests.redcap.redcap_office import (
    GIVEN,
    PROJECT,
    ROSTER,
    S1,
    Connected,
    problems,
    pulled,
    team,
)
from tests.redcap_double.answers import Answer
from tests.redcap_double.faults import Call
from tests.redcap_double.records import Place

__all__ = ["team"]


async def test_records_become_participants_with_visits_documents_and_the_project_as_actor(
    team: Connected,
) -> None:
    team.person("15", **S1)
    team.person("16", group="quito_clinic", ppt_code="s2")
    team.double.person_writes("15", {"cog_uid": "x"}, event="base_arm_1", form="cog")
    await pulled(team)
    today = str(team.office.rows("SELECT now()::date")[0][0])
    assert team.roster() == [
        ("s1", "15", "lima", "enrolled", "es", "2026-01-02", 1),
        ("s2", "16", "quito", "enrolled", None, today, 1),
    ]
    assert team.office.rows("SELECT participant, due_on::text FROM visits ORDER BY 1") == [
        ("s1", "2026-01-02"),
        ("s2", today),
    ]
    published = (await team.desk.documents("lima"))["participant:SRO/s1"]
    assert "redcap_id" not in published
    acts = team.office.rows(
        "SELECT actor, actor_kind, action, entity_id FROM audit_log WHERE entity = 'participant' ORDER BY id"
    )
    assert acts == [("redcap:sro", "process", "participant.create", f"SRO/{code}") for code in ("s1", "s2")]
    detail = await team.admin.get("/api/participants/SRO/s1", contact="true")
    assert detail.body["contact"] == {"email": "planted@example.org"}
    everywhere = team.office.rows(
        "SELECT 1 FROM redcap_pulled r WHERE r::text LIKE '%%planted%%'"
        " UNION ALL SELECT 1 FROM outbox o WHERE o::text LIKE '%%planted%%'"
    )
    assert everywhere == []
    await pulled(team)
    assert [row[-1] for row in team.roster()] == [1, 1]


async def test_participant_who_is_there_is_linked_and_what_cannot_be_taken_is_listed_with_why(
    team: Connected,
) -> None:
    for code, more in (("s1", {"language": "es"}), ("s2", {"redcap_id": "99"}), ("s5", {"redcap_id": "5"})):
        made = await team.admin.post(
            "/api/participants", {"study": "SRO", "code": code, "site": "lima", **more}
        )
        assert made.status == 201
    team.office.rows("UPDATE sites SET status = 'archived' WHERE code = 'quito'")
    team.person("1", ppt_code="s1", lang="1")
    team.person("2", ppt_code="s2")
    team.person("3")
    team.person("4", ppt_code="no code")
    team.person("5", ppt_code="s9")
    team.person("6", group="", ppt_code="s6")
    team.person("7", group="quito_clinic", ppt_code="s7")
    team.person("8", ppt_code="s8")
    team.person("9", ppt_code="s8")
    await pulled(team)
    assert [row[:3] for row in team.roster()] == [
        ("s1", "1", "lima"),
        ("s2", "99", "lima"),
        ("s5", "5", "lima"),
        ("s8", "8", "lima"),
    ]
    assert problems(team) == {
        "2": "Its code s2 is of the record 99 here.",
        "3": "It has no code: ppt_code is empty.",
        "4": "code: 'no code' cannot be a participant's code.",
        "5": "It is s5 here, and REDCap calls it s9.",
        "6": "site: To be enrolled takes a site.",
        "7": "site: The site quito is archived.",
        "9": "Its code s8 is of the record 8 here.",
    }
    # A person takes the link away: it is not set again behind their back.
    assert (
        await team.admin.patch("/api/participants/SRO/s1", {"redcap_id": None}, If_Match="*")
    ).status == 200
    for _ in range(2):
        await pulled(team)
        assert problems(team)["1"] == "Somebody took the record from s1 here: set it again to go on."
        assert team.roster()[0][1] is None
    again = await team.admin.patch("/api/participants/SRO/s1", {"redcap_id": "1"}, If_Match="*")
    assert again.status == 200
    await pulled(team)
    assert "1" not in problems(team)


async def test_only_what_changed_is_asked_for_and_all_of_it_once_a_day_to_find_what_is_gone(
    team: Connected,
) -> None:
    clock = datetime.now(UTC).replace(tzinfo=None)
    team.double.clock = lambda: clock - timedelta(days=10)
    team.person("1", ppt_code="s1")
    team.person("2", ppt_code="s2")
    await pulled(team)
    ((until, reconciled),) = team.office.rows("SELECT pulled_until, reconciled_at FROM redcap_projects")
    assert abs(until - datetime.now(UTC)) < timedelta(minutes=5)
    assert reconciled is not None
    # As a server at the other side of the date line tells the time.
    team.double.clock = lambda: clock - timedelta(hours=12)
    team.person("2", lang="2")
    assert timedelta(hours=12) < OVERLAP
    seen: list[int] = []

    def count(_: Call, answer: Answer) -> Answer:
        seen.append(answer.body.count(b'"record_id"'))
        return answer

    team.double.faults.hook(after=count, content="record", times=None)
    await pulled(team)
    assert (seen, [row[4] for row in team.roster()]) == ([1, 1], [None, "qu"])
    project = team.double.project
    project.records.delete("1", [Place("1", "base_arm_1")], at=clock, username="person")
    await pulled(team)
    assert problems(team) == {}
    report = await pulled(team, full=True)
    assert (report.full, report.missing) == (True, ["1"])
    assert problems(team) == {"1": "REDCap has this record no more."}
    assert [row[0] for row in team.roster()] == ["s1", "s2"]
    team.double.clock = lambda: clock
    team.person("1", ppt_code="s1")
    await pulled(team)
    assert team.office.rows("SELECT missing_since FROM redcap_pulled") == [(None,), (None,)]


async def test_dry_run_says_what_a_pull_does_and_does_nothing(team: Connected) -> None:
    team.person("15", **S1)
    team.person("16")
    report = await pulled(team, dry_run=True)
    assert report.counts == {"created": 1, "refused": 1}
    assert [(each.record, each.participant, each.outcome) for each in report.records] == [
        ("15", "s1", "created"),
        ("16", None, "refused"),
    ]
    assert report.records[0].changes == ["contact.email", "enrolled_on", "language", "redcap_id", "site"]
    assert team.roster() == []
    for table in ("redcap_pulled", "participants", "visits"):
        assert team.office.rows(f"SELECT * FROM {table}") == []  # noqa: S608 (names of tables)
    assert team.office.rows("SELECT pulled_at, pulled_until FROM redcap_projects") == [(None, None)]
    done = await pulled(team, full=True)
    assert (done.counts, done.records) == (report.counts, report.records)


async def test_fault_takes_nothing_moves_no_mark_and_what_cannot_pass_by_itself_pauses(
    team: Connected,
) -> None:
    team.person("15", **S1)
    for name in ("drop", "html", "empty-500", "503"):
        team.double.faults.add(name, content="record")
        await pulled(team)
        assert team.roster() == []
        assert team.office.rows("SELECT pulled_at, paused_at FROM redcap_projects") == [(None, None)], name
    # Too much at once is asked for by halves.
    for number in range(1, 6):
        team.person(str(number), ppt_code=f"t{number}")
    team.double.faults.add("out-of-memory", content="record", nth=2)
    team.office.rows("UPDATE redcap_hosts SET failures = 0, open_until = NULL")
    await pulled(team)
    assert len(team.roster()) == 6
    team.double.project.users[0].api_export = False
    await pulled(team)
    assert team.office.rows("SELECT paused_cause FROM redcap_projects") == [("rights",)]
    told = team.office.rows(
        "SELECT payload->'data'->>'project', study FROM outbox"
        " WHERE kind = 'event' AND payload->>'name' = 'redcap.paused'"
    )
    assert told == [("sro", "SRO")]
    team.double.project.users[0].api_export = True
    assert (await team.admin.post(f"{PROJECT}/resume")).status == 200
    team.double.edit_dictionary(lambda dictionary: dictionary.without("lang"))
    await pulled(team)
    assert team.office.rows("SELECT paused_cause FROM redcap_projects") == [("dictionary",)]
    fields = {name: each for name, each in ROSTER["fields"].items() if name != "language"}
    await team.map({**GIVEN, "participants": {**ROSTER, "fields": fields}})
    assert team.office.rows("SELECT paused_cause FROM redcap_projects") == [(None,)]


async def test_pull_that_dies_between_chunks_has_taken_them_and_begins_at_the_old_mark(
    team: Connected, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sync_server.redcap.pulling.RECORDS_AT_ONCE", 2)
    for number in range(1, 6):
        team.person(str(number), ppt_code=f"s{number}")
    team.double.faults.add("drop", content="record", nth=3)
    with pytest.raises(Refused):
        await pulled(team, full=True)
    assert [row[0] for row in team.roster()] == ["s1", "s2"]
    assert team.office.rows("SELECT pulled_until, reconciled_at FROM redcap_projects") == [(None, None)]
    report = await pulled(team, full=True)
    assert (report.counts, report.looked_at) == ({"unchanged": 2, "created": 3}, 5)
    assert {row[-1] for row in team.roster()} == {1}


async def test_two_pulls_at_once_and_one_that_comes_late_change_nothing_twice(team: Connected) -> None:
    for number in range(1, 30):
        team.person(str(number), ppt_code=f"s{number}")
    reports = await asyncio.gather(*(pulled(team, full=True) for _ in range(3)), return_exceptions=True)
    assert any(not isinstance(each, BaseException) for each in reports)
    assert {row[-1] for row in team.roster()} == {1}
    assert len(team.roster()) == 29

    def another_ends(_: Call) -> None:
        team.office.rows("UPDATE redcap_projects SET pulled_at = now()")

    team.double.faults.hook(before=another_ends, content="record")
    team.person("1", lang="1")
    with pytest.raises(SomebodyElse):
        await pulled(team, full=False)
    assert team.office.rows("SELECT language FROM participants WHERE code = 's1'") == [(None,)]


async def test_relay_asks_for_pulls_at_intervals_of_projects_that_have_a_roster(team: Connected) -> None:
    resources = team.desk.resources
    (duty,) = [each for each in duties(resources.settings) if each.name == "redcap pulls"]

    def due() -> list[Any]:
        team.office.rows("DELETE FROM duties")
        with team.desk.relay._engine.begin() as connection:
            assert run_if_due(connection, duty)
        return team.office.rows("SELECT key, ticket, state FROM outbox WHERE kind = 'redcap_pull'")

    assert due() == [("sro", 1, "pending")]
    # One that waits is not begun anew: its attempts count on.
    assert due() == [("sro", 1, "pending")]
    await team.desk.drain()
    assert due() == [("sro", 1, "done")]
    team.office.rows("UPDATE redcap_projects SET pulled_at = now() - interval '16 minutes'")
    assert due() == [("sro", 2, "pending")]
    await team.desk.drain()
    team.office.rows("UPDATE redcap_projects SET pulled_at = NULL, paused_at = now()")
    assert due() == [("sro", 2, "done")]


async def test_nothing_is_pulled_without_participants_in_the_mapping_or_while_paused(team: Connected) -> None:
    team.person("15", **S1)
    await team.admin.post(f"{PROJECT}/pause", {"reason": "x"})
    with pytest.raises(CannotPull, match="paused"):
        await pulled(team, full=True)
    assert (await pulled(team, dry_run=True)).counts == {"created": 1}
    await team.admin.post(f"{PROJECT}/resume")
    await team.map({name: each for name, each in GIVEN.items() if name != "participants"})
    with pytest.raises(CannotPull, match="no participants"):
        await pulled(team, full=True)
    assert team.roster() == []
