"""An Apache CouchDB that is after the test what it was before, where `TEST_COUCHDB_URL` names one."""

import os
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit, urlunsplit

import psycopg
import pytest

from tests.contract.couch import Couch, apache

APACHE = os.environ.get("TEST_COUCHDB_URL", "")
RESTARTING = ("chttpd", "server_options")
"""Put back last: CouchDB's listener restarts, and works with the other values from then on."""
SECTIONS = ("couchdb", "chttpd", "jwt_auth", "jwt_keys")


@pytest.fixture
async def theirs() -> AsyncIterator[Couch]:
    """The CouchDB, as its admin. Configuration, system databases and users are put back."""
    if not APACHE:
        pytest.skip("TEST_COUCHDB_URL names no Apache CouchDB")
    async with apache(APACHE) as couch:
        before = await _configuration(couch)
        security = await _get(couch, "/_replicator/_security")
        yield couch
        after = await _configuration(couch)
        await couch.call("PUT", "/_replicator/_security", body=security)
        for key in sorted(after.keys() - before.keys(), key=RESTARTING.__eq__):
            await couch.call("DELETE", _config(*key))
        for key, value in before.items() - after.items():
            await couch.call("PUT", _config(*key), body=value)


async def _configuration(couch: Couch) -> dict[tuple[str, str], str]:
    told = await _get(couch, "/_node/_local/_config")
    return {(s, key): value for s in SECTIONS for key, value in told.get(s, {}).items()}


async def _get(couch: Couch, path: str) -> Any:
    return (await couch.call("GET", path)).ok()


def _config(section: str, key: str) -> str:
    return f"/_node/_local/_config/{section}/{quote(key, safe='')}"


class Deployment:
    """Settings of a deployment on that CouchDB with two open sites of its own."""

    def __init__(self, env: dict[str, str], user: str, sites: tuple[str, str]) -> None:
        self.env = env
        self.user = user
        self.sites = sites

    @property
    def service_url(self) -> str:
        """The CouchDB with the service user's login."""
        return self.env["COUCHDB_URL"]


@pytest.fixture
async def deployment(
    theirs: Couch, database_url: str, redis_url: str, tmp_path: Path
) -> AsyncIterator[Deployment]:
    """A deployment whose CouchDB has nothing of it yet."""
    name = uuid.uuid4().hex[:8]
    user, sites = f"provision-{name}", (f"provision-{name}-lima", f"provision-{name}-quito")
    parts = urlsplit(APACHE)
    address = parts.netloc.rpartition("@")[2]
    env = {
        "DATABASE_URL": database_url,
        "REDIS_URL": redis_url,
        "DATA_DIR": str(tmp_path),
        "COUCHDB_ADMIN_URL": APACHE,
        "COUCHDB_URL": urlunsplit(parts._replace(netloc=f"{user}:%7Bs%3Acret%7D@{address}")),
    }
    with psycopg.connect(database_url, autocommit=True) as connection:
        for site in sites:
            connection.execute("INSERT INTO sites (code) VALUES (%s)", [site])
    yield Deployment(env, user, sites)
    path = f"/_users/org.couchdb.user:{user}"
    document = await theirs.call("GET", path)
    if document.status == 200:
        await theirs.call("DELETE", path, query={"rev": document.json["_rev"]})
    for site in sites:
        await theirs.call("DELETE", f"/site-{site}")
