"""Consent forms: drafts, versions that never change, and who may."""

from typing import Any

import psycopg
import pytest

from tests.administration.office import Office

FORM = "/api/consent/forms/SRO/main"
DRAFT: dict[str, Any] = {"title": "Main study", "texts": {"en": "# I consent", "es-PE": "# Consiento"}}


async def test_a_draft_is_made_changed_and_published_as_versions_that_never_change(office: Office) -> None:
    office.study("SRO", "lima", "quito")
    team = office.as_("coordinator", study="SRO")
    made = await team.put(FORM, DRAFT)
    assert (made.status, made.body["row_version"], made.body["required"]) == (200, 1, True)
    assert (await team.put(FORM, DRAFT)).status == 428
    assert (await team.put(FORM, DRAFT, **{"If-None-Match": "*"})).status == 409
    assert (await team.put(FORM, DRAFT, If_Match='"9"')).status == 412
    changed = await team.put(FORM, {**DRAFT, "title": "Main"}, If_Match=made.headers["ETag"])
    assert (changed.status, changed.body["title"], changed.headers["ETag"]) == (200, "Main", '"2"')
    first = await team.post(f"{FORM}/publish", {"supersedes": False})
    assert (first.status, first.body["version"], first.body["published_by"]) == (201, 1, team.email)
    second = await team.post(f"{FORM}/publish", {"supersedes": True}, If_Match='"2"')
    assert (second.body["version"], second.body["supersedes"]) == (2, True)
    assert (await team.post(f"{FORM}/publish", {"supersedes": True}, If_Match='"1"')).status == 412
    asked = office.rows("SELECT key FROM outbox WHERE kind = 'publication' ORDER BY key")
    assert [key for (key,) in asked] == [
        f"{site}/consent_form:SRO/main@{version}" for site in ("lima", "quito") for version in (1, 2)
    ]
    reader = office.as_("read-only", study="SRO")
    versions = await reader.get(f"{FORM}/versions")
    assert [(row["version"], row["texts"]) for row in versions.body["data"]] == [
        (2, DRAFT["texts"]),
        (1, DRAFT["texts"]),
    ]
    assert (await reader.get(f"{FORM}/versions/1")).body["title"] == "Main"
    for missing in ("3", "x", "9" * 30):
        assert (await reader.get(f"{FORM}/versions/{missing}")).status == 404
    (listed,) = (await reader.get("/api/consent/forms", study="SRO")).body["data"]
    assert (listed["version"], sorted(listed["languages"])) == (2, ["en", "es-PE"])
    with pytest.raises(psycopg.errors.RaiseException, match="append-only"):
        office.rows("UPDATE consent_forms SET title = 'other'")
    actions = office.rows("SELECT action FROM audit_log WHERE entity = 'consent_form' ORDER BY id")
    assert [action for (action,) in actions] == [
        f"consent_form.{act}" for act in ("create", "change", "publish", "publish")
    ]


async def test_forms_of_other_studies_are_not_seen_and_drafts_are_checked(office: Office) -> None:
    office.study("SRO", "lima")
    office.study("ABC", "nairobi")
    team = office.as_("coordinator", study="SRO")
    stranger = office.as_("coordinator", study="ABC")
    await team.put(FORM, DRAFT)
    assert (await stranger.get("/api/consent/forms")).body["data"] == []
    for answer in (
        await stranger.get(FORM),
        await stranger.put(FORM, DRAFT, If_Match="*"),
        await stranger.post(f"{FORM}/publish", {"supersedes": True}),
        await stranger.get(f"{FORM}/versions"),
        await office.as_("admin").put("/api/consent/forms/NONE/main", DRAFT),
        await team.post("/api/consent/forms/SRO/other/publish", {"supersedes": True}),
    ):
        assert answer.error == (404, "not_found")
    assert (await office.as_("read-only", study="SRO").put(FORM, DRAFT)).status == 403
    assert (await office.as_("coordinator", study="SRO", site="lima").put(FORM, DRAFT)).status == 403
    for wrong in (
        {**DRAFT, "texts": {"klingonisch": "x"}},
        {**DRAFT, "texts": {"en": ""}},
        {**DRAFT, "texts": {"en": "x" * 200_001}},
        {**DRAFT, "title": " "},
        {**DRAFT, "more": 1},
    ):
        assert (await team.put(FORM, wrong, If_Match="*")).status == 422
    assert (await team.put("/api/consent/forms/SRO/a%20b", DRAFT)).status == 422
    assert (await team.put("/api/consent/forms/SRO/other", DRAFT, If_Match="*")).status == 404
    assert (await team.put(FORM, {**DRAFT, "texts": {}}, If_Match="*")).status == 200
    refused = await team.post(f"{FORM}/publish", {"supersedes": False})
    assert refused.error == (409, "not_possible")
