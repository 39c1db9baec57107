"""Stylesheet, scripts and pictures: read once, named by their content, kept by browsers for ever.

    /portal/static/portal.3f9c2a1b.css      from static/portal.css

A script that imports another names it as the file is called; it is sent with the content's name. So a page of
yesterday and a file of today never meet, and a second page costs no file at all.
"""

import gzip
import hashlib
import re
from importlib import resources
from typing import Final, NamedTuple

from aiohttp import hdrs, web

from sync_server.portal.security import STATIC

_TYPES: Final = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
_IMPORTED: Final = re.compile(r'"\./([\w-]+\.js)"')
# Comments, and spaces that only order lines: not between selectors, not within texts.
_NOT_SENT: Final = re.compile(r"\s*/\*.*?\*/\s*|\n\s*|(?<=[{;:,]) | (?=[{}])|;? (?=\})", re.DOTALL)
_FOR_EVER: Final = "public, max-age=31536000, immutable"


class StaticFile(NamedTuple):
    """A file, as it is and compressed."""

    content_type: str
    content: bytes
    compressed: bytes


class StaticFiles:
    """All of them."""

    def __init__(self) -> None:
        self._sources = {
            path.name: path.read_text(encoding="utf-8")
            for path in resources.files("sync_server.portal").joinpath("static").iterdir()
            if path.name.rpartition(".")[2] in _TYPES
        }
        self._urls: dict[str, str] = {}
        self.files: dict[str, StaticFile] = {}
        for name in sorted(self._sources):
            self.url(name)

    def url(self, name: str) -> str:
        """Where a file is. Raises LookupError."""
        if name not in self._urls:
            text = _IMPORTED.sub(lambda found: f'"{self.url(found[1])}"', self._sources[name])
            stem, _, kind = name.rpartition(".")
            if kind == "css":
                text = _NOT_SENT.sub("", text)
            content = text.encode()
            served = f"{stem}.{hashlib.sha256(content).hexdigest()[:10]}.{kind}"
            self.files[served] = StaticFile(_TYPES[kind], content, gzip.compress(content, 9, mtime=0))
            self._urls[name] = f"{STATIC}/{served}"
        return self._urls[name]

    async def serve(self, request: web.Request) -> web.Response:
        """Answer with a file; compressed to whoever takes that."""
        found = self.files.get(request.match_info["file"])
        if found is None:
            raise web.HTTPNotFound
        takes_gzip = "gzip" in request.headers.get(hdrs.ACCEPT_ENCODING, "")
        headers = {hdrs.CACHE_CONTROL: _FOR_EVER, hdrs.VARY: hdrs.ACCEPT_ENCODING}
        if takes_gzip:
            headers[hdrs.CONTENT_ENCODING] = "gzip"
        return web.Response(
            body=found.compressed if takes_gzip else found.content,
            content_type=found.content_type,
            charset="utf-8",
            headers=headers,
        )
