"""A server whose disk is full says so, goes on reading, and goes on writing when there is room again."""

import resource
from pathlib import Path
from typing import Any

import aiohttp

from replication.store.check import check_directory
from tests.contract.couch import Answer, Db
from tests.replication.served import free_port, served

ROOM_BYTES = 3 * 1024 * 1024
DOCUMENT = {"x": "x" * 100_000}


def limit_files(pid: int, size: int) -> None:
    """No file of the process may grow beyond `size` bytes: to it, the disk is full."""
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


async def filled(db: Db) -> tuple[list[str], Answer]:
    """The documents that were acknowledged, and the first answer that was none."""
    taken: list[str] = []
    while True:
        answer = await db.put(f"/d{len(taken)}", DOCUMENT)
        if answer.status != 201:
            return taken, answer
        taken.append(f"d{len(taken)}")


async def test_a_full_disk_is_told_and_nothing_acknowledged_is_lost(tmp_path: Path) -> None:
    port = free_port()
    async with served(tmp_path, port) as process, aiohttp.ClientSession() as session:
        db = Db(f"http://127.0.0.1:{port}/db/site", session, "site")
        (await db.put("", None)).ok(201)
        limit_files(process.pid, ROOM_BYTES)
        taken, refused = await filled(db)
        assert len(taken) > 5
        assert "disk is full" in refused.refused(507, "insufficient_storage")

        bulk: dict[str, Any] = {"docs": [{"_id": f"bulk{n}", **DOCUMENT} for n in range(3)]}
        (await db.post("/_bulk_docs", bulk)).refused(507, "insufficient_storage")
        (await db.put("/_local/checkpoint", {"x": "x" * 1_000_000})).refused(507, "insufficient_storage")

        rows = (await db.changes(include_docs="true"))["results"]
        assert {row["id"] for row in rows if row["doc"]["x"] == DOCUMENT["x"]} == set(taken)
        assert (await db.get("/bulk0")).status == 404

        limit_files(process.pid, resource.RLIM_INFINITY)
        (await db.put("/after", DOCUMENT)).ok(201)
        process.kill()
        await process.wait()
    (report,) = check_directory(tmp_path)
    assert report.problems == []
    assert report.documents == len(taken) + 1
