"""From where and with what somebody calls, as it is kept: behind a proxy, with headers that are no text."""

import asyncio

import msgspec
import pytest

from sync_server.keys import ACTIVITY
from sync_server.settings import Settings
from tests.administration.office import Office
from tests.administration.people import EMAIL, PASSWORD, bearer, join, tokens


@pytest.fixture
def office_settings(office_settings: Settings) -> Settings:
    """As it runs behind a proxy on this machine."""
    return msgspec.structs.replace(office_settings, trusted_proxies=("127.0.0.0/8",))


async def send(office: Office, head: bytes, body: bytes = b"") -> bytes:
    """A request as bytes; the status line."""
    reader, writer = await asyncio.open_connection(*office.gateway.address)
    about = b"\r\nHost: host\r\nConnection: close\r\nUser-Agent: app \xff"
    about += b"\r\nX-Forwarded-For: made up, 203.0.113.9"
    writer.write(head + about + b"\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    told = await reader.read()
    writer.close()
    return told.partition(b"\r\n")[0]


async def test_address_behind_a_proxy_and_odd_app_of_logins_and_devices_are_kept(office: Office) -> None:
    office.study("SRO", "lima")
    join(office)
    form = f"username={EMAIL}&password={PASSWORD.replace(' ', '+')}".encode()
    login = b"POST /api/auth/login HTTP/1.1\r\nContent-Type: application/x-www-form-urlencoded"
    assert await send(office, login, form) == b"HTTP/1.1 200 OK"
    assert office.rows("SELECT address, user_agent FROM logins") == [("203.0.113.9", "app ?")]

    told = await bearer(office.api, await tokens(office.api)).get("/api/user-sessions")
    assert {row["address"] for row in told.body["data"]} == {"127.0.0.1", "203.0.113.9"}

    await office.gateway.open_site("lima")
    devices = {name: await office.gateway.enrol("lima", name) for name in ("tab-1", "tab-2")}
    get = b"GET /db/site-lima HTTP/1.1\r\nAuthorization: Bearer "
    assert await send(office, get + devices["tab-1"].encode()) == b"HTTP/1.1 200 OK"
    assert (await office.gateway.call("GET", "/site-lima", token=devices["tab-2"])).status == 200
    await office.gateway.app[ACTIVITY].write()
    seen = office.rows("SELECT device, address, app LIKE 'app _' FROM device_activity ORDER BY device")
    assert seen == [("tab-1", "203.0.113.9", True), ("tab-2", "127.0.0.1", False)]
