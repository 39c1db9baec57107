"""An erasure at the centre, carried out by the process of a hub that has the same documents."""

import asyncio
import json
from pathlib import Path
from typing import Any

import aiohttp

from reporting.erasure.names import REASON
from tests.administration.test_devices import invite
from tests.administration.test_erasure import PLANTED, Clinic, clinic, session
from tests.hub.processes import HubProcess
from tests.hub.test_hub_and_centre import is_even

__all__ = ["clinic"]

DONE = "SELECT id FROM erasure_hub_tasks WHERE device = 'hub-1' AND done_at IS NOT NULL"


async def push(hub: HubProcess, token: str, *docs: dict[str, Any]) -> Any:
    """Hand documents in at the hub; the rows of those that it refused."""
    body = {"new_edits": False, "docs": docs}
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    async with (
        aiohttp.ClientSession(headers=headers) as http,
        http.post(f"{hub.base_url}/db/site-lima/_bulk_docs", data=json.dumps(body)) as answer,
    ):
        assert answer.status == 201
        return await answer.json()


def bytes_below(directory: Path) -> bytes:
    """All that its files hold."""
    return b"".join(path.read_bytes() for path in sorted(directory.rglob("*")) if path.is_file())


async def test_what_is_erased_at_the_centre_is_gone_from_a_hubs_disk_and_not_taken_again(
    clinic: Clinic, tmp_path: Path
) -> None:
    host, port = clinic.office.gateway.address
    code = (await invite(clinic.office, device="hub-1", role="hub"))["code"]
    async with HubProcess(tmp_path / "hub", f"http://{host}:{port}", "--every", "0.2") as hub:
        await hub.start("--code", code)
        assert await push(hub, clinic.token, session("p-hub"), session("n-hub", "neighbour")) == []
        await hub.until(is_even)
        await clinic.office.project()
        assert PLANTED.encode() in bytes_below(hub.data_dir)

        await clinic.run(await clinic.confirmed())
        async with asyncio.timeout(20):
            while not clinic.office.rows(DONE):  # noqa: ASYNC110 (nobody tells)
                await asyncio.sleep(0.05)

        (refused,) = await push(hub, clinic.token, session("p-hub"), session("n-2", "neighbour"))
        assert (refused["id"], refused["error"], refused["reason"]) == ("session:p-hub", "forbidden", REASON)
        await hub.until(is_even)
        assert hub.stop() == 0
        left = bytes_below(hub.data_dir)
    assert PLANTED.encode() not in left
    assert {name for name in ("p-hub", "n-hub", "n-2") if f"session:{name}".encode() in left} == {
        "n-hub",
        "n-2",
    }
    assert await clinic.neighbours() == [
        "consent:n-c",
        *(f"session:n-{name}" for name in ("1", "2", "conflict", "hub")),
    ]
