"""What people see of the outbox, and do about it, within their studies and sites."""

from typing import Any

from reporting.compiled import execute_in
from reporting.outbox.entry import Entry, enter_once
from reporting.publication.requests import publish_documents, publish_sites
from tests.administration.office import Office


def fill(office: Office) -> dict[str, int]:
    """Dead entries: of SRO at lima, of lima, of OTHER, of nobody; by key."""
    office.study("SRO", "lima", "quito")
    office.study("OTHER")
    for entry in (
        Entry(kind="webhook", key="sro", study="SRO", site="lima", payload={"event": "x"}),
        Entry(kind="publication", key="lima", site="lima"),
        Entry(kind="webhook", key="other", study="OTHER"),
        Entry(kind="mail", key="nobody"),
    ):
        execute_in(office.connection, enter_once([entry]))
    office.rows("UPDATE outbox SET state = 'dead', error = 'no answer', attempts = 9")
    found: list[Any] = office.rows("SELECT key, id FROM outbox")
    return dict(found)


async def test_jobs_are_listed_by_who_may_see_what_they_are_about(office: Office) -> None:
    fill(office)
    seen = {
        office.as_("admin"): ["nobody", "other", "lima", "sro"],
        office.as_("coordinator", study="SRO"): ["lima", "sro"],
        office.as_("coordinator", study="SRO", site="lima"): ["lima", "sro"],
        office.as_("coordinator", study="SRO", site="quito"): [],
        office.as_("coordinator", study="OTHER"): ["other"],
    }
    for member, keys in seen.items():
        answer = await member.get("/api/jobs")
        assert [row["key"] for row in answer.body["data"]] == keys
    admin = office.as_("admin")
    answer = await admin.get("/api/jobs", state="dead", kind="webhook", study="SRO")
    [row] = answer.body["data"]
    assert (row["key"], row["payload"], row["error"], row["attempts"]) == (
        "sro",
        {"event": "x"},
        "no answer",
        9,
    )
    assert (await admin.get("/api/jobs", state="lost")).error[0] == 422
    assert (await office.as_("read-only").get("/api/jobs")).error[0] == 403


async def test_an_entry_is_retried_or_given_up_for_good_and_that_is_on_record(office: Office) -> None:
    numbers = fill(office)
    admin = office.as_("admin")
    own = office.as_("admin", study="SRO")
    assert (await own.get(f"/api/jobs/{numbers['other']}")).error == (404, "not_found")
    assert (await own.post(f"/api/jobs/{numbers['nobody']}/retry")).error == (404, "not_found")
    coordinator = office.as_("coordinator", study="SRO")
    assert (await coordinator.post(f"/api/jobs/{numbers['sro']}/retry")).error == (403, "not_allowed")
    for name in ("x", "0", "99999999999999999999999"):
        assert (await admin.get(f"/api/jobs/{name}")).error == (404, "not_found")
    path = f"/api/jobs/{numbers['sro']}"
    answer = await own.post(f"{path}/retry")
    assert (answer.status, answer.body["state"], answer.body["attempts"]) == (200, "pending", 0)
    office.rows("UPDATE outbox SET state = 'leased' WHERE key = 'sro'")
    for answer in (await own.post(f"{path}/retry"), await own.post(f"{path}/discard", {"reason": "x"})):
        assert answer.error == (409, "not_possible")
    office.rows("UPDATE outbox SET state = 'dead' WHERE key = 'sro'")
    assert (await own.post(f"{path}/discard", {})).error[0] == 422
    answer = await own.post(f"{path}/discard", {"reason": "The receiver is gone."})
    assert (answer.body["state"], answer.body["history"][0]["error"]) == (
        "discarded",
        "The receiver is gone.",
    )
    assert [each["outcome"] for each in answer.body["history"]] == ["discarded", "retried"]
    assert (await own.post(f"{path}/discard", {"reason": "x"})).error == (409, "not_possible")
    assert (await own.post(f"{path}/retry")).status == 200
    acts = office.rows("SELECT action, entity_id, study, site, reason FROM audit_log ORDER BY id")
    about = (str(numbers["sro"]), "SRO", "lima")
    assert acts == [
        ("job.retry", *about, None),
        ("job.discard", *about, "The receiver is gone."),
        ("job.retry", *about, None),
    ]


async def test_health_tells_what_waits_and_what_was_given_up(office: Office) -> None:
    fill(office)
    office.rows(
        "UPDATE outbox SET state = 'pending', next_attempt_at = now() - interval '90 s' WHERE key = 'lima'"
    )
    answer = await office.as_("admin").get("/api/health/detailed")
    told = {each["kind"]: each for each in answer.body["outbox"]}
    assert (told["webhook"]["dead"], told["publication"]["pending"]) == (2, 1)
    assert 90 <= told["publication"]["oldest_s"] < 120
    metrics = (await office.as_("admin").get("/api/metrics")).body
    assert 'metricis_outbox_dead{kind="webhook"} 2.0' in metrics


async def test_publications_of_another_study_at_the_same_site_are_not_listed(office: Office) -> None:
    office.study("SRO", "lima")
    office.study("OTHER", "lima")
    shared = ["battery:b@1", "item_bank:words@1"]
    of_other = [
        "consent_form:OTHER/main@1",
        "participant:OTHER/s1",
        "study:OTHER",
        "visit:OTHER/s1/baseline",
    ]
    execute_in(office.connection, publish_documents(("lima", doc_id) for doc_id in [*shared, *of_other]))
    execute_in(office.connection, publish_sites(["lima"]))

    async def seen(**membership: str) -> list[str]:
        answer = await office.as_("coordinator", **membership).get("/api/jobs", kind="publication")
        return sorted(row["key"].partition("/")[2] for row in answer.body["data"])

    assert await seen(study="SRO") == sorted(["*", *shared])
    assert await seen(study="OTHER", site="lima") == sorted(["*", *shared, *of_other])
