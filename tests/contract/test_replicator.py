"""`_replicate`, the `_replicator` database and `_scheduler`, against whichever CouchDB is asked."""

import asyncio
import base64
import contextlib
import uuid
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from tests.contract.couch import Couch, Db
from tests.contract.varied import varied_documents

PATIENCE = 20.0


async def replicate(couch: Couch, source: Db, target: Db, **members: Any) -> Any:
    body = {"source": source.name, "target": target.name, **members}
    return (await couch.post("/_replicate", body)).ok()


def peer(db: Db) -> dict[str, Any]:
    """A database as a replication's document names it, with the tests' own credential."""
    sent = {name: value for name, value in db.session.headers.items() if name == "Authorization"}
    return {"url": db.base, "headers": sent}


async def until(look: Callable[[], Any], wanted: Callable[[Any], bool]) -> Any:
    """What `look` answers, once it is what is wanted."""
    async with asyncio.timeout(PATIENCE):
        while not wanted(found := await look()):  # noqa: ASYNC110 (another process changes it)
            await asyncio.sleep(0.05)
        return found


@pytest.fixture
async def replicator_db(couch: Couch) -> AsyncIterator[Db]:
    """The `_replicator` database; its documents are gone afterwards."""
    await couch.put("/_replicator", None)
    db = Db(f"{couch.base}/_replicator", couch.session, "_replicator")
    yield db
    for row in (await db.get("/_all_docs")).ok()["rows"]:
        with contextlib.suppress(AssertionError):
            await db.remove(row["id"], row["value"]["rev"])


async def test_everything_arrives_revision_by_revision(couch: Couch, db: Db, other_db: Db) -> None:
    await db.push(*varied_documents())
    answer = await replicate(couch, db, other_db)
    assert answer["ok"]
    assert answer["history"][0]["docs_written"] == 9
    assert answer["history"][0]["doc_write_failures"] == 0
    assert await other_db.everything() == await db.everything()


async def test_second_run_looks_at_nothing_again(couch: Couch, db: Db, other_db: Db) -> None:
    await db.save("a")
    first = await replicate(couch, db, other_db)
    second = await replicate(couch, db, other_db)
    assert "no_changes" not in first
    assert second["no_changes"] is True
    assert (second["session_id"], second["history"]) == (first["session_id"], first["history"])


async def test_run_goes_on_from_the_checkpoint(couch: Couch, db: Db, other_db: Db) -> None:
    await db.save("a")
    await replicate(couch, db, other_db)
    await db.save("b")
    again = await replicate(couch, db, other_db)
    latest, before = again["history"]
    assert latest["session_id"] != before["session_id"]
    assert latest["start_last_seq"] == before["end_last_seq"]
    assert (await other_db.get("/b")).status == 200


async def test_a_session_counts_what_it_did_itself(couch: Couch, db: Db, other_db: Db) -> None:
    await db.save("a")
    await replicate(couch, db, other_db)
    await db.save("b")
    again = await replicate(couch, db, other_db)
    assert [entry["docs_written"] for entry in again["history"]] == [1, 1]


async def test_lost_checkpoint_of_the_target_compares_everything_and_writes_nothing(
    couch: Couch, db: Db, other_db: Db
) -> None:
    await db.save("a")
    await replicate(couch, db, other_db)
    for row in (await other_db.get("/_local_docs")).ok()["rows"]:
        await other_db.delete(f"/{row['id']}", rev=row["value"]["rev"])
    again = await replicate(couch, db, other_db)
    assert again["history"][0]["missing_checked"] == 1
    assert again["history"][0]["docs_written"] == 0


async def test_edits_on_both_sides_become_a_conflict_on_both(couch: Couch, db: Db, other_db: Db) -> None:
    await db.save("a", n=0)
    await replicate(couch, db, other_db)
    rev = (await db.get("/a")).ok()["_rev"]
    await db.put("/a", {"_rev": rev, "n": 1})
    await other_db.put("/a", {"_rev": rev, "n": 2})
    await replicate(couch, db, other_db)
    await replicate(couch, other_db, db)
    assert await db.leaves("a") == await other_db.leaves("a")
    assert len(await db.leaves("a")) == 2


async def test_changed_document_sends_only_attachments_that_are_new(
    couch: Couch, db: Db, other_db: Db
) -> None:
    data = base64.b64encode(b"first").decode()
    answer = await db.put("/a", {"_attachments": {"one": {"content_type": "text/plain", "data": data}}})
    await replicate(couch, db, other_db)
    put = await db.call(
        "PUT",
        "/a/two",
        query={"rev": answer.ok(201)["rev"]},
        data=b"second",
        headers={"Content-Type": "text/plain"},
    )
    put.ok(201)
    await replicate(couch, db, other_db)
    assert (await other_db.get("/a/one")).body == b"first"
    assert (await other_db.get("/a/two")).body == b"second"


async def test_doc_ids_limit_what_is_replicated(couch: Couch, db: Db, other_db: Db) -> None:
    for name in "abc":
        await db.save(name)
    await replicate(couch, db, other_db, doc_ids=["a", "c", "nobody"])
    assert [row["id"] for row in (await other_db.get("/_all_docs")).ok()["rows"]] == ["a", "c"]


async def test_selector_limits_what_is_replicated(couch: Couch, db: Db, other_db: Db) -> None:
    await db.save("a", type="visit")
    await db.save("b", type="session")
    await replicate(couch, db, other_db, selector={"type": "visit"})
    assert [row["id"] for row in (await other_db.get("/_all_docs")).ok()["rows"]] == ["a"]


async def test_since_seq_begins_there(couch: Couch, db: Db, other_db: Db) -> None:
    await db.save("a")
    since = (await db.changes())["last_seq"]
    await db.save("b")
    await replicate(couch, db, other_db, since_seq=since)
    assert [row["id"] for row in (await other_db.get("/_all_docs")).ok()["rows"]] == ["b"]


async def test_create_target_makes_the_database(couch: Couch, db: Db) -> None:
    await db.save("a")
    name = f"contract-{uuid.uuid4().hex}"
    body = {"source": db.name, "target": name, "create_target": True}
    (await couch.post("/_replicate", body)).ok()
    assert (await couch.get(f"/{name}/a")).ok()["_id"] == "a"
    await couch.delete(f"/{name}")


async def test_database_that_is_not_there_is_an_error_that_says_so(couch: Couch, db: Db) -> None:
    answer = await couch.post("/_replicate", {"source": db.name, "target": "contract-nowhere"})
    assert answer.status in (404, 500)
    assert "error" in answer.json


@pytest.mark.parametrize("body", [{}, {"source": "a"}, {"source": "a", "target": 5}])
async def test_request_without_source_or_target_is_refused(couch: Couch, body: dict[str, Any]) -> None:
    assert (await couch.post("/_replicate", body)).status in (400, 500)


async def test_continuous_replication_follows_until_it_is_cancelled(
    couch: Couch, db: Db, other_db: Db
) -> None:
    body = {"source": db.name, "target": other_db.name, "continuous": True}
    begun = await couch.post("/_replicate", body)
    job_id = begun.ok(202)["_local_id"]
    await db.save("a")

    async def arrived(name: str) -> int:
        return (await other_db.get(f"/{name}")).status

    await until(lambda: arrived("a"), lambda status: status == 200)
    await db.save("b")
    await until(lambda: arrived("b"), lambda status: status == 200)
    jobs = (await couch.get("/_scheduler/jobs")).ok()
    (job,) = [job for job in jobs["jobs"] if job["id"] == job_id]
    assert job["database"] is None
    assert {event["type"] for event in job["history"]} == {"added", "started"}
    assert (await couch.get(f"/_scheduler/jobs/{job_id.replace('+', '%2B')}")).ok()["id"] == job_id
    tasks = (await couch.get("/_active_tasks")).ok()
    assert [task["docs_written"] for task in tasks if task.get("replication_id") == job_id] == [2]

    (await couch.post("/_replicate", {**body, "cancel": True})).ok()
    assert (await couch.get(f"/_scheduler/jobs/{job_id.replace('+', '%2B')}")).status == 404
    (await couch.post("/_replicate", {**body, "cancel": True})).refused(404, "not_found")


async def test_document_of_replicator_runs_and_is_told_completed(
    couch: Couch, db: Db, other_db: Db, replicator_db: Db
) -> None:
    await db.save("a")
    source, target = peer(db), peer(other_db)
    await replicator_db.save("job", source=source, target=target)

    async def document() -> Any:
        return (await replicator_db.get("/job")).ok()

    told = await until(document, lambda doc: "_replication_state" in doc)
    assert told["_replication_state"] == "completed"
    assert told["_replication_stats"]["docs_written"] == 1
    assert (await other_db.get("/a")).status == 200
    row = (await couch.get("/_scheduler/docs/_replicator/job")).ok()
    assert (row["doc_id"], row["state"]) == ("job", "completed")


async def test_document_that_is_no_replication_is_told_failed(
    couch: Couch, replicator_db: Db, db: Db
) -> None:
    saved = await replicator_db.put("/bad", {"source": db.name, "target": {"nonsense": 1}})
    if saved.status == 403:
        return  # Apache CouchDB's own validation refuses it at the door.
    saved.ok(201)

    async def rows() -> Any:
        docs = (await couch.get("/_scheduler/docs")).ok()["docs"]
        return [row for row in docs if row["doc_id"] == "bad"]

    (row,) = await until(rows, bool)
    assert row["state"] == "failed"
    assert "target" in row["info"]["error"]


async def test_continuous_document_runs_until_it_is_deleted(
    couch: Couch, db: Db, other_db: Db, replicator_db: Db
) -> None:
    source, target = peer(db), peer(other_db)
    rev = await replicator_db.save("live", source=source, target=target, continuous=True)
    await db.save("a")

    async def arrived() -> int:
        return (await other_db.get("/a")).status

    await until(arrived, lambda status: status == 200)
    docs = (await couch.get("/_scheduler/docs", states="running")).ok()["docs"]
    assert "live" in [row["doc_id"] for row in docs]
    assert (await replicator_db.get("/live")).ok().get("_replication_state") in (None, "triggered")
    await replicator_db.remove("live", rev)

    async def jobs() -> Any:
        return [job["doc_id"] for job in (await couch.get("/_scheduler/jobs")).ok()["jobs"]]

    await until(jobs, lambda found: "live" not in found)


async def test_unknown_state_and_unknown_document_are_told(couch: Couch, replicator_db: Db) -> None:
    assert (await couch.get("/_scheduler/docs/_replicator/nobody")).status == 404
    assert (await couch.get("/_scheduler/docs", states="sleeping")).status == 400
