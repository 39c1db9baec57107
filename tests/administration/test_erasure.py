"""Erasing a participant: everything goes, once, after two people have said so."""

from datetime import UTC, datetime
from typing import Any

import pytest

from reporting.engine import sync_engine
from reporting.erasure.execution import run_erasure
from reporting.erasure.registry import RULES
from reporting.tables import metadata
from sync_server.jobs.pruning import prune_what_ran_out
from sync_server.keys import ENGINE, ERASED, SEALER, SETTINGS, SITE_DATABASES
from sync_server.site_erasing import CouchSiteStore
from tests.administration.exporting import expect_files_removed, plant_files
from tests.administration.office import Office
from tests.administration.redcap_traces import push_to_redcap
from tests.api.calls import Answer

PLANTED = "s012planted"
SECRET = "plantedsecret"
REASON = "They asked us to, by letter."
PATH = f"/api/participants/SRO/{PLANTED}/erasure"
REV = "1-" + 32 * "a"


def test_every_table_says_what_an_erasure_does_with_it() -> None:
    assert set(RULES) == set(metadata.tables)


def session(name: str, participant: str = PLANTED, rev: str = REV, **members: Any) -> dict[str, Any]:
    trials = [
        {"trial_index": n, "rt": 400 + 7 * n, "correct": 1, "note": f"{participant} said"} for n in range(12)
    ]
    return {
        "_id": f"session:{name}",
        "_rev": rev,
        "type": "session",
        "schema": 1,
        "study": "SRO",
        "site": "lima",
        "participant": participant,
        "started_at": "2026-01-02T03:04:05Z",
        "status": "completed",
        "tasks": [{"task": "simon", "run": 1, "trials": trials}],
        **members,
    }


def consent(name: str, participant: str = PLANTED, **members: Any) -> dict[str, Any]:
    signature = {"content_type": "text/plain", "data": "cGxhbnRlZHNlY3JldA=="}
    return {
        "_id": f"consent:{name}",
        "_rev": REV,
        "type": "consent",
        "schema": 1,
        "study": "SRO",
        "site": "lima",
        "participant": participant,
        "form": {"id": "main", "version": 1},
        "signed_at": "2026-01-02T03:04:05Z",
        "_attachments": {"signature.png": signature},
        **members,
    }


class Clinic:
    """A site with the planted participant and a neighbour, projected."""

    def __init__(self, office: Office, token: str, hub_token: str) -> None:
        self.office = office
        self.token = token
        self.hub = office.api.sending(Authorization=f"Bearer {hub_token}")
        self.purged_at_hub: dict[str, list[str]] = {}
        self.store = CouchSiteStore(office.gateway.app[SITE_DATABASES])

    async def push(self, *docs: dict[str, Any]) -> Any:
        return await self.office.gateway.push("site-lima", *docs, token=self.token)

    async def request(self) -> Answer:
        answer = await self.office.as_("admin").post(PATH, {"reason": REASON})
        assert answer.status == 201, answer.body
        return answer

    async def confirmed(self) -> int:
        number: int = (await self.request()).body["id"]
        answer = await self.office.as_("admin", study="SRO").post(f"{PATH}/{number}/confirm")
        assert (answer.status, answer.body["state"]) == (200, "confirmed"), answer.body
        return number

    async def run(self, number: int, **options: Any) -> Any:
        app = self.office.gateway.app
        fingerprint = app[SEALER].fingerprints
        done = await run_erasure(app[ENGINE], self.store, fingerprint, number, settle=0.0, **options)
        await self.purge_at_hub()
        return done

    async def purge_at_hub(self) -> None:
        """The hub does its part."""
        for task in (await self.hub.get("/api/sync/hub/erasures")).body["tasks"]:
            self.purged_at_hub |= task["documents"]
            told = {"version": task["version"]}
            answer = await self.hub.call("POST", f"/api/sync/hub/erasures/{task['id']}/done", json=told)
            assert answer.body == {"done": True}

    def everything(self) -> str:
        """Every text, JSON and byte of every table."""
        tables = self.office.rows("SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1")
        found = []
        for (name,) in tables:
            found += self.office.rows(f"SELECT '{name}', t::text FROM \"{name}\" AS t")  # noqa: S608
        found += self.office.rows(
            "SELECT 'original', convert_from(original, 'UTF8') FROM ingest_log WHERE original IS NOT NULL"
        )
        return "\n".join(map(str, found))

    def store_bytes(self) -> bytes:
        files = sorted((self.office.gateway.app[SETTINGS].data_dir / "store").rglob("*"))
        return b"".join(path.read_bytes() for path in files if path.is_file())

    async def neighbours(self) -> list[str]:
        return sorted(await self.office.gateway.stored("site-lima"))


@pytest.fixture
async def clinic(office: Office) -> Clinic:
    office.study("SRO", "lima")
    office.rows(
        "INSERT INTO participants (study, code, site, status) VALUES ('SRO', %s, 'lima', 'enrolled'),"
        " ('SRO', 'neighbour', 'lima', 'enrolled')",
        PLANTED,
    )
    office.rows(
        "INSERT INTO reminders (study, participant, visit, rule, channel, occurrence, planned_at,"
        " useful_until) VALUES ('SRO', %s, 'v', 'r', 'email', 0, now(), now())",
        PLANTED,
    )
    office.rows("INSERT INTO reminder_opt_outs VALUES ('SRO', %s, 'sms', now(), 'participant')", PLANTED)
    office.rows("INSERT INTO reminder_timezones VALUES ('SRO', %s, 'UTC')", PLANTED)
    await office.gateway.open_site("lima")
    tablet = await office.gateway.enrol("lima", "lima-tab-1")
    clinic = Clinic(office, tablet, await office.gateway.enrol("lima", "lima-hub", role="hub"))
    loser = "1-" + 32 * "0"
    await clinic.push(
        session("p-1"),
        session("p-1", rev=loser, visit="baseline", language="en"),
        session("p-broken", status="nonsense"),
        session("p-surrogate", remark="\ud800"),
        session("n-1", "neighbour"),
        session("n-conflict", "neighbour"),
        session("n-conflict", rev=loser),
        consent("p-c"),
        consent("n-c", "neighbour", _attachments={}),
    )
    await office.gateway.call(
        "PUT",
        f"/site-lima/participant%3ASRO%2F{PLANTED}",
        token=office.gateway.service,
        body={"type": "participant", "schema": 1, "site": "lima", "study": "SRO", "code": PLANTED},
    )
    await office.project()
    reading = await office.as_("admin").get(f"/api/participants/SRO/{PLANTED}")
    await office.as_("admin").patch(
        f"/api/participants/SRO/{PLANTED}",
        {"contact": {"name": SECRET}, "language": "es"},
        If_Match=reading.headers.get("ETag", "*"),
    )
    push_to_redcap(office, PLANTED)
    return clinic


async def test_erasure_takes_everything_from_everywhere_and_nothing_of_neighbours(clinic: Clinic) -> None:
    office = clinic.office
    plant_files(office, PLANTED)
    before = clinic.everything()
    assert PLANTED in before
    assert PLANTED.encode() in clinic.store_bytes()
    requested = await clinic.request()
    preview = requested.body["preview"]
    assert preview["documents"]["site-lima"] == {
        "session": 3,
        "part of session": 1,
        "consent": 1,
        "participant": 1,
    }
    assert preview["attachments"] == 1
    assert preview["originals"] == 1
    assert preview["tables"]["trial_rows"] == 36
    assert {"sessions", "ingest_log", "quarantine", "losing_revisions", "participants"} <= set(
        preview["tables"]
    )
    assert preview["audit_entries"] == 1
    number = requested.body["id"]
    confirmed = await office.as_("admin", study="SRO").post(f"{PATH}/{number}/confirm")
    assert confirmed.body["confirmed_by"] == office.as_("admin", study="SRO").email
    done = await clinic.run(number)
    assert (done.state, done.participant) == ("done", None)
    everything = clinic.everything()
    assert [line for line in everything.splitlines() if PLANTED in line or SECRET in line] == []
    assert PLANTED.encode() not in clinic.store_bytes()
    assert SECRET.encode() not in clinic.store_bytes()
    assert await clinic.neighbours() == ["consent:n-c", "session:n-1", "session:n-conflict"]
    await office.project()
    assert office.rows("SELECT id, participant FROM sessions ORDER BY id") == [
        ("n-1", "neighbour"),
        ("n-conflict", "neighbour"),
    ]
    assert PLANTED not in clinic.everything()
    expect_files_removed(office)
    assert office.rows("SELECT session_id FROM redcap_ledger") == [("n-1",)]
    assert office.rows("SELECT after FROM redcap_attempts") == [({"x": "neighbour"},)]
    assert office.rows("SELECT participant FROM redcap_pulled") == [("neighbour",)]
    assert office.rows("SELECT key FROM outbox WHERE kind = 'redcap'") == [("SRO/lima/n-1",)]
    told = office.rows("SELECT reason, after FROM audit_log WHERE action = 'participant.erased'")
    assert told[0][0] == REASON
    assert told[0][1]["requested_by"] == office.as_("admin").email
    assert told[0][1]["confirmed_by"] == office.as_("admin", study="SRO").email
    assert told[0][1]["counts"]["trial_rows"] == 36
    assert office.rows("SELECT site, device FROM erasure_hub_tasks WHERE done_at IS NOT NULL") == [
        ("lima", "lima-hub")
    ]
    assert clinic.purged_at_hub == {
        "session:p-1": [],
        "session:p-broken": [],
        "session:p-surrogate": [],
        "consent:p-c": [],
        f"participant:SRO/{PLANTED}": [],
        # Other people's leaves of it stay at the hub too.
        "session:n-conflict": ["1-" + 32 * "0"],
    }
    assert office.rows("SELECT key FROM outbox WHERE kind = 'event' AND key LIKE 'participant.erased%%'")
    again = await office.as_("admin").get(f"{PATH}/{number}")
    assert (again.status, again.body["state"], again.body["participant"]) == (200, "done", None)
    assert [(each["device"], bool(each["done_at"])) for each in again.body["hubs"]] == [("lima-hub", True)]


async def test_hub_that_was_revoked_is_told_when_it_comes_back_unless_its_disk_was_wiped(
    clinic: Clinic,
) -> None:
    gateway = clinic.office.gateway
    await gateway.enrol("lima", "old-hub", role="hub")
    for hub in ("lima-hub", "old-hub"):
        await gateway.revoke("lima", hub)
    wiped = "/api/sync/devices/lima/old-hub/wiped"
    assert (await clinic.office.as_("admin").post(wiped, {"reason": "shredded"})).status == 204
    app = gateway.app
    number = await clinic.confirmed()
    await run_erasure(app[ENGINE], clinic.store, app[SEALER].fingerprints, number, settle=0.0)
    engine = sync_engine(app[SETTINGS].database_url)
    with engine.begin() as connection:
        prune_what_ran_out(connection, datetime.now(UTC))
    engine.dispose()
    again = [await gateway.enrol("lima", hub, role="hub") for hub in ("old-hub", "lima-hub")]
    clinic.hub = clinic.office.api.sending(Authorization=f"Bearer {again[0]}")
    await clinic.purge_at_hub()
    assert clinic.purged_at_hub == {}
    clinic.hub = clinic.office.api.sending(Authorization=f"Bearer {again[1]}")
    await clinic.purge_at_hub()
    assert "session:p-1" in clinic.purged_at_hub


async def test_events_of_which_only_the_key_is_left_are_erased_by_it(clinic: Clinic) -> None:
    office = clinic.office
    office.rows(
        "INSERT INTO outbox (kind, key, payload, payload_sha256, state) VALUES"
        " ('event', 'participant.enrolled:SRO/' || %s || '/1', '{}', '', 'done'),"
        " ('event', 'participant.enrolled:SRO/neighbour/1', '{}', '', 'done')",
        PLANTED,
    )
    office.rows("UPDATE outbox SET payload = '{}' WHERE kind = 'event'")
    keys = "SELECT split_part(key, '/', 2) FROM outbox WHERE kind = 'event'"
    before = {each for (each,) in office.rows(keys)}
    assert {PLANTED, "p-1", "p-c", "session:p-broken"} <= before
    await clinic.run(await clinic.confirmed())
    after = {each for (each,) in office.rows(keys)}
    assert after >= {"neighbour", "n-1", "n-c"}
    assert [each for each in after if each == PLANTED or "p-" in each] == []


async def test_tablet_that_pushes_again_is_refused_document_by_document(clinic: Clinic) -> None:
    await clinic.run(await clinic.confirmed())
    await clinic.office.gateway.app[ERASED].refresh()
    # A hub's journal names documents before they come; of p-new it cannot be known yet whose it is.
    at = "2026-03-04T05:06:07Z"
    wrote = {"rev": REV, "device": "lima-tab-1", "role": "tablet", "credential": "c", "received_at": at}
    journal = {"entries": [{**wrote, "doc_id": f"session:{each}"} for each in ("p-1", "p-new")]}
    told = await clinic.hub.call("POST", "/api/sync/hub/journal", json=journal)
    assert told.body == {"recorded": 1}
    rows = await clinic.push(
        session("p-1"),
        session("p-new"),
        session("p-broken", "somebody", status="nonsense"),
        session("n-2", "neighbour"),
        consent("p-c"),
        consent("p-again"),
    )
    refused = {row["id"]: (row["error"], row["reason"]) for row in rows if "error" in row}
    forbidden = ("forbidden", "erased on request")
    erased = ["session:p-1", "session:p-new", "session:p-broken", "consent:p-c", "consent:p-again"]
    assert refused == dict.fromkeys(erased, forbidden)
    assert "session:n-2" in await clinic.neighbours()
    asked = {"docs": [{"id": each, "rev": REV} for each in ("session:p-1", "session:p-new")]}
    device = clinic.office.api.sending(Authorization=f"Bearer {clinic.token}")
    receipts = await device.call("POST", "/api/sync/receipts", json=asked)
    assert {(each["state"], each["reason"]) for each in receipts.body["data"]} == {
        ("refused", "erased on request")
    }
    await clinic.office.project()
    told = await clinic.hub.call("POST", "/api/sync/hub/journal", json=journal)
    assert told.body == {"recorded": 0}
    assert PLANTED not in clinic.everything()
    assert "p-new" not in clinic.everything()
    service = clinic.office.gateway.service
    replicated = await clinic.office.gateway.push("site-lima", session("p-1"), token=service)
    assert [row["error"] for row in replicated] == ["forbidden"]
    taken = await clinic.office.as_("admin").post("/api/participants", {"study": "SRO", "code": PLANTED})
    assert taken.error == (409, "not_possible")


class Killed(BaseException):
    """The process ends here."""


@pytest.mark.parametrize("step", ["find", "purge", "rows", "again", "compact", "audit", "end"])
async def test_killed_before_any_step_it_goes_on_and_erases_everything(clinic: Clinic, step: str) -> None:
    number = await clinic.confirmed()

    async def die(name: str) -> None:
        if name == step:
            raise Killed

    with pytest.raises(Killed):
        await clinic.run(number, before_step=die)
    state = clinic.office.rows("SELECT state FROM erasures")
    assert state == [("running",)]
    done = await clinic.run(number)
    assert done.state == "done"
    assert PLANTED not in clinic.everything()
    assert PLANTED.encode() not in clinic.store_bytes()


async def test_document_let_through_before_the_block_is_found_by_the_second_look_and_told_to_a_quick_hub(
    clinic: Clinic,
) -> None:
    number = await clinic.confirmed()
    told: list[set[str]] = []

    async def hub_is_quick() -> None:
        clinic.purged_at_hub = {}
        await clinic.purge_at_hub()
        told.append(set(clinic.purged_at_hub))

    async def late(name: str) -> None:
        if name == "again":
            await hub_is_quick()
            app = clinic.office.gateway.app
            known, app[ERASED]._known = app[ERASED]._known, frozenset()
            assert [row for row in await clinic.push(session("p-late")) if "error" in row] == []
            app[ERASED]._known = known
            await clinic.office.project()
        if name in ("compact", "end"):
            await hub_is_quick()

    await clinic.run(number, before_step=late)
    assert "session:p-late" not in await clinic.neighbours()
    assert "p-late" not in clinic.everything()
    assert PLANTED not in clinic.everything()
    assert "session:p-1" in told[0]
    assert told[1:] == [{"session:p-late"}, set()]
    # The end names all of it once more: a run that died may have named less.
    assert {"session:p-1", "session:p-late"} <= set(clinic.purged_at_hub)


async def test_session_from_a_browser_of_who_was_erased_is_refused_and_not_on_record(
    clinic: Clinic, monkeypatch: pytest.MonkeyPatch
) -> None:
    office = clinic.office
    team, erased = office.as_("coordinator", study="SRO"), office.gateway.app[ERASED]
    asked = {"study": "SRO", "participant": PLANTED, "site": "lima", "id": "online-0001"}
    assert (await team.post("/api/session/start", asked)).status == 201
    await clinic.run(await clinic.confirmed())
    await erased.refresh()
    start = await team.post("/api/session/start", asked)
    assert start.error == (409, "not_possible")
    assert "erased" in start.body["error"]["message"]
    # Somebody who looked a moment before the erasure: the store refuses what was let through here.
    monkeypatch.setattr(erased, "knows", never)
    again = await team.post("/api/session/start", {**asked, "id": "online-0002"})
    monkeypatch.undo()
    assert again.error == (409, "not_possible")
    run = {"task": "simon", "run": 1, "trials": []}
    submitted = {"site": "lima", "session": "online-0001", "task_run": run}
    assert (await team.post("/api/submit", submitted)).error == (404, "not_found")
    for text in (PLANTED, "online-0001", "online-0002"):
        assert text not in clinic.everything()


async def never(*_: object) -> bool:
    return False
