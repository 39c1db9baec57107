"""One person's browser: what they see, and what went wrong in it without their noticing.

A visitor has a profile of their own (cookies, cache), a fixed time zone and language, and no animations. What
would be a defect on any page is noted in `complaints`, which the fixture `visit` wants empty at the end: a
script's error, a refusal by the Content-Security-Policy, an answer 5xx, a script, style or image that is not
there, a request to another host, and an alert: markup that was planted ran.
"""

from dataclasses import dataclass
from typing import Any, Final, Literal, Self
from urllib.parse import urljoin

from playwright.async_api import (
    Browser,
    BrowserContext,
    CDPSession,
    ConsoleMessage,
    Dialog,
    Page,
    Request,
    Response,
)

WIDE: Final = (1280, 800)
TABLET: Final = (820, 1180)
PHONE: Final = (320, 640)
"""1280 pixels at a zoom of 400 %."""

ZOOMED: Final = (640, 400)
"""1280 pixels at a zoom of 200 %."""

PATIENCE_MS: Final = 30_000
"""Nothing takes as long; a machine that has much else to do may."""


@dataclass(frozen=True)
class Line:
    """What lies between the visitor and the portal: bit/s and milliseconds."""

    down: int
    up: int
    latency_ms: int


SECOND_GENERATION: Final = Line(down=280_000, up=256_000, latency_ms=800)


class Visitor:
    """A person at `base_url`, with one page open (`page`)."""

    def __init__(self, base_url: str, context: BrowserContext, page: Page, devtools: CDPSession) -> None:
        self.base_url = base_url
        self.context = context
        self.page = page
        self.devtools = devtools
        self.complaints: list[str] = []
        self._finished: list[Request] = []
        page.on("pageerror", lambda error: self.complaints.append(f"{page.url}: {error}"))
        page.on("console", self._heard)
        page.on("dialog", self._asked_or_told)
        page.on("response", self._answered)
        page.on("request", self._asked)
        page.on("requestfinished", self._got)

    @classmethod
    async def arrive(
        cls,
        browser: Browser,
        base_url: str,
        *,
        size: tuple[int, int] = WIDE,
        colours: Literal["light", "dark"] = "light",
        language: str = "en-GB",
        javascript: bool = True,
        state: Any = None,
    ) -> Self:
        """A new person; with another one's `context.storage_state()` as `state` signed in as they are."""
        width, height = size
        context = await browser.new_context(
            base_url=base_url,
            viewport={"width": width, "height": height},
            color_scheme=colours,
            locale=language,
            timezone_id="UTC",
            reduced_motion="reduce",
            java_script_enabled=javascript,
            storage_state=state,
            service_workers="block",
        )
        context.set_default_timeout(PATIENCE_MS)
        page = await context.new_page()
        return cls(base_url, context, page, await context.new_cdp_session(page))

    async def open(self, path: str) -> Response:
        """Go to a path of the portal by its address; the answer."""
        answer = await self.page.goto(path)
        assert answer is not None
        return answer

    @property
    def path(self) -> str:
        """Where the visitor is now: path and query."""
        return self.page.url.removeprefix(self.base_url)

    async def resize(self, size: tuple[int, int]) -> None:
        """Turn the tablet, zoom, take another device."""
        width, height = size
        await self.page.set_viewport_size({"width": width, "height": height})

    async def change_colours(self, colours: Literal["light", "dark"]) -> None:
        """Change what the device prefers, as at nightfall."""
        await self.page.emulate_media(color_scheme=colours)

    async def on_line(self, line: Line | None) -> None:
        """Be on that line from now on; None is the machine's own."""
        await self.devtools.send(
            "Network.emulateNetworkConditions",
            {
                "offline": False,
                "latency": line.latency_ms if line else 0,
                "downloadThroughput": line.down / 8 if line else -1,
                "uploadThroughput": line.up / 8 if line else -1,
            },
        )

    async def received(self) -> dict[str, int]:
        """Bytes that came over the line so far, headers included, by path; none for what was cached."""
        bytes_by_path: dict[str, int] = {}
        for request in self._finished:
            sizes = await request.sizes()
            path = request.url.removeprefix(self.base_url)
            size = sizes["responseBodySize"] + sizes["responseHeadersSize"]
            bytes_by_path[path] = bytes_by_path.get(path, 0) + size
        return bytes_by_path

    async def leave(self) -> None:
        """Close the page and forget the profile."""
        await self.context.close()

    def _heard(self, message: ConsoleMessage) -> None:
        # Answers are judged by themselves.
        if message.type in {"error", "warning"} and "Failed to load resource" not in message.text:
            self.complaints.append(f"{self.page.url}: {message.text}")

    async def _asked_or_told(self, dialog: Dialog) -> None:
        # The portal asks before what is dangerous; markup that was planted in it tells.
        if dialog.type == "alert":
            self.complaints.append(f"{self.page.url} tells {dialog.message}")
        await dialog.accept()

    def _answered(self, response: Response) -> None:
        part_of_page = response.request.resource_type not in {"document", "fetch", "xhr", "eventsource"}
        if response.status >= 500 or (part_of_page and response.status >= 400):
            self.complaints.append(f"{response.request.method} {response.url}: {response.status}")

    def _got(self, request: Request) -> None:
        self._finished.append(request)

    def _asked(self, request: Request) -> None:
        if not request.url.startswith((urljoin(self.base_url, "/"), "data:")):
            self.complaints.append(f"{self.page.url} asks another host: {request.url}")
