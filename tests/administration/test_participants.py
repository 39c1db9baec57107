"""The roster: who takes part, what they may become, and contacts that nobody finds in the database."""

import pytest

from reporting.participants.rules import State, problem_of
from tests.administration.office import Office

CONTACT = {"name": "Rosalind Planted", "email": "planted@example.org", "timezone": "America/Lima"}
PLANTED = ("Rosalind Planted", "planted@example.org")


@pytest.fixture
def team(office: Office) -> Office:
    """SRO at lima (in Kiritimati, where it is tomorrow already) and quito, ABC at lima."""
    office.study("SRO", "lima", "quito")
    office.study("ABC", "lima")
    office.rows("UPDATE sites SET timezone = 'Pacific/Kiritimati' WHERE code = 'lima'")
    return office


async def test_participant_is_screened_enrolled_withdrawn_and_all_of_it_is_on_record(team: Office) -> None:
    coordinator = team.as_("coordinator", study="SRO")
    made = await coordinator.post(
        "/api/participants", {"study": "SRO", "code": "s1", "site": "lima", "contact": CONTACT}
    )
    assert (made.status, made.body["status"], made.headers["ETag"]) == (201, "screened", '"1"')
    assert (made.body["enrolled_on"], made.body["has_contact"], made.body["contact"]) == (None, True, None)
    path = "/api/participants/SRO/s1"
    twice = await coordinator.post("/api/participants", {"study": "SRO", "code": "s1"})
    assert twice.error == (409, "taken")
    enrolled = await coordinator.patch(path, {"status": "enrolled"}, If_Match='"1"')
    today = team.rows("SELECT (now() AT TIME ZONE 'Pacific/Kiritimati')::date")[0][0]
    assert (enrolled.status, enrolled.body["enrolled_on"]) == (200, today.isoformat())
    assert enrolled.headers["ETag"] == '"2"'
    assert (await coordinator.patch(path, {"status": "withdrawn"})).error == (428, "precondition_required")
    lost = await coordinator.patch(path, {"status": "completed"}, If_Match='"1"')
    assert lost.error == (412, "precondition_failed")
    silent = await coordinator.patch(path, {"status": "withdrawn"}, If_Match='"2"')
    assert (silent.error, silent.details) == ((422, "invalid_request"), {"member": "reason"})
    backwards = await coordinator.patch(path, {"status": "screened"}, If_Match='"2"')
    assert backwards.error == (409, "not_possible")
    gone = await coordinator.patch(path, {"status": "withdrawn", "reason": "moved away"}, If_Match='"2"')
    assert (gone.status, gone.body["status"]) == (200, "withdrawn")
    same = await coordinator.patch(path, {"status": "withdrawn"}, If_Match='"3"')
    assert (same.status, same.headers["ETag"]) == (200, '"3"')
    acts = team.rows("SELECT action, entity_id, site, reason, after->>'status' FROM audit_log ORDER BY id")
    assert acts == [
        ("participant.create", "SRO/s1", "lima", None, "screened"),
        ("participant.update", "SRO/s1", "lima", None, "enrolled"),
        ("participant.update", "SRO/s1", "lima", "moved away", "withdrawn"),
    ]
    assert team.rows("SELECT after->'contact_changed' FROM audit_log ORDER BY id LIMIT 1") == [
        (["name", "email", "timezone"],)
    ]
    entries = team.rows("SELECT kind, key, ticket FROM outbox ORDER BY kind, key")
    assert entries == [
        ("event", "participant.enrolled:SRO/s1/2", 1),
        ("event", "participant.withdrawn:SRO/s1/3", 1),
        ("publication", "lima/participant:SRO/s1", 3),
    ]


async def test_contact_is_read_only_when_asked_by_who_may_and_that_is_on_record(team: Office) -> None:
    coordinator = team.as_("coordinator", study="SRO")
    body = {"study": "SRO", "code": "s1", "site": "lima", "status": "enrolled", "contact": CONTACT}
    await coordinator.post("/api/participants", body)
    path = "/api/participants/SRO/s1"
    assert (await coordinator.get(path)).body["contact"] is None
    before = team.rows("SELECT count(*) FROM audit_log")
    refused = await team.as_("researcher", study="SRO").get(path, contact="true")
    assert refused.error == (403, "not_allowed")
    assert team.rows("SELECT count(*) FROM audit_log") == before
    assert (await coordinator.get(path, contact="true")).body["contact"] == CONTACT
    read = team.rows("SELECT actor, entity_id FROM audit_log WHERE action = 'participant.read_contact'")
    assert read == [(coordinator.email, "SRO/s1")]
    patched = await coordinator.patch(
        path, {"contact": {"phone": "+1 555", "email": None}, "language": "es"}, If_Match="*"
    )
    assert patched.status == 200
    left = (await coordinator.get(path, contact="true")).body["contact"]
    assert left == {"name": CONTACT["name"], "phone": "+1 555", "timezone": CONTACT["timezone"]}
    await coordinator.patch(path, {"contact": None}, If_Match="*")
    assert (await coordinator.get(path)).body["has_contact"] is False
    await coordinator.patch(path, {"contact": CONTACT}, If_Match="*")
    dump = ""
    for (table,) in team.rows("SELECT tablename FROM pg_tables WHERE schemaname = 'public'"):
        dump += str(team.rows(f'SELECT t::text FROM "{table}" AS t'))  # noqa: S608
    assert "SRO/s1" in dump
    assert [each for each in PLANTED if each in dump or each.encode().hex() in dump] == []


async def test_others_see_and_change_only_what_is_theirs(team: Office) -> None:
    admin = team.as_("admin")
    for code, site in (("s1", "lima"), ("s2", "quito"), ("s3", None)):
        await admin.post("/api/participants", {"study": "SRO", "code": code, "site": site})
    await admin.post("/api/participants", {"study": "ABC", "code": "a1", "site": "lima"})
    at_lima, abc = team.as_("coordinator", study="SRO", site="lima"), team.as_("coordinator", study="ABC")

    async def codes(member: object, **query: str) -> list[str]:
        answer = await member.get("/api/participants", **query)  # type: ignore[attr-defined]
        return [row["code"] for row in answer.body["data"]]

    assert await codes(admin, sort="code", order="desc") == ["s3", "s2", "s1", "a1"]
    assert await codes(admin, study="SRO", q="s", site="quito") == ["s2"]
    assert await codes(admin, status="enrolled") == []
    assert await codes(at_lima) == ["s1"]
    assert await codes(abc) == ["a1"]
    for member, status in ((at_lima, 404), (abc, 404)):
        assert (await member.get("/api/participants/SRO/s2")).status == status
        assert (await member.patch("/api/participants/SRO/s2", {}, If_Match="*")).status == status
    new = {"study": "SRO", "code": "s9", "site": "quito"}
    assert (await at_lima.post("/api/participants", new)).error == (403, "not_allowed")
    assert (await abc.post("/api/participants", new)).error == (404, "not_found")
    reader = team.as_("researcher", study="SRO")
    assert (await reader.post("/api/participants", new)).error == (403, "not_allowed")
    move = await at_lima.patch("/api/participants/SRO/s1", {"site": "quito"}, If_Match="*")
    assert move.error == (403, "not_allowed")
    unknown = await admin.post("/api/participants", {"study": "no", "code": "s1"})
    assert unknown.error == (404, "not_found")


async def test_who_moves_is_published_at_both_sites_with_visits(team: Office) -> None:
    admin = team.as_("admin")
    await admin.post("/api/participants", {"study": "SRO", "code": "s1", "site": "lima"})
    team.rows("INSERT INTO visits (study, participant, code, site) VALUES ('SRO', 's1', 'baseline', 'lima')")
    team.rows("DELETE FROM outbox")
    elsewhere = await admin.patch("/api/participants/SRO/s1", {"site": "cusco"}, If_Match="*")
    assert (elsewhere.error, elsewhere.details) == ((422, "invalid_request"), {"member": "site"})
    team.rows("UPDATE sites SET status = 'archived' WHERE code = 'quito'")
    closed = await admin.patch("/api/participants/SRO/s1", {"site": "quito"}, If_Match="*")
    assert closed.error == (409, "not_possible")
    team.rows("UPDATE sites SET status = 'open'")
    assert team.rows("SELECT * FROM outbox") == []
    assert (await admin.patch("/api/participants/SRO/s1", {"site": "quito"}, If_Match="*")).status == 200
    documents = ["participant:SRO/s1", "visit:SRO/s1/baseline"]
    assert [key for (key,) in team.rows("SELECT key FROM outbox ORDER BY key")] == [
        f"{site}/{document}" for site in ("lima", "quito") for document in documents
    ]


async def test_participant_known_by_code_only_is_completed_by_a_change(team: Office) -> None:
    team.rows("INSERT INTO participants (study, code) VALUES ('SRO', 'old')")
    admin = team.as_("admin")
    path = "/api/participants/SRO/old"
    assert (await admin.patch(path, {"language": "es"}, If_Match="*")).status == 200
    placed = await admin.patch(path, {"site": "lima", "enrolled_on": "2026-01-02"}, If_Match="*")
    assert (placed.body["site"], placed.body["enrolled_on"]) == ("lima", "2026-01-02")


@pytest.mark.parametrize(
    "body",
    [
        {"study": "SRO", "code": "-s1"},
        {"study": "SRO", "code": "s 1"},
        {"study": "SRO", "code": "s" * 65},
        {"study": "SRO", "code": "s1\n"},
        {"study": "SRO", "code": "s1", "language": "español"},
        {"study": "SRO", "code": "s1", "status": "lost"},
        {"study": "SRO", "code": "s1", "enrolled_on": "2026-02-30", "status": "enrolled", "site": "lima"},
        {"study": "SRO", "code": "s1", "enrolled_on": "2026-02-03"},
        {"study": "SRO", "code": "s1", "status": "enrolled"},
        {"study": "SRO", "code": "s1", "status": "withdrawn"},
        {"study": "SRO", "code": "s1", "contact": {"shoe": "44"}},
        {"study": "SRO", "code": "s1", "kontakt": {}},
    ],
)
async def test_what_cannot_be_is_refused(team: Office, body: dict[str, object]) -> None:
    answer = await team.as_("admin").post("/api/participants", body)
    assert answer.error == (422, "invalid_request")
    assert team.rows("SELECT * FROM participants") == []


@pytest.mark.parametrize(
    ("before", "after", "reason", "member"),
    [
        ("screened", "enrolled", None, None),
        ("screened", "completed", "x", "status"),
        ("screened", "withdrawn", "x", None),
        ("enrolled", "completed", None, None),
        ("enrolled", "screened", "x", "status"),
        ("withdrawn", "enrolled", None, "reason"),
        ("withdrawn", "enrolled", "a mistake", None),
        ("withdrawn", "completed", "x", "status"),
        ("completed", "enrolled", None, "reason"),
        ("completed", "withdrawn", None, "reason"),
        ("completed", "withdrawn", "x", None),
    ],
)
def test_status_follows_status_as_the_table_says(
    before: str, after: str, reason: str | None, member: str | None
) -> None:
    was, state = State("lima", before), State("lima", after)  # type: ignore[arg-type]
    problem = problem_of(was, state, reason=reason)
    assert (problem and problem.member) == member


async def test_record_in_redcap_is_one_participants_only_however_it_is_given(team: Office) -> None:
    admin = team.as_("admin")
    one = {"study": "SRO", "code": "s1", "site": "lima", "redcap_id": "15-3"}
    made = await admin.post("/api/participants", one)
    assert (made.status, made.body["redcap_id"]) == (201, "15-3")
    assert (await admin.get("/api/participants", redcap_id="15-3")).body["data"][0]["code"] == "s1"
    second = await admin.post("/api/participants", {**one, "code": "s2"})
    assert (second.error, second.details) == ((409, "taken"), {"member": "redcap_id"})
    assert (await admin.post("/api/participants", {**one, "study": "ABC"})).status == 201
    for wrong in ("", " 15", "a\tb", "x" * 101):
        refused = await admin.patch("/api/participants/SRO/s1", {"redcap_id": wrong}, If_Match="*")
        assert refused.error == (422, "invalid_request"), wrong
    file = b"code,redcap_id\ns2,15-3\ns3,16\ns4,16\ns1,17\n"
    sender = admin.api.sending(**admin.api.headers, **{"Content-Type": "text/csv"})
    told = await sender.call("POST", "/api/participants/import?study=SRO&on_error=skip", data=file)
    assert [(row["code"], row["outcome"], row["column"]) for row in told.body["rows"]] == [
        ("s2", "refused", "redcap_id"),
        ("s3", "created", None),
        ("s4", "refused", "redcap_id"),
        ("s1", "updated", None),
    ]
    assert [
        line.split(",")[5] for line in (await admin.get("/api/participants/export", study="SRO")).body.split()
    ] == [
        "redcap_id",
        "17",
        "16",
    ]
    left = await admin.patch("/api/participants/SRO/s1", {"redcap_id": None}, If_Match="*")
    assert (left.status, left.body["redcap_id"]) == (200, None)
    assert team.rows("SELECT after->'redcap_id' FROM audit_log WHERE action = 'participant.update'") == [
        ("17",),
        (None,),
    ]
