"""Replications through failures: refusals, bad networks, killed processes, big attachments."""

import asyncio
import base64
import os
import random
from collections.abc import AsyncIterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from replication.client import CouchClient
from replication.errors import CouchError, Unauthorized, Unavailable
from replication.http.access import Access, FullAccess, Operation, allow_everything
from replication.replicator.definition import Endpoint
from replication.replicator.peer import Fetched, Peer
from replication.wire.decode import Incoming, Refusal
from tests.contract.couch import Couch, Db, embedded_in, fresh_database, replicated
from tests.gateway.flaky import Fate, Flaky
from tests.replication.served import free_port, served

PATIENCE = 60.0


@pytest.fixture
async def couch(tmp_path: Path) -> AsyncIterator[Couch]:
    async with embedded_in(tmp_path / "here", allow_everything) as running:
        yield running


@pytest.fixture
async def db(couch: Couch) -> AsyncIterator[Db]:
    async with fresh_database(couch) as database:
        yield database


class RefusingAccess(FullAccess):
    """Takes no document whose id begins with `bad`."""

    async def admit(self, database: str, docs: Sequence[Incoming]) -> list[Refusal | None]:  # noqa: ARG002
        return [Refusal("forbidden", "not here") if doc.id.startswith("bad") else None for doc in docs]


async def refusing(request: web.Request, operation: Operation, database: str | None) -> Access:
    return RefusingAccess()


async def with_new_password(request: web.Request, operation: Operation, database: str | None) -> Access:
    """Lets in whoever names the password `new`."""
    token = base64.b64encode(b"tablet:new").decode()
    if request.headers.get("Authorization") != f"Basic {token}":
        raise Unauthorized("Name or password is incorrect.")
    return FullAccess()


def port_of(couch: Couch) -> int:
    return int(couch.base.removesuffix("/db").rpartition(":")[2])


async def count(db: Db) -> int:
    return int((await db.get("")).ok()["doc_count"])


async def test_documents_the_target_refuses_are_counted_and_the_others_arrive(
    couch: Couch, db: Db, tmp_path: Path
) -> None:
    data = base64.b64encode(b"x" * 1000).decode()
    attached = {"f": {"content_type": "text/plain", "data": data}}
    await db.push(
        replicated("bad-1", "1-a"),
        replicated("bad-2", "1-a", _attachments=attached),
        replicated("good-1", "1-a"),
        replicated("good-2", "1-a", _attachments=attached),
    )
    async with embedded_in(tmp_path / "there", refusing) as there, fresh_database(there) as target:
        body = {"source": db.name, "target": target.base}
        history = (await couch.post("/_replicate", body)).ok()["history"]
        assert (history[0]["docs_written"], history[0]["doc_write_failures"]) == (2, 2)
        assert await count(target) == 2


@pytest.mark.parametrize("side", ["source", "target"])
async def test_bad_network_costs_time_and_nothing_else(
    couch: Couch, db: Db, tmp_path: Path, side: str
) -> None:
    await db.push(*(replicated(f"d{number}", "1-a", n=number) for number in range(250)))
    chance = random.Random(7)
    fates = [Fate.PASS, Fate.PASS, Fate.LOSE_REQUEST, Fate.LOSE_ANSWER, Fate.CUT_ANSWER, Fate.BAD_GATEWAY]
    async with embedded_in(tmp_path / "there", allow_everything) as there, fresh_database(there) as target:
        flaky = Flaky(port_of(couch if side == "source" else there))
        server = await asyncio.start_server(flaky.serve, "127.0.0.1", 0, limit=2**26)
        proxied = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/db"
        flaky.will(*chance.choices(fates, k=60))
        async with server:
            body = {
                "source": f"{proxied}/{db.name}" if side == "source" else db.name,
                "target": f"{proxied}/{target.name}" if side == "target" else target.base,
                "worker_batch_size": 50,
                "retries_per_request": 12,
            }
            history = (await couch.post("/_replicate", body)).ok()["history"]
        assert await count(target) == 250
        assert history[0]["doc_write_failures"] == 0
        assert len(flaky.requests) > 20


async def test_a_changed_password_is_used_at_once(couch: Couch, db: Db, tmp_path: Path) -> None:
    """The replication keeps its name: only the user's is part of it."""
    await db.save("a")
    login = {"Authorization": f"Basic {base64.b64encode(b'tablet:new').decode()}"}
    async with (
        embedded_in(tmp_path / "there", with_new_password) as there,
        aiohttp.ClientSession(headers=login) as session,
    ):
        target = Db(f"{there.base}/field", session, "field")
        (await target.call("PUT", "")).ok(201)
        (await couch.put("/_replicator", None)).ok(201)
        job = {"source": db.name, "target": target.base.replace("//", "//tablet:old@"), "continuous": True}
        rev = (await couch.put("/_replicator/job", job)).ok(201)["rev"]
        async with asyncio.timeout(PATIENCE):
            while not await crashed(couch):  # noqa: ASYNC110 (another task changes it)
                await asyncio.sleep(0.05)
        job |= {"_rev": rev, "target": target.base.replace("//", "//tablet:new@")}
        (await couch.put("/_replicator/job", job)).ok(201)
        async with asyncio.timeout(PATIENCE / 2):
            while await count(target) < 1:  # noqa: ASYNC110 (another task changes it)
                await asyncio.sleep(0.05)


async def crashed(couch: Couch) -> bool:
    rows = (await couch.get("/_scheduler/docs")).ok()["docs"]
    return [row["state"] for row in rows] == ["crashing"]


@pytest.mark.parametrize("tells", [True, False])
async def test_a_target_that_is_recreated_during_a_replication_gets_everything_again(
    couch: Couch, db: Db, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, tells: bool
) -> None:
    if not tells:  # as servers before CouchDB 3.3

        async def silent(_: Peer) -> str:
            return "0"

        monkeypatch.setattr(Peer, "instance", silent)
    monkeypatch.setattr("replication.replicator.backoff.FIRST_WAIT", 0.1)
    await db.push(*(replicated(f"d{number}", "1-a") for number in range(10)))
    async with (
        embedded_in(tmp_path / "there", allow_everything) as there,
        fresh_database(there) as target,
        asyncio.timeout(PATIENCE),
    ):
        definition = {"source": db.name, "target": target.base, "checkpoint_interval": 100}
        (await couch.post("/_replicate", {**definition, "continuous": True})).ok(202)
        while not (await target.get("/_local_docs")).ok()["rows"]:  # noqa: ASYNC110 (another server changes it)
            await asyncio.sleep(0.05)
        (await target.delete("")).ok()
        (await target.put("", None)).ok(201)
        await db.push(replicated("later", "1-a"))
        while await count(target) < 11:  # noqa: ASYNC110 (another server changes it)
            await asyncio.sleep(0.05)


async def test_a_defect_fails_its_replication_and_is_told(
    couch: Couch, db: Db, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody waits for ever, and the run is not started again at once."""
    runs: list[None] = []

    async def defective(_: Peer) -> str:
        runs.append(None)
        raise KeyError("unforeseen")

    monkeypatch.setattr(Peer, "instance", defective)
    body = {"source": db.name, "target": f"{db.name}-copy"}
    async with asyncio.timeout(PATIENCE):
        answer = await couch.post("/_replicate", body)
    assert "KeyError" in answer.refused(500, "unexpected_answer")
    (await couch.post("/_replicate", {**body, "continuous": True})).ok(202)
    await asyncio.sleep(1)
    assert len(runs) == 2
    (job,) = (await couch.get("/_scheduler/jobs")).ok()["jobs"]
    assert [event["type"] for event in job["history"]] == ["crashed", "started", "added"]


@pytest.mark.parametrize(("error", "passed_over"), [("not_found", True), ("timeout", False)])
async def test_only_what_is_gone_is_passed_over(error: str, *, passed_over: bool) -> None:
    """Apache CouchDB tells of a shard that does not answer in the row of the document."""

    async def bulk_get(_: web.Request) -> web.Response:
        row = {"id": "a", "docs": [{"error": {"id": "a", "rev": "1-a", "error": error, "reason": "x"}}]}
        return web.json_response({"results": [row]})

    app = web.Application()
    app.router.add_post("/source/_bulk_get", bulk_get)
    async with TestServer(app) as server, aiohttp.ClientSession() as session:
        source = Peer(session, Endpoint(str(server.make_url("/source"))))
        if passed_over:
            assert await source.fetch([("a", "1-a")]) == []
        else:
            with pytest.raises(Unavailable, match="did not give a"):
                await source.fetch([("a", "1-a")])


async def test_large_attachment_is_relayed_without_being_held(couch: Couch, db: Db, tmp_path: Path) -> None:
    data = os.urandom(24 * 1024 * 1024)
    answer = await db.put("/a", {})
    put = await db.call(
        "PUT",
        "/a/scan.bin",
        query={"rev": answer.ok(201)["rev"]},
        data=data,
        headers={"Content-Type": "application/octet-stream"},
    )
    rev = put.ok(201)["rev"]
    async with embedded_in(tmp_path / "there", allow_everything) as there, fresh_database(there) as target:
        (await couch.post("/_replicate", {"source": db.name, "target": target.base})).ok()
        assert (await target.get("/a")).ok()["_rev"] == rev
        assert (await target.get("/a/scan.bin")).body == data


async def test_killed_in_the_middle_a_replication_goes_on_and_writes_nothing_twice(
    couch: Couch, db: Db, tmp_path: Path
) -> None:
    """The process with the source and the replicator is killed again and again; the target counts."""
    port = free_port()
    directory = tmp_path / "killed"
    chance = random.Random(3)
    async with aiohttp.ClientSession(headers={"Accept": "application/json"}) as session:
        killed = Couch(f"http://127.0.0.1:{port}/db", session)
        source = Db(f"{killed.base}/field", session, "field")
        async with served(directory, port):
            (await killed.put("/field", None)).ok(201)
            (await killed.put("/_replicator", None)).ok(201)
            for batch in range(20):
                await source.push(
                    *(replicated(f"d{batch}-{number}", "2-b", "1-a", n=number) for number in range(100))
                )
            definition: dict[str, Any] = {
                "source": "field",
                "target": db.base,
                "continuous": True,
                "worker_batch_size": 10,
                "checkpoint_interval": 100,
            }
            (await killed.put("/_replicator/job", definition)).ok(201)
        for _ in range(6):
            async with served(directory, port):
                await asyncio.sleep(chance.uniform(0.05, 0.5))
        async with served(directory, port), asyncio.timeout(PATIENCE):
            while await count(db) < 2000:  # noqa: ASYNC110 (another process changes it)
                await asyncio.sleep(0.05)
            assert [row["changes"] for row in (await db.changes())["results"]] == [[{"rev": "2-b"}]] * 2000
            # Written once each: a document that came again would have another sequence.
            assert (await db.get("")).ok()["update_seq"].startswith("2000-")


async def test_another_side_that_sends_on_to_another_url_is_not_followed_there() -> None:
    followed: list[str] = []

    async def elsewhere(request: web.Request) -> web.Response:
        followed.append(f"{request.method} {request.path}")
        return web.json_response({"instance_start_time": "0", "ok": True, "rev": "0-1", "_id": "a"})

    async def sends_on(request: web.Request) -> web.Response:
        await request.read()
        raise web.HTTPTemporaryRedirect(f"{inside}{request.rel_url}")

    async def pieces() -> AsyncIterator[bytes]:
        yield b"{}"

    async def open_document() -> None:
        document = Fetched("a", "1-a", b"{}", True)
        async with peer.open_document(document, []):
            raise AssertionError

    apps = web.Application(), web.Application()
    for app, handler in zip(apps, (elsewhere, sends_on), strict=True):
        app.router.add_route("*", "/{rest:.*}", handler)
    async with TestServer(apps[0]) as other, TestServer(apps[1]) as asked, aiohttp.ClientSession() as session:
        inside = str(other.make_url("")).rstrip("/")
        peer = Peer(session, Endpoint(url=str(asked.make_url("/db/a"))))
        client = CouchClient(session, str(asked.make_url("/db")))
        for attempt in (
            peer.info,
            peer.flush,
            open_document,
            partial(peer.create, {}),
            partial(peer.local, "x"),
            partial(peer.put_local, "x", {}, None),
            partial(peer.write, []),
            partial(peer.put_document, "a", "application/json", pieces()),
            partial(client.attachment, "a", "b", "n", rev="1-a", most_bytes=1000),
        ):
            with pytest.raises(CouchError, match="307 and sends on to another URL"):
                await attempt()
    assert followed == []
