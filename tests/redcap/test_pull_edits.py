"""Edits of participants here and in REDCap, and erasures: whose value counts, and what is left."""

from reporting.erasure.execution import run_erasure
from sync_server.keys import ENGINE, SEALER, SITE_DATABASES
from sync_server.site_erasing import CouchSiteStore
from tests.administration.test_erasure import session
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

__all__ = ["team"]


async def test_edit_of_either_side_is_taken_and_of_both_is_listed_and_settled(team: Connected) -> None:
    team.person("15", **S1)
    await pulled(team)
    team.person("15", lang="2")
    await pulled(team)
    assert team.roster()[0][4] == "qu"
    path = "/api/participants/SRO/s1"
    mine = {"language": "pt", "contact": {"email": "mine@example.org"}}
    assert (await team.admin.patch(path, mine, If_Match="*")).status == 200
    team.person("15", consented_on="2026-01-03")
    await pulled(team)
    # What was edited here stays, what REDCap did not change.
    assert team.roster()[0][4:6] == ("pt", "2026-01-03")
    assert problems(team) == {}
    team.person("15", lang="1", email="theirs@example.org")
    await pulled(team)
    assert team.roster()[0][4] == "pt"
    (listed,) = (await team.admin.get("/api/redcap/records", troubled="true")).body["data"]
    assert listed["problem"] == "Changed here and in REDCap: contact.email, language."
    assert listed["conflicts"] == {
        "language": {"here": "pt", "redcap": "es"},
        "contact.email": {"here": "(a contact)", "redcap": "(a contact)"},
    }
    assert (await team.admin.get(PROJECT)).body["record_problems"] == 1
    settle = f"/api/redcap/records/{listed['id']}/settle"
    kept = await team.admin.post(settle, {"member": "language", "keep": "here"})
    assert kept.body["problem"] == "Changed here and in REDCap: contact.email."
    taken = await team.admin.post(settle, {"member": "contact.email", "keep": "redcap"})
    assert (taken.body["problem"], taken.body["conflicts"]) == (None, None)
    again = await team.admin.post(settle, {"member": "language", "keep": "here"})
    assert again.error == (409, "already_done")
    await team.desk.drain()
    detail = (await team.admin.get(path, contact="true")).body
    assert (detail["language"], detail["contact"]) == ("pt", {"email": "theirs@example.org"})
    assert problems(team) == {}


async def test_member_that_goes_both_ways_is_written_to_the_record_once_and_never_over_an_edit(
    team: Connected,
) -> None:
    fields = {
        **ROSTER["fields"],
        "language": {**ROSTER["fields"]["language"], "direction": "both"},
        "contact.email": {"from": "email", "direction": "push"},
    }
    await team.map({**GIVEN, "participants": {**ROSTER, "fields": fields}})
    team.person("15", ppt_code="s1", lang="1")
    await pulled(team)
    path = "/api/participants/SRO/s1"
    mine = {"language": "qu", "contact": {"email": "mine@example.org"}}
    assert (await team.admin.patch(path, mine, If_Match="*")).status == 200
    report = await pulled(team, dry_run=True)
    assert [(each.outcome, each.changes) for each in report.records] == [
        ("pushed", ["contact.email", "language"])
    ]
    assert team.double.values("15", event="base_arm_1") == {"ppt_code": "s1", "lang": "1"}
    await pulled(team)
    there = {"ppt_code": "s1", "lang": "2", "email": "mine@example.org"}
    assert team.double.values("15", event="base_arm_1") == there
    imports = team.double.requests.count("record", "import")
    await pulled(team)
    await pulled(team, full=True)
    assert team.double.requests.count("record", "import") == imports == 1
    acts = team.office.rows("SELECT after FROM audit_log WHERE action = 'participant.push'")
    assert acts == [({"record": "15", "members": ["contact.email", "language"]},)]
    # Edited there only: taken, or listed where we are the source.
    team.person("15", lang="1", email="theirs@example.org")
    await pulled(team)
    assert team.roster()[0][4] == "es"
    assert problems(team) == {"15": "Changed here and in REDCap: contact.email."}
    # What REDCap refuses is listed, the others are sent.
    team.person("16", ppt_code="s2", lang="1")
    await pulled(team)
    for code, email in (("s1", "theirs@example.org"), ("s2", "no address")):
        change = {"language": "qu", "contact": {"email": email}}
        assert (await team.admin.patch(f"/api/participants/SRO/{code}", change, If_Match="*")).status == 200
    await pulled(team)
    assert team.double.values("15", event="base_arm_1") == {**there, "email": "theirs@example.org"}
    assert list(problems(team)) == ["16"]
    assert "REDCap does not take email" in problems(team)["16"]
    everywhere = team.office.rows(
        "SELECT 1 FROM redcap_pulled r WHERE r::text LIKE '%%example.org%%'"
        " UNION ALL SELECT 1 FROM audit_log a WHERE a::text LIKE '%%theirs@%%' OR a::text LIKE '%%mine@%%'"
    )
    assert everywhere == []


async def test_erased_participant_leaves_no_trace_and_is_not_pulled_again(team: Connected) -> None:
    office, app = team.office, team.office.gateway.app
    team.person("15", **S1)
    team.person("16", ppt_code="s2")
    await pulled(team)
    token = office.gateway.service
    assert await office.gateway.push("site-lima", session("one-of-s1", "s1"), token=token) == []
    await office.project()
    office.rows(
        "INSERT INTO redcap_ledger (project, study, site, session_id, form, record, instance, payload)"
        """ VALUES ('sro', 'SRO', 'lima', 'one-of-s1', 'cog', '15', 1, '{"cog_srt": "300.0"}')"""
    )
    office.rows(
        "INSERT INTO redcap_attempts (ledger, action, outcome, after)"
        " SELECT id, 'import', 'done', payload FROM redcap_ledger"
    )
    path = "/api/participants/SRO/s1/erasure"
    number = (await team.admin.post(path, {"reason": "asked for"})).body["id"]
    confirmed = await office.as_("admin", study="SRO").post(f"{path}/{number}/confirm")
    assert confirmed.status == 200
    store = CouchSiteStore(app[SITE_DATABASES])
    await run_erasure(app[ENGINE], store, app[SEALER].fingerprints, number, settle=0.0)
    assert office.rows("SELECT * FROM redcap_ledger") == []
    assert office.rows("SELECT * FROM redcap_attempts") == []
    assert office.rows("SELECT record FROM redcap_pulled") == [("16",)]
    assert office.rows("SELECT key FROM outbox WHERE kind = 'redcap'") == []
    await pulled(team, full=True)
    assert [row[0] for row in team.roster()] == ["s2"]
    assert problems(team) == {"15": "The participant with its code was erased."}
    kept = office.rows("SELECT participant, value FROM redcap_pulled WHERE record = '15'")
    assert kept == [(None, {})]
