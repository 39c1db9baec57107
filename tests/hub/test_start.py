"""How a hub starts, and what it says where it cannot."""

import asyncio
import ssl
import subprocess
import sys
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from sync_server.hub.centre import Centre
from sync_server.hub.membership import NotEnrolled, enrolled, load
from sync_server.hub.settings import HubSettings
from tests.gateway.processes import Ended, run
from tests.hub.processes import HubProcess
from tests.hub.rig import FakeCentre, token

CODE = "K7QF-M2XD-9TBV"


class Enrolling:
    """A centre that redeems one code."""

    def __init__(self, centre: FakeCentre, token_: str) -> None:
        self.centre = centre
        self.token = token_
        self.device = "hub-1"
        self.redeemed: list[dict[str, str]] = []

    def app(self) -> web.Application:
        app = self.centre.app()
        app.router.add_post("/api/sync/enrol", self._enrol)
        return app

    async def _enrol(self, request: web.Request) -> web.Response:
        told = await request.json()
        if told["code"] != CODE:
            error = {"error": {"code": "not_allowed", "message": "This code is not valid.", "details": None}}
            return web.json_response(error, status=403)
        self.redeemed.append(told)
        answer = {"device": self.device, "site": "lima", "token": self.token}
        return web.json_response({**answer, "database": "site-lima", "hubs": []}, status=201)


async def _ended(*arguments: str) -> Ended:
    """A hub that ends by itself."""
    return await asyncio.to_thread(run, "hub", *arguments)


async def _ca(hub: HubProcess) -> str:
    async with aiohttp.ClientSession() as session, session.get(f"{hub.base_url}/ca.pem", ssl=False) as answer:
        return await answer.text()


async def _seen(hub: HubProcess, authority: ssl.SSLContext) -> int:
    """The status of a tablet's request that trusts this authority alone."""
    async with (
        aiohttp.ClientSession(headers={"Authorization": f"Bearer {token('tab-1')}"}) as session,
        session.get(f"{hub.base_url}/db/site-lima", ssl=authority) as answer,
    ):
        return answer.status


async def test_a_hub_enrols_once_serves_over_tls_and_stops_in_order(
    tmp_path: Path, centre: FakeCentre
) -> None:
    enrolling = Enrolling(centre, token("hub-1", role="hub"))
    async with TestServer(enrolling.app()) as server:
        url = str(server.make_url("/"))
        async with HubProcess(tmp_path / "hub", url, "--site-ca", scheme="https") as hub:
            hub.data_dir.mkdir(mode=0o755)
            await hub.start("--code", CODE)
            status = await hub.until(lambda status: status["link"]["up"])
            files = [each for each in hub.data_dir.rglob("*") if each.is_file()]
            assert {"hub.sqlite", "hub.sqlite-wal"} < {each.name for each in files}
            assert [each for each in files if each.stat().st_mode & 0o077] == []
            fingerprint = status["certificate_fingerprint"]
            assert fingerprint.startswith("sha256:")
            assert centre.reports[0]["ca_fingerprint"] == fingerprint
            assert status["urls"] == [hub.base_url]

            second = await _ended("--centre", url, "--site", "lima", "--data-dir", str(hub.data_dir))
            second.failed_with("served by another process")

            authority = ssl.create_default_context(cadata=await _ca(hub))
            assert await _seen(hub, authority) == 200
            assert hub.stop() == 0
            # Neither the code nor the installation is needed again, and the authority stays the same.
            await hub.start()
            assert (await hub.until(lambda status: status["ready"]))["certificate_fingerprint"] == fingerprint
            assert await _seen(hub, authority) == 200
            assert hub.stop() == 0

        with pytest.raises(NotEnrolled, match="enrolled at lima, not at quito"):
            await enrolled(HubSettings(site="quito", centre=url, data_dir=hub.data_dir), None)  # type: ignore[arg-type]
    assert len(enrolling.redeemed) == 1
    kept = tmp_path / "hub" / "hub.json"
    assert kept.stat().st_mode & 0o777 == 0o600
    assert token("hub-1", role="hub").split(".")[0] in kept.read_text()


@pytest.mark.parametrize(
    ("told", "reason"),
    [
        ({}, "give it once as --code"),
        ({"code": "another"}, "This code is not valid"),
        ({"code": CODE}, "enrols a tablet"),
        ({"code": CODE, "centre": "http://127.0.0.1:9"}, "no answer"),
    ],
)
async def test_a_hub_that_cannot_enrol_says_why_and_keeps_no_credential(
    tmp_path: Path, centre: FakeCentre, told: dict[str, str], reason: str
) -> None:
    enrolling = Enrolling(centre, token("tab-1"))
    async with TestServer(enrolling.app()) as server, aiohttp.ClientSession() as session:
        here: dict[str, Any] = {
            "site": "lima",
            "centre": str(server.make_url("/")).rstrip("/"),
            "data_dir": tmp_path,
        }
        settings = HubSettings(**{**here, **told})
        with pytest.raises(NotEnrolled, match=reason):
            await enrolled(settings, Centre(session, settings.centre, None))
    assert not (tmp_path / "hub.json").exists()


async def test_a_code_is_redeemed_once_and_a_new_one_replaces_the_credential(
    tmp_path: Path, centre: FakeCentre
) -> None:
    enrolling = Enrolling(centre, token("hub-1", role="hub"))
    async with TestServer(enrolling.app()) as server, aiohttp.ClientSession() as session:
        settings = HubSettings(
            site="lima", centre=str(server.make_url("/")).rstrip("/"), data_dir=tmp_path, code=CODE
        )
        there = Centre(session, settings.centre, None)
        first = await enrolled(settings, there)
        assert await enrolled(settings, there) == first
        assert len(enrolling.redeemed) == 1
        # Power went before the credential was kept: the same installation redeems the code once more.
        (tmp_path / "hub.json").unlink()
        await enrolled(settings, there)
        assert enrolling.redeemed[0] == enrolling.redeemed[1]
        with pytest.raises(NotEnrolled, match="not valid"):
            await enrolled(msgspec.structs.replace(settings, code="another"), there)
        assert load(tmp_path) == first
        # Started with a new code while there is no link: tablets go on with the hub, the code waits.
        away = msgspec.structs.replace(settings, code="another", centre="http://127.0.0.1:9")
        assert await enrolled(away, Centre(session, away.centre, None)) == first
        assert load(tmp_path) == first
        # What was erased while the hub was revoked is kept for its name.
        enrolling.device = "hub-2"
        (tmp_path / "hub.json").write_bytes(
            msgspec.json.encode({**msgspec.to_builtins(first), "code_sha256": ""})
        )
        with pytest.raises(NotEnrolled, match="is the hub hub-1, and the code is for hub-2"):
            await enrolled(settings, there)


def test_a_hub_needs_neither_postgres_nor_redis() -> None:
    loaded = (
        "import sys, sync_server.cli.hub; print(*{'psycopg', 'sqlalchemy', 'redis', 'rq'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", loaded], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
