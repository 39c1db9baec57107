"""Who consents: from the tablet's document to the state, the signature, and the withdrawal."""

import base64
from typing import Any

import pytest

from sync_server.api import signatures
from tests.administration.office import Office
from tests.documents.examples import a_consent

PNG = b"\x89PNG\r\n\x1a\n" + b"ink" * 10
DRAFT: dict[str, Any] = {"title": "Main", "texts": {"en": "# I consent"}}
SEEN = "/api/consent/SRO/s012"


def signed(name: str, *, version: int = 1, data: bytes = PNG, **members: Any) -> dict[str, Any]:
    image = {"content_type": "image/png", "data": base64.b64encode(data).decode()}
    return a_consent(
        name,
        **{
            "_rev": "1-aa",
            "study": "SRO",
            "form": {"id": "main", "version": version},
            "_attachments": {"signature.png": image},
            **members,
        },
    )


async def studied(office: Office) -> str:
    """A study with a participant, a form in version 1, and a tablet; the tablet's token."""
    office.study("SRO", "lima", "quito")
    office.study("ABC", "lima")
    office.rows("INSERT INTO participants (study, code, site) VALUES ('SRO', 's012', 'lima')")
    await office.gateway.open_site("lima")
    team = office.as_("coordinator", study="SRO")
    await team.put("/api/consent/forms/SRO/main", DRAFT)
    await team.post("/api/consent/forms/SRO/main/publish", {"supersedes": True})
    return await office.gateway.enrol("lima", "tab-1")


async def test_state_follows_signature_newer_version_and_withdrawal(office: Office) -> None:
    token = await studied(office)
    team = office.as_("coordinator", study="SRO")
    assert (await team.get(SEEN)).body["state"] == "none"
    assert await office.gateway.push("site-lima", signed("c1"), token=token) == []
    await office.project()
    history = (await team.get(SEEN)).body
    assert (history["state"], history["forms"]) == ("valid", [{"form": "main", "state": "valid"}])
    (consent,) = history["consents"]
    assert (consent["site"], consent["id"], consent["has_signature"], consent["flags"]) == (
        "lima",
        "c1",
        True,
        [],
    )
    await team.post("/api/consent/forms/SRO/main/publish", {"supersedes": False})
    assert (await team.get(SEEN)).body["state"] == "valid"
    await team.post("/api/consent/forms/SRO/main/publish", {"supersedes": True})
    assert (await team.get(SEEN)).body["state"] == "outdated"
    await office.gateway.push("site-lima", signed("c2", version=3), token=token)
    await office.project()
    listed = await team.get("/api/consent/participants", study="SRO", state="valid", sort="last_signed_at")
    assert [row["participant"] for row in listed.body["data"]] == ["s012"]
    office.rows("DELETE FROM outbox")
    withdrawn = await team.post(f"{SEEN}/withdraw", {"reason": "asked by phone", "form": "main"})
    assert (withdrawn.status, withdrawn.body["state"]) == (201, "withdrawn")
    assert withdrawn.body["withdrawals"][0]["reason"] == "asked by phone"
    assert (await team.get("/api/consent/participants", state="valid")).body["data"] == []
    assert office.rows("SELECT kind, site FROM outbox ORDER BY kind") == [
        ("event", "lima"),
        ("publication", "lima"),
    ]
    assert office.rows(
        "SELECT actor, reason, study, site FROM audit_log WHERE action = 'consent.withdraw'"
    ) == [(team.email, "asked by phone", "SRO", "lima")]


async def test_withdrawals_and_consents_are_within_study_and_site(office: Office) -> None:
    await studied(office)
    body = {"reason": "asked"}
    for stranger in (
        office.as_("coordinator", study="ABC"),
        office.as_("coordinator", study="SRO", site="quito"),
    ):
        assert (await stranger.get(SEEN)).status == 404
        assert (await stranger.post(f"{SEEN}/withdraw", body)).status == 404
        assert (await stranger.get("/api/consent/participants")).body["data"] == []
    reader = office.as_("researcher", study="SRO")
    assert (await reader.get(SEEN)).status == 200
    assert (await reader.post(f"{SEEN}/withdraw", body)).status == 403
    team = office.as_("coordinator", study="SRO", site="lima")
    assert (await team.get("/api/consent/SRO/nobody")).status == 404
    for wrong in (
        {},
        {"reason": " "},
        {"reason": "x", "form": "unknown"},
        {"reason": "x", "withdrawn_at": "2999-01-01T00:00:00Z"},
        {"reason": "x", "withdrawn_at": "0001-01-01T00:00:00Z"},
        {"reason": "x", "withdrawn_at": "2026-01-01T00:00:00"},
    ):
        assert (await team.post(f"{SEEN}/withdraw", wrong)).status == 422
    # A consent that is still on a tablet may be withdrawn already.
    answer = await team.post(f"{SEEN}/withdraw", {"reason": "x", "withdrawn_at": "2020-01-01T00:00:00Z"})
    assert (answer.status, answer.body["state"]) == (201, "none")


async def test_a_signature_is_shown_to_who_may_see_it_as_a_file_and_on_record(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = await studied(office)
    html = b"<script>alert(1)</script>"
    monkeypatch.setattr(signatures, "MOST_BYTES", 1_000)
    huge = PNG + b"\0" * 1_000
    pushed = [
        signed("c1"),
        signed("html", data=html),
        signed("huge", data=huge),
        signed("none", _attachments={}),
    ]
    assert await office.gateway.push("site-lima", *pushed, token=token) == []
    await office.project()
    team = office.as_("coordinator", study="SRO", site="lima")
    path = "/api/consent/signature/lima/c1"
    async with team.api.client.get(path, headers=team.api.headers) as shown:
        assert (shown.status, await shown.read(), shown.content_type) == (200, PNG, "image/png")
        assert shown.headers["Content-Disposition"].startswith("attachment")
        assert shown.headers["X-Content-Type-Options"] == "nosniff"
    assert office.rows("SELECT actor, entity_id FROM audit_log WHERE action = 'consent.read_signature'") == [
        (team.email, "lima/c1")
    ]
    for name in ("html", "huge", "none", "absent", "%00"):
        assert (await team.get(f"/api/consent/signature/lima/{name}")).status == 404
    for stranger in (
        office.as_("coordinator", study="ABC"),
        office.as_("coordinator", study="SRO", site="quito"),
    ):
        assert (await stranger.get("/api/consent/signature/lima/c1")).status == 404


async def test_roster_tells_and_filters_by_the_state_of_consent(office: Office) -> None:
    token = await studied(office)
    office.rows("INSERT INTO participants (study, code, site) VALUES ('SRO', 's013', 'lima')")
    await office.gateway.push("site-lima", signed("c1"), token=token)
    await office.project()
    team = office.as_("coordinator", study="SRO")
    listed = await team.get("/api/participants", sort="code")
    assert [(row["code"], row["consent"]) for row in listed.body["data"]] == [
        ("s012", "valid"),
        ("s013", "none"),
    ]
    for state, codes in (("valid", ["s012"]), ("none", ["s013"]), ("withdrawn", [])):
        listed = await team.get("/api/participants", consent=state)
        assert [row["code"] for row in listed.body["data"]] == codes
        assert listed.body["pagination"]["total"] == len(codes)
    assert (await team.get("/api/participants/SRO/s012")).body["consent"] == "valid"
    changed = await team.patch("/api/participants/SRO/s012", {"language": "es"}, If_Match="*")
    assert (changed.status, changed.body["consent"]) == (200, "valid")
