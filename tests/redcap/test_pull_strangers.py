"""What a pull must not tell of participants, and whom a site's own project must not touch."""

import json
from collections.abc import AsyncIterator

import pytest
from structlog.testing import capture_logs

from sync_server.redcap.pulling import pull
from sync_server.redcap.study_connections import Redcaps
from tests.administration.office import Office
from tests.redcap.redcap_office import GIVEN, ROSTER, Connected, connected, problems, pulled, roster_project
from tests.redcap.test_connections import texts
from tests.redcap_double.answers import Answer
from tests.redcap_double.double import Double

BOTH_WAYS = {**ROSTER["fields"], "contact.email": {"from": "email", "direction": "both"}}
SECRET = "ana planted at nowhere"


@pytest.fixture
async def team(office: Office) -> AsyncIterator[Connected]:
    """Connected; REDCap has nobody yet, and names the event with a record in what it refuses."""
    await office.gateway.open_site("lima")
    double = Double([roster_project()], requests_per_minute=None)
    double.names_event = True
    async with connected(office, double) as made:
        yield made


async def _edit(team: Connected, **emails: str) -> None:
    await team.connect()
    await team.map({**GIVEN, "participants": {**ROSTER, "fields": BOTH_WAYS}})
    for number, code in enumerate(emails):
        team.person(str(number), ppt_code=code)
    await pulled(team)
    for code, email in emails.items():
        change = {"contact": {"email": email}}
        assert (await team.admin.patch(f"/api/participants/SRO/{code}", change, If_Match="*")).status == 200


async def test_a_refused_contact_is_left_out_though_the_event_is_named_and_is_told_nowhere(
    team: Connected,
) -> None:
    await _edit(team, s0=SECRET, s1="ok@example.org")
    with capture_logs() as logs:
        await pulled(team)
    assert (team.double.values("1", event="base_arm_1") or {})["email"] == "ok@example.org"
    assert list(problems(team)) == ["0"]
    assert problems(team)["0"].startswith("REDCap does not take email")
    assert not [text for text in (*texts(team.office), repr(logs)) if SECRET in text]


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (400, f'"0","email","{SECRET}","'),
        (400, f'"0","email","{SECRET}","The field email does not exist"'),
        (400, f'"9","email","{SECRET}","is locked"'),
        (500, f"Fatal error near {SECRET}"),
        (400, f"The value {SECRET} was not found in the project"),
    ],
)
async def test_what_redcap_says_of_a_contact_is_in_no_job_log_pause_or_webhook(
    team: Connected, status: int, said: str
) -> None:
    await _edit(team, s0=SECRET)

    team.double.faults.hook(
        before=lambda _: Answer(status, json.dumps({"error": said}).encode()),
        times=None,
        content="record",
        action="import",
    )
    with capture_logs() as logs:
        await pulled(team)
    assert not [text for text in (*texts(team.office), repr(logs)) if SECRET in text]


async def test_a_spoiled_export_of_contacts_is_in_no_job_or_log(team: Connected) -> None:
    await _edit(team, s0=SECRET)
    team.person("0", email=SECRET)
    team.double.faults.hook(
        after=lambda _, answer: Answer(200, b"Warning: " + answer.body),
        nth=2,
        content="record",
        action="export",
    )
    with capture_logs() as logs:
        await pulled(team)
    assert team.office.rows("SELECT outcome FROM outbox_attempts WHERE error IS NOT NULL") == [("failed",)]
    assert not [text for text in (*texts(team.office), repr(logs)) if SECRET in text]


async def test_a_sites_own_project_touches_nobody_of_another_site(team: Connected) -> None:
    await team.connect(site="lima")
    team.office.rows(
        "INSERT INTO participants (study, code, site, redcap_id, status) VALUES"
        " ('SRO', 'q1', 'quito', '15', 'enrolled'), ('SRO', 'q2', 'quito', NULL, 'enrolled'),"
        " ('SRO', 'l1', 'lima', NULL, 'enrolled')"
    )
    await team.map()
    # Record 15 of lima's REDCap is somebody else than record 15 of quito's.
    team.person("15", lang="1", email="lima@example.org")
    team.person("16", ppt_code="q2", lang="1")
    team.person("17", ppt_code="l1", lang="1")
    team.person("18", group="quito_clinic", ppt_code="new", lang="1")
    resources = team.desk.resources
    redcaps = Redcaps(resources.settings, resources.engine, resources.sealer)
    await pull("sro@lima", redcaps, full=True)
    rows = {row[0]: (row[1], row[2], row[4]) for row in team.roster()}
    assert rows == {
        "q1": ("15", "quito", None),
        "q2": (None, "quito", None),
        "l1": ("17", "lima", "es"),
    }
    told = problems(team)
    assert sorted(told) == ["15", "16", "18"]
    assert all("another site" in each for each in told.values())
    assert "q1" not in told["15"]
