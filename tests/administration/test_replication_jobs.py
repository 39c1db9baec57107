"""Replication jobs between two servers: what people do with them, and what becomes of it."""

import json
from pathlib import Path
from typing import Any

from tests.administration.desk import at_desk
from tests.administration.office import Office
from tests.administration.replication_desk import (
    JOBS,
    PASSWORD,
    USER,
    arrived,
    at_centre,
    collect,
    is_in,
    look,
    make_job,
    watched,
)


async def test_what_was_collected_is_pushed_and_what_is_published_pulled(
    office: Office, tmp_path: Path
) -> None:
    office.study("SRO", "lima")
    await office.gateway.open_site("lima")
    admin = office.as_("admin", study="SRO", site="lima")
    async with at_desk(office) as desk, at_centre(tmp_path / "centre", "site-lima") as centre:
        await collect(desk, "s1", "s2")
        (await centre.couch.put("/site-lima/battery:b@1", {"type": "battery"})).ok(201)
        (await centre.couch.put("/site-lima/session:of-another", {"type": "session"})).ok(201)
        up = await make_job(desk, centre)
        assert (up["direction"], up["state"], up["user"], up["has_credential"]) == (
            "push",
            "initializing",
            USER,
            True,
        )
        down = await make_job(desk, centre, name="down", kind="published")
        seen = await watched(desk, up["id"], lambda job: job["written"] == 2, admin=admin)
        # A CouchDB's scheduler may not know what is left.
        left = seen["pending"] or 0
        assert (seen["state"], left, seen["failures"], seen["error"]) == ("running", 0, 0, None)
        assert seen["history"][0]["state"] == "running"
        await watched(desk, down["id"], lambda job: job["written"] == 1)
        await arrived(centre, "battery:b@1", "session:of-another", "session:s1", "session:s2")
        assert await office.gateway.stored("site-lima") == ["battery:b@1", "session:s1", "session:s2"]
        # A published document that is deleted at the centre, of which only the id tells what it was.
        rev = (await centre.couch.get("/site-lima/battery:b@1")).ok()["_rev"]
        (await centre.couch.delete("/site-lima/battery:b@1", rev=rev)).ok()
        await watched(desk, down["id"], lambda job: job["written"] == 2)
        assert await office.gateway.stored("site-lima") == ["session:s1", "session:s2"]
        listed = await admin.get(JOBS, sort="name", state="running")
        assert [row["name"] for row in listed.body["data"]] == ["down", "up"]
        metrics = (await admin.get("/api/metrics")).body
        assert 'metricis_replication_jobs{site="lima",state="running"} 2.0' in metrics
        assert 'metricis_replication_stuck{site="lima"} 0.0' in metrics


async def test_a_job_is_paused_resumed_and_cancelled(office: Office, tmp_path: Path) -> None:
    office.study("SRO", "lima")
    await office.gateway.open_site("lima")
    admin = office.as_("admin")
    async with at_desk(office) as desk, at_centre(tmp_path / "centre", "site-lima") as centre:
        job = await make_job(desk, centre)
        path = f"{JOBS}/{job['id']}"
        assert (await admin.post(f"{path}/resume")).error == (409, "not_possible")
        await watched(desk, job["id"], is_in("running"))
        assert (await admin.post(f"{path}/pause")).body["state"] == "paused"
        for act, body in (("pause", None), ("retry", None), ("restart", {"reason": "why"})):
            assert (await admin.post(f"{path}/{act}", body)).error == (409, "not_possible")
        await desk.drain()
        assert await documents(office) == []
        await collect(desk, "while-paused")
        assert (await admin.post(f"{path}/resume")).body["state"] == "initializing"
        await watched(desk, job["id"], is_in("running"))
        await arrived(centre, "session:while-paused")
        assert (await admin.delete(path)).error == (428, "precondition_required")
        assert (await admin.delete(path, If_Match='"1"')).error == (412, "precondition_failed")
        assert (await admin.delete(path, If_Match="*")).status == 204
        await desk.drain()
        assert await documents(office) == []
        assert (await admin.get(path)).body["state"] == "cancelled"
        for answer in (
            await admin.post(f"{path}/resume"),
            await admin.delete(path, If_Match="*"),
            await admin.patch(path, {"name": "x"}, If_Match="*"),
        ):
            assert answer.error == (409, "not_possible")
        # Its name is free again.
        assert (await make_job(desk, centre))["id"] != job["id"]
        acts = office.rows("SELECT action, entity_id, site FROM audit_log ORDER BY id")
        about = (str(job["id"]), "lima")
        assert acts[:4] == [(f"replication.{act}", *about) for act in ("create", "pause", "resume", "cancel")]


async def documents(office: Office) -> list[dict[str, Any]]:
    """Of `_replicator` at the hub."""
    gateway = office.gateway
    answer = await gateway.call(
        "GET", "/_replicator/_all_docs", token=gateway.service, query={"include_docs": "true"}
    )
    return [row["doc"] for row in answer.json["rows"]]


async def test_what_the_target_lost_comes_again_when_a_job_is_restarted_from_the_beginning(
    office: Office, tmp_path: Path
) -> None:
    office.study("SRO", "lima")
    await office.gateway.open_site("lima")
    admin = office.as_("admin")
    async with at_desk(office) as desk, at_centre(tmp_path / "centre", "site-lima") as centre:
        await collect(desk, "s1", "s2")
        job = await make_job(desk, centre, continuous=False)
        path = f"{JOBS}/{job['id']}"
        await watched(desk, job["id"], is_in("completed"))
        rev = (await centre.couch.get("/site-lima/session:s1")).ok()["_rev"]
        (await centre.couch.post("/site-lima/_purge", {"session:s1": [rev]})).ok(201)
        await collect(desk, "s3")
        # From where it was, what was lost stays lost.
        assert (await admin.post(f"{path}/retry")).body["attempt"] == 2
        await watched(desk, job["id"], is_in("completed"))
        await arrived(centre, "session:s2", "session:s3")
        assert (await admin.post(f"{path}/restart", {})).error[0] == 422
        answer = await admin.post(f"{path}/restart", {"reason": "The centre was restored."})
        assert answer.body["generation"] == 2
        await watched(desk, job["id"], is_in("completed"))
        await arrived(centre, "session:s1", "session:s2", "session:s3")
        assert office.rows("SELECT reason FROM audit_log WHERE action = 'replication.restart'") == [
            ("The centre was restored.",)
        ]


async def test_a_document_that_was_deleted_or_changed_by_hand_is_put_back(
    office: Office, tmp_path: Path
) -> None:
    office.study("SRO", "lima")
    await office.gateway.open_site("lima")
    gateway = office.gateway
    async with at_desk(office) as desk, at_centre(tmp_path / "centre", "site-lima") as centre:
        job = await make_job(desk, centre)
        await watched(desk, job["id"], is_in("running"))
        [written] = await documents(office)
        path = "/_replicator/" + written["_id"]
        deleted = await gateway.call("DELETE", path, token=gateway.service, query={"rev": written["_rev"]})
        assert deleted.status == 200
        await look(desk)
        [again] = await documents(office)
        assert {**again, "_rev": ""} == {**written, "_rev": ""}
        by_hand = {**again, "continuous": False}
        assert (await gateway.call("PUT", path, token=gateway.service, body=by_hand)).status == 201
        # CouchDB takes none between databases of its own.
        elsewhere = "http://127.0.0.1:9"
        foreign = {"_id": "mine", "source": f"{elsewhere}/site-lima", "target": f"{elsewhere}/site-lima-2"}
        assert (
            await gateway.call("PUT", "/_replicator/mine", token=gateway.service, body=foreign)
        ).status == 201
        await watched(desk, job["id"], is_in("running"))
        own = [each for each in await documents(office) if each["_id"] == written["_id"]]
        assert own[0]["continuous"] is True
        assert len(await documents(office)) == 2
        await collect(desk, "s1")
        await arrived(centre, "session:s1")


async def test_wrong_password_is_told_with_its_history_and_nowhere_shown(
    office: Office, tmp_path: Path, caplog: Any
) -> None:
    office.study("SRO", "lima")
    await office.gateway.open_site("lima")
    admin = office.as_("admin")
    async with (
        at_desk(office, replication_stuck_minutes=15) as desk,
        at_centre(tmp_path / "centre", "site-lima") as centre,
    ):
        await collect(desk, "s1")
        centre.password = "changed"
        job = await make_job(desk, centre)
        path = f"{JOBS}/{job['id']}"
        seen = await watched(desk, job["id"], is_in("crashing"))
        assert "unauthorized" in seen["error"]
        assert seen["next_retry_at"] > seen["error_at"]
        states = [event["state"] for event in seen["history"]]
        assert states[0] == "crashing"
        assert "initializing" in states
        # It has not been well for too long: told once.
        office.rows(
            "UPDATE replication_jobs"
            " SET memory = jsonb_set(memory, '{ill_since}', '\"2026-01-01T00:00:00Z\"')"
        )
        stuck = await watched(desk, job["id"], lambda each: each["stuck_since"] is not None)
        await look(desk)
        assert 'metricis_replication_stuck{site="lima"} 1.0' in (await admin.get("/api/metrics")).body
        [row] = (await admin.get(JOBS, stuck="true")).body["data"]
        assert row["id"] == job["id"]
        # The other side's password is given, which needs no other job.
        centre.password = PASSWORD
        assert (await admin.post(f"{path}/retry")).body["stuck_since"] == stuck["stuck_since"]
        healthy = await watched(desk, job["id"], lambda each: each["stuck_since"] is None)
        assert (healthy["state"], healthy["error"]) == ("running", stuck["error"])
        told = office.rows("SELECT key, payload FROM outbox WHERE kind = 'event' ORDER BY id")
        names = [key.partition(":")[0] for key, _ in told]
        assert names == ["replication.stuck", "replication.recovered"]
        assert told[0][1]["data"]["job"] == job["id"]
        everything = [
            office.rows("SELECT * FROM replication_jobs"),
            office.rows("SELECT * FROM replication_job_events"),
            office.rows("SELECT before, after FROM audit_log"),
            office.rows("SELECT payload FROM outbox"),
            await documents(office),
            (await admin.get(path)).body,
            (await admin.get(JOBS)).body,
            (await office.gateway.call("GET", "/_scheduler/docs", token=office.gateway.service)).json,
            (await office.gateway.call("GET", "/_scheduler/jobs", token=office.gateway.service)).json,
            caplog.text,
        ]
        assert PASSWORD not in json.dumps(everything, default=str)
        assert [
            PASSWORD.encode() in bytes(sealed)
            for (sealed,) in office.rows("SELECT credential FROM replication_jobs")
        ] == [False]
