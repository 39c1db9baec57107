"""A function that sits in one step of the engine holds up its own request, and that for a bounded time."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import psutil
import pytest

from replication.http.access import allow_everything
from replication.javascript import sandbox
from replication.javascript.tasks import KILL_AFTER
from replication.store.registry import Registry
from tests.contract.couch import Answer, Couch, Db, embedded, fresh_database
from tests.javascript.built_ins import LONG_STEPS
from tests.javascript.running import running
from tests.replication.served import free_port, served

PATIENCE = 5.0
"""For a machine that is busy with other things."""
LONG_STEP = pytest.mark.parametrize("step", LONG_STEPS.values(), ids=LONG_STEPS.keys())

pytest.importorskip("quickjs")


def hanging(step: str) -> dict[str, object]:
    """A design document whose functions hang about a document with `long`."""
    source = f"function (doc) {{ if (doc.long) {{ {step}; }} return true; }}"
    return {"filters": {"f": source}, "views": {"v": {"map": source}}, "validate_doc_update": source}


@pytest.fixture
async def couch(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Couch]:
    """The embedded store; a call has one second."""
    monkeypatch.setattr(sandbox, "CPU_SECONDS", 1)
    async with embedded(registry, allow_everything) as couch:
        yield couch


@pytest.fixture
async def db(couch: Couch) -> AsyncIterator[Db]:
    async with fresh_database(couch) as db:
        yield db


async def go_on(other: Db, until: asyncio.Task[Answer]) -> int:
    """How often somebody else writes and reads meanwhile, with functions of their own."""
    times = 0
    while not until.done():
        async with asyncio.timeout(PATIENCE):
            await other.save(f"other-{times}", x=times)
            (await other.get(f"/other-{times}")).ok()
            shown = (await other.changes(filter="g/f", limit="2", descending="true"))["results"]
            assert shown[0]["id"] == f"other-{times}"
        times += 1
    return times


@LONG_STEP
async def test_a_filter_that_hangs(couch: Couch, db: Db, step: str) -> None:
    await db.save("good", x=1)
    await db.save("bad", long=True)
    await db.save("_design/f", filters=hanging(step)["filters"])
    async with fresh_database(couch) as other:
        await other.save("_design/g", **hanging("0"))
        began = time.monotonic()
        asked = asyncio.create_task(db.get("/_changes", filter="f/f"))
        assert await go_on(other, asked) > 0
        await db.save("later", x=1)
        assert (await asked).refused(500, "timeout") == "the function took longer than 1 s"
        assert time.monotonic() - began < 1 + KILL_AFTER + PATIENCE
    (await db.delete("/bad", rev=(await db.get("/bad")).ok()["_rev"])).ok()
    shown = (await db.changes(filter="f/f"))["results"]
    assert [row["id"] for row in shown] == ["good", "_design/f", "later", "bad"]


@LONG_STEP
async def test_a_validation_that_hangs(couch: Couch, db: Db, step: str) -> None:
    await db.save("_design/v", validate_doc_update=hanging(step)["validate_doc_update"])
    await db.save("good", x=1)
    async with fresh_database(couch) as other:
        await other.save("_design/g", **hanging("0"))
        began = time.monotonic()
        asked = asyncio.create_task(db.put("/bad", {"long": True}))
        assert await go_on(other, asked) > 0
        assert (await asked).refused(500, "timeout") == "the function took longer than 1 s"
        assert time.monotonic() - began < 1 + KILL_AFTER + PATIENCE
    await db.save("later", x=1)
    assert (await db.get("/bad")).status == 404


async def test_no_child_outlives_a_store_that_is_closed(tmp_path: Path) -> None:
    registry = Registry(tmp_path / "closed")
    async with embedded(registry, allow_everything) as couch, fresh_database(couch) as db:
        await db.save("_design/v", **hanging("0"))
        await db.save("a", x=1)
        await db.changes(filter="v/f")
        assert len(running()) == 2
    await registry.close()
    assert running() == []


@pytest.mark.parametrize("sign", [signal.SIGKILL, signal.SIGTERM])
async def test_no_child_outlives_a_service_that_is_killed(tmp_path: Path, sign: signal.Signals) -> None:
    """One of them idle, one in the middle of a step that takes minutes, long before its time is over."""
    port = free_port()
    async with (
        served(tmp_path / "killed", port) as process,
        aiohttp.ClientSession(headers={"Accept": "application/json"}) as session,
    ):
        db = Db(f"http://127.0.0.1:{port}/db/site", session, "site")
        (await db.put("", None)).ok(201)
        await db.save("bad", long=True)
        await db.save("_design/v", **hanging(LONG_STEPS["join"]))
        await db.save("good", x=1)
        (idle,) = psutil.Process(process.pid).children()
        asked = asyncio.create_task(db.get("/_changes", filter="v/f"))
        while not (  # noqa: ASYNC110 (another process changes it)
            busy := [one for one in psutil.Process(process.pid).children() if one != idle]
        ):
            await asyncio.sleep(0.01)
        while busy[0].cpu_times().user < 0.5:  # noqa: ASYNC110 (another process uses it)
            await asyncio.sleep(0.01)
        used = busy[0].cpu_times().user
        killed = time.monotonic()
        os.kill(process.pid, sign)
        left = await asyncio.to_thread(psutil.wait_procs, [idle, *busy], PATIENCE)
        assert left[1] == []
        # Or it may have ended by its own limit: in less time than this it cannot have used that up.
        assert time.monotonic() - killed < sandbox.CPU_SECONDS - used
        with pytest.raises(aiohttp.ClientError):
            await asked
