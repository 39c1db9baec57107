"""How a study shows participants and dates to who is not identified: the API and the command line."""

from datetime import datetime

import msgspec
import pytest
from click.testing import CliRunner

from reporting.research.policy import Policy, consequences
from sync_server.cli import main
from tests.administration.office import Office

PATH = "/api/studies/SRO/research-policy"


async def test_a_study_has_a_policy_from_its_start_that_its_admins_change_on_record(office: Office) -> None:
    admin = office.as_("admin")
    assert (await admin.post("/api/studies", {"code": "SRO"})).status == 201
    read = await office.as_("read-only", study="SRO").get(PATH)
    policy = read.body
    assert (policy["participants"], policy["dates"], policy["shift_days"]) == ("pseudonym", "shifted", 180)
    assert read.headers["ETag"] == '"1"'
    assert "secret" not in policy
    ((secret,),) = office.rows("SELECT secret FROM research_policies")
    assert len(secret) == 32

    wanted = {"participants": "pseudonym", "dates": "shifted", "shift_days": 30, "new_pseudonyms": True}
    assert (await office.as_("coordinator", study="SRO").put(PATH, wanted, If_Match="*")).status == 403
    assert (await admin.put(PATH, wanted)).status == 428
    assert (await admin.put(PATH, wanted, If_Match='"2"')).status == 412
    changed = await admin.put(PATH, wanted, If_Match='"1"')
    assert (changed.status, changed.body["shift_days"], changed.body["row_version"]) == (200, 30, 2)
    assert [sentence.split(",")[0] for sentence in changed.body["consequences"]] == [
        "Dates are shifted by other numbers of days than in files made before: dates of both do not go"
        " together",
        "Every participant gets another pseudonym and another shift: by them",
    ]
    assert datetime.fromisoformat(changed.body["pseudonyms_since"]) > datetime.fromisoformat(
        policy["pseudonyms_since"]
    )
    assert office.rows("SELECT secret FROM research_policies") != [(secret,)]
    again = await admin.put(PATH, {**wanted, "new_pseudonyms": False}, If_Match="*")
    assert (again.body["row_version"], again.body["consequences"]) == (2, [])
    recorded = office.rows(
        "SELECT actor, study, before, after, octet_length(audit_log::text) FROM audit_log"
        " WHERE action = 'research_policy.change'"
    )
    before = {"participants": "pseudonym", "dates": "shifted", "shift_days": 180}
    assert [row[:4] for row in recorded] == [
        (admin.email, "SRO", before, {**before, "shift_days": 30, "new_pseudonyms": True})
    ]
    assert (await admin.put(PATH, {"participants": "name", "dates": "days"}, If_Match="*")).status == 422


async def test_the_command_shows_it_tells_what_a_change_means_and_asks(
    office: Office, database_url: str, tmp_path: object
) -> None:
    office.study("SRO", "lima")
    environment = {"DATABASE_URL": database_url, "REDIS_URL": "unix:///none", "DATA_DIR": str(tmp_path)}

    def policy(*options: str, answer: str | None = None, code: int = 0) -> str:
        arguments = ["researchers", "policy", "--study", *options]
        result = CliRunner().invoke(main, arguments, env=environment, input=answer)
        assert result.exit_code == code, result.output
        return result.output

    assert "There is no study nowhere" in policy("nowhere", code=1)
    assert "shown to nobody who is not identified" in policy("SRO"), "made by hand, it has none"
    made = msgspec.json.decode(policy("SRO", "--participants", "code", "--dates", "actual", "--json"))
    assert (made["participants"], made["dates"], made["shift_days"]) == ("code", "actual", 180)

    told = policy("SRO", "--participants", "pseudonym", answer="n\n", code=1)
    assert "hold participant codes" in told
    assert "participant codes\n" in policy("SRO"), "nothing was changed"
    told = policy("SRO", "--participants", "pseudonym", "--dates", "days", "--new-pseudonyms", "--yes")
    assert "another pseudonym" in told
    assert "only days since enrolment" in told
    acts = office.rows("SELECT after FROM audit_log WHERE action = 'research_policy.change' ORDER BY id")
    assert acts[-1][0]["new_pseudonyms"] is True


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        (None, Policy(), ()),
        (Policy(), Policy(dates="days"), ()),
        (Policy(dates="actual"), Policy(dates="days"), ("actual dates",)),
        (Policy(), Policy(participants="code", dates="actual"), ("codes behind", "each participant's shift")),
        (Policy(dates="days"), Policy(dates="days", shift_days=3), ()),
    ],
)
def test_a_change_says_what_it_means_for_files_made_before(
    before: Policy | None, after: Policy, told: tuple[str, ...]
) -> None:
    sentences = consequences(before, after, new_pseudonyms=False)
    assert len(sentences) == len(told)
    assert all(part in sentence for part, sentence in zip(told, sentences, strict=True))
