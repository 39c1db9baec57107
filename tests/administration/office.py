"""A study team at work: the service with its store and projector, and people with roles in studies and sites.

answer = await office.as_("coordinator", study="SRO").post("/api/participants", {...})
"""

import uuid
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
from sqlalchemy import insert

from reporting.projection.pump import Pump
from reporting.tables import memberships
from sync_server.feed import CouchFeed
from sync_server.identity.access_tokens import Person, Role, issue_access_token
from sync_server.identity.users import insert_user
from sync_server.keys import SETTINGS
from tests.api.calls import Answer, Api
from tests.gateway.gateway import Gateway


class Member:
    """Somebody who is logged in."""

    def __init__(self, api: Api, email: str) -> None:
        self.api = api
        self.email = email

    async def get(self, path: str, **params: str) -> Answer:
        return await self.api.get(path, **params)

    async def post(self, path: str, body: Any = None, **headers: str) -> Answer:
        return await self._send("POST", path, body, headers)

    async def put(self, path: str, body: Any, **headers: str) -> Answer:
        return await self._send("PUT", path, body, headers)

    async def patch(self, path: str, body: Any, **headers: str) -> Answer:
        return await self._send("PATCH", path, body, headers)

    async def delete(self, path: str, body: Any = None, **headers: str) -> Answer:
        return await self._send("DELETE", path, body, headers)

    async def _send(self, method: str, path: str, body: Any, headers: Mapping[str, str]) -> Answer:
        """Header names with `_` for `-`: `If_Match="*"`."""
        sender = self.api.sending(**{**self.api.headers, **headers})
        return await sender.call(method, path, **({} if body is None else {"json": body}))


class Office:
    """The application on a port of its own, so that its API reaches its own store."""

    def __init__(self, gateway: Gateway, api: Api, feed: CouchFeed, connection: psycopg.Connection) -> None:
        self.gateway = gateway
        self.api = api
        self.feed = feed
        self.connection = connection
        self._members: dict[tuple[Role, str | None, str | None], Member] = {}

    def as_(self, role: Role, *, study: str | None = None, site: str | None = None) -> Member:
        """Somebody with this role, everywhere or in a study (which exists) or at one of its sites."""
        key = (role, study, site)
        if key not in self._members:
            self._members[key] = self._join(role, study, site)
        return self._members[key]

    def _join(self, role: Role, study: str | None, site: str | None) -> Member:
        email = f"{role}-{uuid.uuid4().hex[:8]}@clinic.example"
        everywhere = role if study is None else None
        with self.gateway.database() as engine, engine.begin() as connection:
            number = connection.execute(insert_user(email, "no hash", everywhere)).scalar_one()
            if study is not None:
                connection.execute(
                    insert(memberships).values(person=number, study=study, site=site, role=role)
                )
        settings = self.gateway.app[SETTINGS]
        token = issue_access_token(
            Person(id=number, email=email, role=everywhere),
            secret=settings.jwt_secret_key,
            algorithm=settings.jwt_algorithm,
            now=datetime.now(UTC),
            lifetime=timedelta(minutes=30),
            token_id=uuid.uuid4().hex,
        )
        return Member(self.api.sending(Authorization=f"Bearer {token}"), email)

    async def project(self) -> None:
        """Project all there is."""
        await Pump(self.feed, self.gateway.app[SETTINGS].database_url).drain()

    def rows(self, query: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """Ask Postgres, or change it."""
        cursor = self.connection.execute(query.encode(), parameters)
        return cursor.fetchall() if cursor.description else []

    def study(self, code: str, *sites: str) -> None:
        """A study that runs at these sites, which are made; without their databases."""
        self.rows("INSERT INTO studies (code, title) VALUES (%s, %s) ON CONFLICT DO NOTHING", code, code)
        for site in sites:
            self.rows("INSERT INTO sites (code) VALUES (%s) ON CONFLICT DO NOTHING", site)
            self.rows("INSERT INTO study_sites (study, site) VALUES (%s, %s)", code, site)
