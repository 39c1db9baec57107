"""The application, its projector and the people at it, as they work together."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
from aiohttp import web

from reporting.projection.pump import Pump
from sync_server.feed import CouchFeed
from sync_server.identity.access_tokens import Person, Role, issue_access_token
from sync_server.identity.users import insert_user
from sync_server.keys import SETTINGS
from tests.api.calls import Answer, Api
from tests.gateway.gateway import Gateway

READERS: tuple[Role, ...] = ("researcher", "read-only")
"""Roles that decide nothing."""

SITE = "lima"
DATABASE = "site-lima"


class Desk:
    """The service in this process, with the projector run when a test says so."""

    def __init__(self, gateway: Gateway, api: Api, feed: CouchFeed, connection: psycopg.Connection) -> None:
        self.gateway = gateway
        self.api = api
        self.feed = feed
        self.connection = connection
        self.tokens: dict[Role, str] = {}
        self.tablet = ""

    async def save(self, document: dict[str, Any], *path: str) -> None:
        """A tablet pushes a revision: `path` is the revision and its ancestors, newest first."""
        start, _, _ = path[0].partition("-")
        revisions = {"start": int(start), "ids": [rev.partition("-")[2] for rev in path]}
        body = {**document, "_rev": path[0], "_revisions": revisions}
        assert await self.gateway.push(DATABASE, body, token=self.tablet) == []

    async def project(self) -> None:
        """Project all there is."""
        await Pump(self.feed, self.gateway.app[SETTINGS].database_url).drain()

    async def get(self, path: str, *, role: Role = "read-only", **params: str) -> Answer:
        return await self._as(role).get(path, **params)

    async def post(self, path: str, body: Any, *, role: Role = "coordinator") -> Answer:
        return await self._as(role).call("POST", path, json=body)

    async def post_twice(self, path: str, body: Any) -> list[Answer]:
        """Two requests at the same moment, by status."""
        answers = await asyncio.gather(self.post(path, body), self.post(path, body))
        return sorted(answers, key=lambda answer: answer.status)

    def _as(self, role: Role) -> Api:
        return self.api.sending(Authorization=f"Bearer {self.tokens[role]}", X_Request_ID="r-7")

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        return self.connection.execute(query.encode()).fetchall()

    def state(self, doc_id: str) -> str:
        """What became of a document."""
        query = "SELECT state FROM documents WHERE site = %s AND doc_id = %s"
        found = self.connection.execute(query, [SITE, doc_id]).fetchone()
        assert found is not None
        return str(found[0])

    async def stored_corrections(self) -> list[str]:
        return [each for each in await self.gateway.stored(DATABASE) if each.startswith("correction:")]


def add_people(desk: Desk, app: web.Application) -> None:
    """One person a role."""
    roles: tuple[Role, ...] = ("admin", "coordinator", "researcher", "read-only")
    with desk.gateway.database() as engine, engine.begin() as connection:
        for role in roles:
            email = f"{role}@clinic.example"
            number = connection.execute(insert_user(email, "no hash", role)).scalar_one()
            desk.tokens[role] = issue_access_token(
                Person(id=number, email=email, role=role),
                secret=app[SETTINGS].jwt_secret_key,
                algorithm=app[SETTINGS].jwt_algorithm,
                now=datetime.now(UTC),
                lifetime=timedelta(minutes=30),
                token_id=role,
            )
