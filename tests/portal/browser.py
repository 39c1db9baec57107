"""Somebody with a browser that runs no script: cookies, pages, forms as they stand in the HTML."""

import re
from collections.abc import Mapping
from html.parser import HTMLParser
from typing import Any, NamedTuple

import aiohttp
from multidict import CIMultiDictProxy
from yarl import URL

PASSWORD = "correct horse battery"


class Shown(NamedTuple):
    """A page as it came."""

    status: int
    text: str
    headers: CIMultiDictProxy[str]
    url: URL

    def form(self, name: str) -> dict[str, str]:
        """The hidden fields of a form: its name, token, key and the like."""
        return self.forms(name)[0]

    def forms(self, name: str) -> list[dict[str, str]]:
        """The hidden fields of all forms of this name."""
        parser = _Forms()
        parser.feed(self.text)
        return [fields for fields in parser.forms if fields.get("form") == name]

    @property
    def main(self) -> str:
        """What is not the page's head and navigation."""
        return self.text[self.text.index("<main") :]


class Browser:
    """A browser of its own: nobody is signed in."""

    def __init__(self, base: str) -> None:
        self.base = base
        self.session = aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True))

    async def close(self) -> None:
        await self.session.close()

    async def get(self, path: str, *, follow: bool = True, **headers: str) -> Shown:
        return await self._shown("GET", path, None, follow=follow, headers=headers)

    async def post(
        self, path: str, fields: Mapping[str, str], *, follow: bool = True, **headers: str
    ) -> Shown:
        """Header names with `_` for `-`."""
        return await self._shown("POST", path, dict(fields), follow=follow, headers=headers)

    async def send(self, page: Shown, form: str, /, **fields: str) -> Shown:
        """Fill in a form of a page and send it to the page."""
        return await self.post(str(page.url.relative()), {**page.form(form), **fields})

    async def sign_in(self, email: str, password: str = PASSWORD, **fields: str) -> Shown:
        token = re.search(r'name="token" value="([^"]+)"', (await self.get("/portal/sign-in")).text)
        assert token is not None
        posted = {"token": token[1], "email": email, "password": password, **fields}
        return await self.post("/portal/sign-in", posted)

    def cookie(self, name: str = "portal") -> str | None:
        found = {each.key: each.value for each in self.session.cookie_jar}
        return found.get(name)

    async def _shown(self, method: str, path: str, data: Any, *, follow: bool, headers: Any) -> Shown:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        async with self.session.request(
            method, self.base + path, data=data, headers=sent, allow_redirects=follow
        ) as response:
            return Shown(response.status, await response.text(), response.headers, response.url)


class _Forms(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.forms: list[dict[str, str]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "form":
            self.forms.append({})
        elif tag == "input" and given.get("type") == "hidden" and self.forms:
            self.forms[-1][str(given["name"])] = given.get("value") or ""
