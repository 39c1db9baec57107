"""Webhooks: signed deliveries, to a receiver that is not always well."""

from typing import Any

from reporting.compiled import execute_in
from reporting.webhooks.events import Event, announce
from tests.administration.desk import Desk, at_desk
from tests.administration.office import Office
from tests.administration.receiver import Receiver, receiving

DATA = {"participant": "s1"}


def enrolled(study: str | None = "SRO", occurrence: str = "SRO/s1") -> Event:
    return Event(name="participant.enrolled", occurrence=occurrence, study=study, site="lima", data=DATA)


async def hook(office: Office, receiver: Receiver, **members: Any) -> dict[str, Any]:
    body = {"url": receiver.url, "events": ["participant.enrolled"], **members}
    answer = await office.as_("admin").post("/api/webhooks", body)
    assert answer.status == 201, answer.body
    made: dict[str, Any] = answer.body
    return made


async def due_again(desk: Desk) -> None:
    desk.office.rows("UPDATE outbox SET next_attempt_at = now() WHERE state = 'pending'")
    await desk.drain()


async def test_an_event_is_told_once_signed_to_who_asked_for_it(office: Office) -> None:
    office.study("SRO", "lima")
    office.study("OTHER")
    async with receiving() as receiver, at_desk(office) as desk:
        everything = await hook(office, receiver)
        other = await hook(office, receiver, study="OTHER")
        await hook(office, receiver, events=["visit.missed"])
        for _ in range(2):
            execute_in(office.connection, announce(enrolled()))
            await desk.drain()
        [received] = receiver.received
        assert received.is_signed_with(everything["secret"])
        assert not received.is_signed_with(other["secret"])
        told = received.json
        assert (told["type"], told["data"]) == ("participant.enrolled", DATA)
        assert set(told) == {"type", "timestamp", "data"}
        # An event of no study is for who hears of all of them.
        execute_in(office.connection, announce(enrolled(None, "x")))
        await desk.drain()
        assert len(receiver.received) == 2
        # The secret lies sealed.
        [(sealed,)] = office.rows("SELECT secret FROM webhooks ORDER BY id LIMIT 1")
        assert everything["secret"].encode() not in bytes(sealed)


async def test_a_receiver_that_fails_gets_it_again_and_then_no_more(office: Office) -> None:
    office.study("SRO", "lima")
    async with receiving() as receiver, at_desk(office) as desk:
        made = await hook(office, receiver)
        admin = office.as_("admin")
        receiver.status, receiver.headers = 500, {"Retry-After": "7200"}
        execute_in(office.connection, announce(enrolled()))
        await desk.drain()
        [(state, wait)] = office.rows(
            "SELECT state, next_attempt_at > now() + interval '1 hour' FROM outbox WHERE kind = 'webhook'"
        )
        assert (state, wait) == ("pending", True)
        receiver.status, receiver.headers = 307, {"Location": receiver.url + "/elsewhere"}
        for _ in range(20):
            await due_again(desk)
        assert desk.states()["webhook"] == ["dead"]
        assert len({received.headers["webhook-id"] for received in receiver.received}) == 1
        tries = len(receiver.received)
        assert tries == 9, "no redirect is followed, and after the last delay it is given up"
        listed = await admin.get(f"/api/webhooks/{made['id']}/deliveries", state="dead")
        [delivery] = listed.body["data"]
        assert "307" in delivery["error"]
        # A person has it sent once more.
        receiver.status = 204
        answer = await admin.post(f"/api/jobs/{delivery['id']}/retry")
        assert (answer.status, answer.body["state"]) == (200, "pending")
        await desk.drain()
        answer = await admin.get(f"/api/jobs/{delivery['id']}")
        assert answer.body["state"] == "done"
        outcomes = [each["outcome"] for each in answer.body["history"]]
        assert outcomes == ["done", "retried", "given_up", *["failed"] * 8]
        again = await admin.post(f"/api/jobs/{delivery['id']}/retry")
        assert again.error == (409, "not_possible")


async def test_gone_pauses_a_webhook_and_a_deleted_one_gets_nothing(office: Office) -> None:
    office.study("SRO", "lima")
    async with receiving() as receiver, at_desk(office) as desk:
        made = await hook(office, receiver)
        admin = office.as_("admin")
        receiver.status = 410
        execute_in(office.connection, announce(enrolled()))
        await desk.drain()
        answer = await admin.get(f"/api/webhooks/{made['id']}")
        assert answer.body["paused_at"] is not None
        assert "410" in answer.body["paused_reason"]
        assert desk.states()["webhook"] == ["dead"]
        receiver.status = 200
        execute_in(office.connection, announce(enrolled(occurrence="SRO/s2")))
        await desk.drain()
        assert len(receiver.received) == 1, "nothing is told to a webhook that is paused"
        await admin.patch(f"/api/webhooks/{made['id']}", {"paused": False}, If_Match="*")
        execute_in(office.connection, announce(enrolled(occurrence="SRO/s3")))
        desk.relay.turn()
        await desk.work()
        await admin.delete(f"/api/webhooks/{made['id']}", If_Match="*")
        await desk.drain()
        assert desk.states()["webhook"] == ["dead", "discarded"]
        assert len(receiver.received) == 1


async def test_who_does_not_answer_or_is_not_there_is_tried_again(office: Office) -> None:
    office.study("SRO", "lima")
    async with receiving() as receiver, at_desk(office) as desk:
        await hook(office, receiver)
        url = receiver.url
        office.rows("UPDATE webhooks SET url = 'http://127.0.0.1:9/nobody'")
        execute_in(office.connection, announce(enrolled()))
        await desk.drain()
        [(state, error)] = office.rows("SELECT state, error FROM outbox WHERE kind = 'webhook'")
        assert (state, "not reached" in error) == ("pending", True)
        office.rows("UPDATE webhooks SET url = %s", url)
        # In production the same address is refused when it is sent to, whatever was stored.
    async with at_desk(office, environment="production", jwt_secret_key="x" * 64) as strict:
        office.rows("UPDATE webhooks SET url = 'https://localhost:1/hook'")
        await due_again(strict)
        [(state, error)] = office.rows("SELECT state, error FROM outbox WHERE kind = 'webhook'")
        assert (state, "no public address" in error) == ("dead", True)


async def test_webhooks_are_managed_within_ones_studies(office: Office) -> None:
    office.study("SRO", "lima")
    office.study("OTHER")
    async with receiving() as receiver, at_desk(office) as desk:
        made = await hook(office, receiver, study="SRO")
        everywhere = await hook(office, receiver)
        path = f"/api/webhooks/{made['id']}"
        assert (await office.as_("coordinator", study="SRO").get("/api/webhooks")).error[0] == 403
        other = office.as_("admin", study="OTHER")
        for answer in (await other.get(path), await other.post(f"{path}/test"), await other.delete(path)):
            assert answer.error == (404, "not_found")
        assert (await other.get("/api/webhooks")).body["data"] == []
        body = {"url": receiver.url, "events": ["visit.missed"]}
        assert (await other.post("/api/webhooks", body)).error == (403, "not_allowed")
        assert (await other.post("/api/webhooks", {**body, "study": "SRO"})).error == (404, "not_found")
        own = office.as_("admin", study="SRO")
        assert [row["id"] for row in (await own.get("/api/webhooks")).body["data"]] == [made["id"]]
        assert (await own.get(f"/api/webhooks/{everywhere['id']}")).error[0] == 404
        assert (await own.patch(path, {"description": "x"})).error[0] == 428
        changed = await own.patch(path, {"description": "x"}, If_Match='"1"')
        assert (changed.status, changed.body["row_version"]) == (200, 2)
        assert "secret" not in changed.body
        assert (await own.patch(path, {"description": "y"}, If_Match='"1"')).error[0] == 412
        rotated = await own.post(f"{path}/rotate-secret", If_Match="*")
        answer = await own.post(f"{path}/test")
        assert answer.status == 202
        await desk.drain()
        [received] = receiver.received
        assert received.json["type"] == "webhook.test"
        assert received.is_signed_with(rotated.body["secret"])
        listed = await own.get(f"{path}/deliveries")
        assert [(row["id"], row["state"]) for row in listed.body["data"]] == [(answer.body["id"], "done")]
        assert (await own.delete(path, If_Match="*")).status == 204
        actions = [action for (action,) in office.rows("SELECT action FROM audit_log ORDER BY id")]
        assert actions == [
            "webhook.create",
            "webhook.create",
            "webhook.update",
            "webhook.rotate_secret",
            "webhook.test",
            "webhook.delete",
        ]


async def test_urls_that_lead_into_the_own_network_or_name_no_event_are_refused(office: Office) -> None:
    admin = office.as_("admin")
    for url in (
        "ftp://example.org/",
        "https:///nowhere",
        "https://user:pass@example.org/",
        "http://169.254.169.254/latest/meta-data",
        "https://[fe80::1]/",
        "https://0.0.0.0/",
        "https://example.org:99999/",
    ):
        answer = await admin.post("/api/webhooks", {"url": url, "events": ["visit.missed"]})
        assert answer.error == (422, "invalid_request"), url
        assert answer.details == {"path": "$.url"}
    answer = await admin.post("/api/webhooks", {"url": "https://example.org", "events": ["no.event"]})
    assert answer.error[0] == 422
