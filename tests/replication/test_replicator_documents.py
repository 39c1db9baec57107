"""The `_replicator` database: ends that come late, and credentials that documents only refer to."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from replication.client import CouchClient, basic_login
from replication.errors import Unauthorized
from replication.http.access import allow_everything
from replication.replicator.definition import parse_definition
from replication.replicator.documents import ReplicatorDocuments
from replication.replicator.jobs import Job
from replication.replicator.scheduler import Scheduler
from tests.contract.couch import Couch, embedded_in


@pytest.fixture
async def couch(tmp_path: Path) -> AsyncIterator[Couch]:
    async with embedded_in(tmp_path / "here", allow_everything) as running:
        yield running


def scheduler(base: str, **options: Any) -> Scheduler:
    return Scheduler("server", new_uuid=lambda: "session", base=base, **options)


async def state_after_end(couch: Couch, document: Mapping[str, Any], ended: Mapping[str, Any]) -> Any:
    """What a document is told when the replication that `ended` asked for has reached its end."""
    rev = (await couch.put("/other/job", document)).ok(201)["rev"]
    told: list[Callable[[Job], None]] = []

    class Ended(Scheduler):
        def on_end(self, told_end: Callable[[Job], None]) -> None:
            told.append(told_end)

    documents = ReplicatorDocuments(
        CouchClient(couch.session, couch.base),
        Ended("server", new_uuid=lambda: "session", base=couch.base),
        clock=time.time,
    )
    told[0](Job("id", parse_definition(ended), "job", time.time()))
    await asyncio.gather(*documents._writing)
    found = (await couch.get("/other/job")).ok()
    await couch.delete("/other/job", rev=found["_rev"])
    return found.get("_replication_state"), found["_rev"] == rev


async def test_end_of_a_replication_is_not_written_into_a_document_that_asks_for_another(
    couch: Couch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("replication.replicator.documents.DATABASE", "other")
    (await couch.put("/other", None)).ok(201)
    once = {"source": "a", "target": "b"}
    assert await state_after_end(couch, once, once) == ("completed", False)
    for changed in ({**once, "continuous": True}, {**once, "checkpoint_interval": 6000}, {"source": "a"}):
        assert await state_after_end(couch, changed, once) == (None, True)


async def test_credential_is_looked_up_when_a_run_begins(couch: Couch) -> None:
    (await couch.put("/a", None)).ok(201)
    definition = parse_definition(
        {"source": "a", "target": {"url": f"{couch.base}/nowhere", "auth": {"reference": "centre"}}}
    )
    asked: list[tuple[str, str]] = []

    def look_up(url: str, reference: str) -> Mapping[str, str]:
        asked.append((url, reference))
        raise Unauthorized("not of this one")

    for options, reason in (
        ({"look_up": look_up}, "unauthorized: not of this one"),
        ({}, "unauthorized: this server knows no credentials by reference"),
    ):
        running = scheduler(couch.base, **options)
        job = running.add(definition, doc_id="job")
        task = asyncio.create_task(running.run())
        async with asyncio.timeout(10):
            while job.state != "crashing":  # noqa: ASYNC110 (the scheduler tells nobody)
                await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert job.info()["error"] == reason
    assert asked == [(f"{couch.base}/nowhere", "centre")]


async def test_what_was_looked_up_is_sent_and_not_shown(couch: Couch, tmp_path: Path) -> None:
    headers = basic_login("hub", "s3cret")()
    seen: list[str | None] = []

    async def remembering(request: aiohttp.web.Request, *rest: Any) -> Any:
        seen.append(request.headers.get("Authorization"))
        return await allow_everything(request, *rest)

    (await couch.put("/a", None)).ok(201)
    async with embedded_in(tmp_path / "there", remembering) as there:
        (await there.put("/b", None)).ok(201)
        seen.clear()
        running = scheduler(couch.base, look_up=lambda url, reference: headers)  # noqa: ARG005
        target = {"url": f"{there.base}/b", "auth": {"reference": "centre"}}
        job = running.add(parse_definition({"source": "a", "target": target}))
        shown = f"{job.shown('node')} {job.shown_document('node')}"
        task = asyncio.create_task(running.run())
        await job.ended
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert set(seen) == {headers["Authorization"]}
    assert "centre" not in shown
    assert "s3cret" not in shown
