"""`sync-server provision` where nothing can be provisioned: a sentence, exit code 2, no secret."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from replication.http.access import allow_everything
from sync_server.identity.signing_key_file import load_or_create_signing_key
from tests.contract.couch import embedded_in
from tests.gateway.processes import Ended, invoke

COUCHDB = {"couchdb": "Welcome", "version": "3.5.0", "vendor": {"name": "The Apache Software Foundation"}}
NODES = {"all_nodes": ["one"], "cluster_nodes": ["one"]}
ADMIN = {"userCtx": {"name": "admin", "roles": ["_admin"]}, "info": {"authentication_handlers": ["cookie"]}}
ANSWERS: dict[str, Any] = {
    "/": COUCHDB,
    "/_session": ADMIN,
    "/_membership": NODES,
    "/_all_dbs": [],
    "/_cluster_setup": {"state": "cluster_finished"},
}
"""What a CouchDB in order answers, up to where the look begins."""


@contextlib.asynccontextmanager
async def answering(answers: Mapping[str, Any]) -> AsyncIterator[str]:
    """A server with these answers, for what does not start in a second: an old CouchDB, half a cluster."""

    async def answer(request: web.Request) -> web.Response:
        if request.path not in answers:
            return web.json_response({"error": "unauthorized", "reason": "x"}, status=401)
        told = answers[request.path]
        return web.Response(text=told) if isinstance(told, str) else web.json_response(told)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    async with TestServer(app, host="127.0.0.1") as server:
        yield f"127.0.0.1:{server.port}"


@pytest.fixture
def env(database_url: str, redis_url: str, tmp_path: Path) -> dict[str, str]:
    return {"DATABASE_URL": database_url, "REDIS_URL": redis_url, "DATA_DIR": str(tmp_path)}


async def provision(env: dict[str, str], address: str, *options: str) -> Ended:
    urls = {
        "COUCHDB_URL": f"http://sync:s3cret@{address}",
        "COUCHDB_ADMIN_URL": f"http://admin:s3cret@{address}",
    }
    ended = await asyncio.to_thread(invoke, "provision", "--check", *options, env=env | urls)
    assert "s3cret" not in ended.out + ended.err
    return ended


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({}, "does not accept the password of 'admin'"),
    ({"/": {"express-pouchdb": "Welcome!", "version": "4.2.0"}}, "no Apache CouchDB, but express-pouchdb"),
    ({"/": "<html>a proxy's page</html>"}, "is no Apache CouchDB"),
    ({"/": COUCHDB | {"version": "2.3.1"}}, "is CouchDB 2.3.1; this needs 3.3 or newer"),
    ({**ANSWERS, "/_session": {"userCtx": {"name": "a", "roles": ["x"]}}}, "'admin' is no server admin"),
    ({**ANSWERS, "/_cluster_setup": {"state": "cluster_disabled"}}, "is not set up: finish it first"),
    (
        {**ANSWERS, "/_membership": {"all_nodes": ["one"], "cluster_nodes": ["one", "two"]}},
        "Nodes that are down: two.",
    ),
]


async def test_what_cannot_be_provisioned_is_told_with_what_to_do(env: dict[str, str]) -> None:
    for answers, sentence in REFUSED:
        async with answering(answers) as address:
            ended = await provision(env, address)
        ended.failed_with(sentence)
        assert (ended.code, ended.out) == (2, ""), sentence
    (await provision(env, "127.0.0.1:1")).failed_with("http://127.0.0.1:1 gives no answer")
    (await provision(env, "127.0.0.1:1", "--site", "lima")).failed_with("There is no open site lima")
    async with embedded_in(Path(env["DATA_DIR"]) / "store", allow_everything) as ours:
        ended = await provision(env, ours.base.removeprefix("http://"))
    ended.failed_with("no Apache CouchDB, but Metricis Sync")


def test_missing_settings_are_told(env: dict[str, str]) -> None:
    invoke("provision", env=env).failed_with("COUCHDB_URL is not set", "needs no provisioning")
    one = env | {"COUCHDB_URL": "http://sync:x@127.0.0.1:1"}
    invoke("provision", env=one).failed_with("COUCHDB_ADMIN_URL is not set", "https://admin:password@")
    without = one | {"COUCHDB_ADMIN_URL": "http://127.0.0.1:1"}
    invoke("provision", env=without).failed_with("COUCHDB_ADMIN_URL has no login")
    nobody = without | {"COUCHDB_URL": "http://127.0.0.1:1"}
    invoke("provision", env=nobody).failed_with("COUCHDB_URL has no login")
    unsafe = one | {"COUCHDB_DIRECT": "true", "COUCHDB_VALIDATION": "false"}
    invoke("provision", env=unsafe).failed_with("COUCHDB_VALIDATION must be on with COUCHDB_DIRECT")
    both = one | {"COUCHDB_ADMIN_URL": "http://a:b@127.0.0.1:1"}
    own = load_or_create_signing_key(Path(env["DATA_DIR"])).verifier.key_id
    invoke("provision", "--retire-key", own, env=both).failed_with(own, "in force", "change the key first")
    away = one | {"COUCHDB_ADMIN_URL": "http://a:b@127.0.0.1:1", "DATABASE_URL": "postgresql://127.0.0.1:1/x"}
    invoke("provision", env=away).failed_with("Postgres failed")
