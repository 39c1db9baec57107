"""Parts of pages as they change, and what ends them."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from typing import Any

import aiohttp
import pytest

from sync_server.errors import TooMany
from sync_server.portal.live import MOST_OF_A_LOGIN, Pace
from tests.portal.browser import Browser
from tests.portal.conftest import Portal

pytestmark = pytest.mark.asyncio(loop_scope="session")


class Stream:
    """Server-sent events, one after the other."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self.response = response
        self.last_id = ""

    async def next(self) -> tuple[str, Any]:
        """Name and data of the next event; ("closed", None) at the end."""
        event: dict[str, str] = {}
        async with asyncio.timeout(60):
            async for line in self.response.content:
                name, _, value = line.decode().rstrip("\n").partition(": ")
                if name:
                    event[name] = value
                elif "event" in event:
                    self.last_id = event.get("id", self.last_id)
                    return event["event"], json.loads(event["data"])
                else:
                    event = {}
        return "closed", None


@asynccontextmanager
async def following(browser: Browser, path: str, **headers: str) -> AsyncIterator[Stream]:
    sent = {"Accept": "text/event-stream", **headers}
    async with browser.session.get(browser.base + path, headers=sent) as response:
        assert response.status == 200
        assert response.headers["Content-Type"] == "text/event-stream"
        yield Stream(response)


async def test_a_part_is_sent_when_it_changes_and_once_and_after_a_broken_line_what_was_missed(
    portal: Portal,
) -> None:
    browser = await portal.signed_in("livia@example.org")
    page = await browser.get("/portal/sites/lima")
    found = re.search(r'data-live="([^"]+)"', page.text)
    assert found is not None
    path = found[1].replace("&amp;", "&")
    asked = {"Accept": "text/event-stream"}
    async with asyncio.timeout(60), browser.session.head(browser.base + path, headers=asked) as headers:
        assert headers.content_type == "text/html"
    async with following(browser, path) as stream:
        portal.rows("UPDATE device_labels SET label = 'violet case <b>' WHERE device = 'tablet-2'")
        name, part = await stream.next()
        assert (name, part["name"]) == ("part", "tablets")
        assert "violet case &lt;b&gt;" in part["html"]
        state = stream.last_id
    assert len(state.split(".")) == 3
    portal.rows("UPDATE checkpoints SET pending = 77 WHERE site = 'lima'")
    async with following(browser, path, **{"Last-Event-ID": state}) as stream:
        name, part = await stream.next()
        assert (name, part["name"], "77" in part["html"]) == ("part", "health", True)
        portal.rows(
            "UPDATE logins SET ended_at = now(), end_reason = 'ended' FROM users"
            " WHERE users.id = person AND email = 'livia@example.org'"
        )
        assert await stream.next() == ("over", {})
        assert await stream.next() == ("closed", None)
    # A script is not told a status: who comes again after a broken line is told so as well.
    async with following(browser, path, **{"Last-Event-ID": state}) as stream:
        assert await stream.next() == ("over", {})
        assert await stream.next() == ("closed", None)


async def test_a_login_has_so_many_streams_and_one_that_ends_makes_room() -> None:
    pace = Pace()
    with ExitStack() as open_ones:
        for _ in range(MOST_OF_A_LOGIN):
            open_ones.enter_context(pace.following("one"))
        with pytest.raises(TooMany), pace.following("one"):
            pass
        with pace.following("other"):
            pass
    with pace.following("one"):
        pass


async def test_a_stream_tells_nothing_to_whoever_has_a_temporary_password(portal: Portal) -> None:
    browser = await portal.signed_in("nina@example.org")
    portal.rows("UPDATE users SET password_is_temporary = true WHERE email = 'nina@example.org'")
    async with following(browser, "/portal/sites/lima?live=nothing") as stream:
        assert await stream.next() == ("over", {})
        assert await stream.next() == ("closed", None)
