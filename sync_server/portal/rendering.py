"""Templates: one environment, everything escaped, nothing undefined goes unnoticed.

A template is given `t` (the texts of the reader's language), `ui` (macros, `ui.html`), `page`, `who`, and
what the page's view returns. Its blocks can be rendered alone: that is what a live part is.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

import segno
from aiohttp import web
from jinja2 import Environment, PackageLoader, StrictUndefined

from sync_server.portal.addresses import ADDRESSES, with_query
from sync_server.portal.cookie import PATH
from sync_server.portal.excerpts import place_of
from sync_server.portal.pages import Page
from sync_server.portal.readable import pretty, program, text_of
from sync_server.portal.signing_in import Who
from sync_server.portal.signs import signs_of
from sync_server.portal.static_files import StaticFiles
from sync_server.portal.texts import Texts

_OTHER_EACH_TIME = re.compile(r'name="(?:token|key)" value="[^"]*"')


def state_of(parts: Sequence[str]) -> str:
    """What parts show, in a few characters each; tokens of forms are other ones each time."""
    shown = (_OTHER_EACH_TIME.sub("", part).encode() for part in parts)
    return ".".join(hashlib.sha256(each).hexdigest()[:8] for each in shown)


class Link(NamedTuple):
    """An entry of the navigation."""

    name: str
    path: str
    is_current: bool


class Rendering:
    """Turns pages into HTML."""

    def __init__(self, navigation: Sequence[Page]) -> None:
        self.static = StaticFiles()
        self._navigation = navigation
        self._environment = Environment(
            loader=PackageLoader("sync_server.portal"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        self._environment.globals.update(
            {
                "static": self.static.url,
                "home": f"{PATH}/",
                "qr": qr_path,
                "spark": spark_bars,
                "signs_of": lambda device: signs_of(device, datetime.now(UTC)),
                "text_of": text_of,
                "pretty": pretty,
                "program": program,
                "place_of": place_of,
                **ADDRESSES,
            }
        )

    def page(self, page: Page, template: str, texts: Texts, values: Mapping[str, Any]) -> str:
        """A whole page; of one with live parts, with the address of their stream."""
        if not page.live or template != page.template:
            return self.html(template, texts, values)
        state = state_of(self.parts(template, page.live, texts, values))
        url = with_query(values["here"], live=state)
        return self.html(template, texts, {**values, "live_url": url})

    def html(self, template: str, texts: Texts, values: Mapping[str, Any]) -> str:
        """A template, whole."""
        return self._environment.get_template(template).render(self._context(texts, values))

    def parts(
        self, template: str, names: Sequence[str], texts: Texts, values: Mapping[str, Any]
    ) -> list[str]:
        """Blocks of a page, each by itself."""
        found = self._environment.get_template(template)
        context = found.new_context(self._context(texts, values))
        return ["".join(found.blocks[name](context)) for name in names]

    def navigation(self, page: Page | None, who: Who) -> list[Link]:
        """The pages that somebody may see."""
        if who.caller.password_is_temporary:
            return []
        area = None if page is None else page.area or page.name
        return [
            Link(each.name, each.path, each.name == area)
            for each in self._navigation
            if each.may_be_seen(who.caller)
        ]

    def _context(self, texts: Texts, values: Mapping[str, Any]) -> dict[str, Any]:
        own = {"t": texts, "page": None, "who": None, "links": [], "done": None, "live_url": None, **values}
        own["ui"] = self._environment.get_template("ui.html").make_module(own)
        return own


class Qr(NamedTuple):
    """A QR code as one path of squares: so many modules wide, its margin included."""

    size: int
    path: str


def qr_path(text: str) -> Qr:
    """The QR code of a text."""
    rows = list(segno.make(text, error="m", micro=False).matrix_iter(border=4))
    squares = [f"M{x} {y}h1v1h-1z" for y, row in enumerate(rows) for x, dark in enumerate(row) if dark]
    return Qr(len(rows), "".join(squares))


class Bar(NamedTuple):
    """A bar of a small chart, in its units: 100 high, 10 a bar."""

    x: int
    y: float
    height: float
    value: float


def spark_bars(values: Sequence[float]) -> list[Bar]:
    """Bars of values, the highest as high as there is room; nothing is a line, so that it is seen."""
    highest = max([*values, 1])
    heights = [max(1.5, round(96 * value / highest, 1)) for value in values]
    return [
        Bar(10 * number, round(100 - height, 1), height, value)
        for number, (value, height) in enumerate(zip(values, heights, strict=True))
    ]


RENDERING = web.AppKey("rendering", Rendering)
