"""Templates: what they bring, and studies made from them."""

import asyncio

import pytest

from reporting.instruments.battery_definitions import complete, named_tasks
from reporting.instruments.built_in_modules import BUILT_IN
from reporting.instruments.modules import Module
from reporting.studies.templates import ENROLMENT, TEMPLATES, Template
from tests.administration.office import Office

MODULES = {each.id: Module(each.parameters, each.defaults) for each in BUILT_IN.values()}


@pytest.mark.parametrize("template", TEMPLATES.values(), ids=lambda template: template.id)
def test_a_template_is_whole(template: Template) -> None:
    batteries = {battery.id for battery in template.batteries}
    for battery in template.batteries:
        complete(battery.definition, MODULES, set())
        assert named_tasks(battery.definition) <= set(template.modules) <= BUILT_IN.keys()
    anchors = {ENROLMENT}
    for visit in template.visits:
        assert visit.anchor in anchors, "what a visit counts from comes before it"
        assert visit.battery in batteries
        anchors.add(visit.code)
    assert set(template.consent_form.texts) == {"en", "fr"}


async def test_a_study_made_from_a_template_has_all_of_it_and_the_next_one_reuses_the_batteries(
    office: Office,
) -> None:
    admin = office.as_("admin")
    listed = (await admin.get("/api/templates")).body["data"]
    assert [row["id"] for row in listed] == ["cognitive-screening", "deep-phenotyping"]
    whole = (await admin.get("/api/templates/deep-phenotyping")).body
    assert [visit["code"] for visit in whole["visits"]] == listed[1]["visits"]
    assert (await admin.get("/api/templates/none")).error == (404, "not_found")

    bodies = [{"code": code, "template": "deep-phenotyping"} for code in ("A", "B")]
    made = await asyncio.gather(*(admin.post("/api/studies", body) for body in bodies))
    batteries = ["phenotyping-control@1", "phenotyping-memory@1"]
    assert [(answer.status, answer.body["batteries"]) for answer in made] == [(201, batteries)] * 2
    assert office.rows("SELECT id, version, tasks FROM batteries ORDER BY id") == [
        (
            "phenotyping-control",
            1,
            ["simple_reaction_time", "choice_reaction_time", "attention_network_task", "stroop", "simon"],
        ),
        ("phenotyping-memory", 1, ["digit_span", "adaptive_n_back"]),
    ]
    visits = office.rows(
        "SELECT code, anchor, offset_days, battery_id, battery_version FROM visit_definitions"
        " WHERE study = 'A' ORDER BY position LIMIT 2"
    )
    assert visits == [
        ("control", "enrolment", 0, "phenotyping-control", 1),
        ("memory", "control", 7, "phenotyping-memory", 1),
    ]
    forms = office.rows("SELECT id, texts ? 'en' AND texts ? 'fr' FROM consent_form_drafts WHERE study = 'B'")
    assert forms == [("main", True)]
    published = office.rows("SELECT entity_id FROM audit_log WHERE action = 'battery.publish' ORDER BY 1")
    assert published == [(name,) for name in batteries]
    assert (await admin.post("/api/studies", bodies[0])).error == (409, "taken")

    # Somebody's own version in between: the template's is found again, and the draft stays theirs.
    mine = {"title": "Mine", "definition": {"tasks": [{"task": "stroop"}]}}
    await admin.put("/api/batteries/phenotyping-memory/draft", mine, If_Match="*")
    await admin.post("/api/batteries/phenotyping-memory/publish", If_Match="*")
    third = await admin.post("/api/studies", {"code": "C", "template": "deep-phenotyping"})
    assert third.body["batteries"] == batteries
    assert (await admin.get("/api/batteries/phenotyping-memory/draft")).body["title"] == "Mine"
