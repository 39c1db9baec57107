"""Calling the API in tests: who calls, and what came back."""

import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from aiohttp.test_utils import TestClient
from multidict import CIMultiDictProxy

from sync_server.identity.access_tokens import Person, issue_access_token
from sync_server.identity.device_credentials import SigningKey
from sync_server.settings import Settings

EMAIL = "ada@example.org"
PASSWORD = "correct horse battery"
KEY = SigningKey.generate()


class Answer(NamedTuple):
    """An answer, read to its end; `body` is its JSON, or its text where it is none."""

    status: int
    body: Any
    headers: CIMultiDictProxy[str]

    @property
    def error(self) -> tuple[int, str]:
        """(status, error code), once the shape of an error is checked."""
        assert set(self.body) == {"error"}, self.body
        assert set(self.body["error"]) == {"code", "message", "details"}
        assert self.body["error"]["message"]
        assert self.headers["Content-Type"].startswith("application/json")
        return self.status, self.body["error"]["code"]

    @property
    def details(self) -> Any:
        return self.body["error"]["details"]

    @property
    def ids(self) -> list[str]:
        """The ids on a page."""
        return [row["id"] for row in self.body["data"]]


class Api:
    """A client with the headers of the one who calls."""

    def __init__(self, client: TestClient[Any, Any], headers: Mapping[str, str]) -> None:
        self.client = client
        self.headers = headers

    def sending(self, **headers: str) -> "Api":
        """The same client with these headers alone, `_` for `-`."""
        return Api(self.client, {name.replace("_", "-"): value for name, value in headers.items()})

    async def get(self, path: str, **params: str) -> Answer:
        return await self.call("GET", path, params=params)

    async def call(self, method: str, path: str, **options: Any) -> Answer:
        async with self.client.request(method, path, headers=self.headers, **options) as response:
            text = await response.text()
            try:
                body = json.loads(text)
            except ValueError:
                body = text
            return Answer(response.status, body, response.headers)


def person_headers(person: int, settings: Settings, *, now: datetime) -> dict[str, str]:
    """The headers of a person who logged in at `now`."""
    token = issue_access_token(
        Person(id=person, email=EMAIL, role="researcher"),
        secret=settings.jwt_secret_key,
        algorithm=settings.jwt_algorithm,
        now=now,
        lifetime=timedelta(minutes=30),
        token_id="t1",
    )
    return {"Authorization": f"Bearer {token}"}
