"""A real Apache CouchDB, where `TEST_COUCHDB_URL` names one: what is made, and what it then admits."""

import asyncio
import contextlib
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import psycopg
import pytest

from replication.client import CouchClient, basic_login
from reporting.sites import database_of
from sync_server.identity.device_credentials import DeviceCredential, SigningKey
from sync_server.identity.signing_key_file import load_or_create_signing_key, signing_key_path
from sync_server.provisioning.desired import login_of
from sync_server.provisioning.server import Server
from sync_server.site_databases import NotProvisioned, create_site_database
from tests.contract.couch import Couch
from tests.gateway.processes import Ended, invoke
from tests.provisioning.conftest import Deployment

BY_HAND = "function (newDoc) { throw({forbidden: 'nobody writes here'}); }"


async def provision(deployment: Deployment, *options: str, **settings: str) -> Ended:
    return await asyncio.to_thread(invoke, "provision", *options, env=deployment.env | settings)


async def test_a_second_run_finds_nothing_and_what_is_changed_by_hand_is_shown_and_mended(
    theirs: Couch, deployment: Deployment
) -> None:
    lima, quito = map(database_of, deployment.sites)
    checked = await provision(deployment, "--check")
    assert checked.code == 1
    assert "cret" not in checked.out + checked.err
    assert (await theirs.call("GET", f"/{lima}")).status == 404
    (await provision(deployment)).failed_with("repeat it with --yes")
    done = await provision(deployment, "--yes", "--site", deployment.sites[0])
    assert done.code == 0, (done.out, done.err)
    assert (await theirs.call("GET", f"/{quito}")).status == 404
    assert (await provision(deployment, "--yes", "--site", deployment.sites[1], COUCHDB_Q="3")).code == 0
    assert (await theirs.get(f"/{quito}")).ok()["cluster"]["q"] == 3
    again = await provision(deployment, "--yes", "--json")
    assert (again.code, json.loads(again.out)["applied"]) == (0, 0)
    assert (await provision(deployment, "--check")).code == 0
    kept = await provision(deployment, "--yes", COUCHDB_Q="3")
    assert kept.code == 1
    assert f"database {lima}, shards (q): 2, shall be 3" in kept.out
    (await provision(deployment, "--check", COUCHDB_N="2")).failed_with("COUCHDB_N=2, and there is one node")

    # By hand: somebody is let in, the rule and the index go, a limit and the user are changed.
    (await theirs.call("PUT", f"/{lima}/_security", body={"members": {"names": ["eve"]}})).ok()
    rule = (await theirs.get(f"/{lima}/_design/metricis")).ok()
    await theirs.call("PUT", f"/{lima}/_design/metricis", body=rule | {"validate_doc_update": BY_HAND})
    (await theirs.call("DELETE", f"/{lima}/_index/metricis-indexes/json/participant")).ok()
    config = "/_node/_local/_config/couchdb/max_document_size"
    (await theirs.call("PUT", config, body="8000000")).ok()
    user = f"/_users/org.couchdb.user:{deployment.user}"
    document = (await theirs.get(user)).ok()
    await theirs.call("PUT", user, body=document | {"password": "other", "roles": ["eve"]})
    drift = await provision(deployment, "--check", "--json")
    assert drift.code == 1
    told = json.loads(drift.out)
    assert {(step["what"], step["is"]) for step in told["steps"]} == {
        ("[couchdb] max_document_size", "8000000"),
        ("roles", "eve"),
        ("password", "another"),
        ("_security", "members names: eve"),
        ("index participant", "absent"),
        ("validate_doc_update", "another"),
    }
    mended = await provision(deployment, "--yes")
    assert mended.code == 0, (mended.out, mended.err)
    assert (await provision(deployment, "--check")).code == 0


async def test_the_service_user_may_do_what_the_service_does_and_no_admins_work(
    theirs: Couch, deployment: Deployment
) -> None:
    assert (await provision(deployment, "--yes")).code == 0
    lima = database_of(deployment.sites[0])
    headers = basic_login(*login_of(deployment.service_url))
    async with aiohttp.ClientSession() as session:
        service = Couch(theirs.base, session)

        async def call(method: str, path: str, body: Any = None) -> int:
            return (await service.call(method, path, body=body, headers=headers())).status

        found = {"selector": {"participant": "s1"}, "fields": ["_id"]}
        assert await call("PUT", f"/{lima}/study:SRO", {"type": "study"}) == 201
        assert await call("PUT", f"/{lima}/session:a", {"participant": "s1"}) == 201
        assert await call("PUT", f"/{lima}/_local/projector", {"epoch": "e"}) == 201
        assert await call("PUT", f"/{lima}/_security", (await theirs.get(f"/{lima}/_security")).ok()) == 200
        assert await call("POST", f"/{lima}/_find", found) == 200
        assert await call("POST", f"/{lima}/_compact", {}) == 202
        assert await call("GET", "/_all_dbs") == 200
        other = database_of(deployment.sites[1])
        job = {"source": f"{theirs.base}/{lima}", "target": f"{theirs.base}/{other}"}
        assert await call("PUT", f"/_replicator/{lima}", job) == 201
        made = f"/_replicator/{lima}"
        await theirs.call("DELETE", made, query=await revision(theirs, made))
        assert await call("PUT", f"/{lima}/_revs_limit", 1000) == 200
        # What takes a server admin: docs/COUCHDB.md says who does it instead.
        assert await call("GET", "/_db_updates") in (401, 403)
        assert await call("POST", f"/{lima}/_purge", {}) in (401, 403)
        assert await call("PUT", f"/{lima}/_purged_infos_limit", 1000) in (401, 403)
        assert await call("PUT", "/site-provision-new") in (401, 403)
        assert await call("GET", "/_scheduler/docs") in (401, 403)
        assert await call("GET", f"/_users/org.couchdb.user:{deployment.user}") in (401, 403)
        # Somebody without a login sees nothing, the names of databases neither.
        for path in ("/", "/_all_dbs", f"/{lima}"):
            assert (await service.call("GET", path)).status == 401
        assert (await service.call("GET", "/_up")).status == 200
        explained = (await service.call("POST", f"/{lima}/_explain", body=found, headers=headers())).ok()
        assert explained["index"]["name"] == "participant"

        client = CouchClient(session, theirs.base, headers=headers)
        await create_site_database(client, deployment.sites[0])
        with pytest.raises(NotProvisioned, match="run `sync-server provision`"):
            await create_site_database(client, "provision-nowhere")


async def restart_listener(couch: Couch) -> None:
    """CouchDB reads its authentication handlers when its listener starts; this one option restarts it."""
    handlers = (await couch.get("/_session")).ok()["info"]["authentication_handlers"]
    if "jwt" in handlers:
        return
    option = "/_node/_local/_config/chttpd/server_options"
    await couch.call("PUT", option, body="[{recbuf, undefined}, {nodelay, true}]")
    for _ in range(100):
        with contextlib.suppress(aiohttp.ClientError):
            if "jwt" in (await couch.get("/_session")).ok()["info"]["authentication_handlers"]:
                return
        await asyncio.sleep(0.05)


async def revision(couch: Couch, path: str) -> dict[str, str]:
    answer = await couch.call("GET", path)
    return {"rev": answer.json["_rev"]} if answer.status == 200 else {}


async def test_in_direct_mode_a_tablet_reaches_its_site_alone_until_it_is_revoked(
    theirs: Couch, deployment: Deployment, tmp_path: Path
) -> None:
    lima, quito = map(database_of, deployment.sites)
    key = load_or_create_signing_key(tmp_path)

    def token(of: SigningKey, device: str, role: Any = "tablet") -> str:
        credential = DeviceCredential(device, deployment.sites[0], role, f"{device}-{role}")
        with psycopg.connect(deployment.env["DATABASE_URL"], autocommit=True) as connection:
            connection.execute(
                "INSERT INTO devices (credential, device, site, role, token_sha256)"
                " VALUES (%s, %s, %s, %s, '')",
                [credential.id, device, credential.site, role],
            )
        return of.sign(credential, now=datetime.now(UTC))

    tablet, hub, foreign = token(key, "tab-1"), token(key, "hub-1", "hub"), token(SigningKey.generate(), "x")
    service = key.sign(DeviceCredential("service", None, "service", "s"), now=datetime.now(UTC))
    async with aiohttp.ClientSession() as session:
        plain = Couch(theirs.base, session)

        async def call(who: str, method: str, path: str, body: Any = None) -> int:
            sent = {"Authorization": f"Bearer {who}"}
            return (await plain.call(method, path, body=body, headers=sent)).status

        assert (await provision(deployment, "--yes")).code == 0
        assert await call(tablet, "GET", f"/{lima}") in (400, 401)
        done = await provision(deployment, "--yes", COUCHDB_DIRECT="true")
        assert "READ EVERYTHING" in done.out
        await restart_listener(theirs)
        assert (await provision(deployment, "--check", COUCHDB_DIRECT="true")).code == 0

        assert await call(tablet, "PUT", f"/{lima}/session:a", {"type": "session"}) == 201
        assert await call(tablet, "PUT", f"/{lima}/device:tab-1", {}) == 201
        assert await call(tablet, "PUT", f"/{lima}/_local/checkpoint", {}) == 201
        assert await call(tablet, "GET", f"/{lima}/_changes?include_docs=true") == 200
        assert await call(hub, "PUT", f"/{lima}/device:tab-2", {}) == 201
        for path in ("device:tab-9", "study:SRO", "correction:a:1", "_design/x"):
            assert await call(tablet, "PUT", f"/{lima}/{path}", {}) in (401, 403), path
        # CouchDB answers whoever is no admin with 500 here; what counts is that it stays.
        assert await call(tablet, "PUT", f"/{lima}/_security", {}) >= 400
        assert (await provision(deployment, "--check", COUCHDB_DIRECT="true")).code == 0
        for database in (quito, "_users", "_replicator"):
            assert await call(tablet, "GET", f"/{database}/_changes") in (401, 403), database
            assert await call(tablet, "PUT", f"/{database}/session:a", {}) in (401, 403), database
        rev = (await revision(theirs, f"/{lima}/session:a"))["rev"]
        assert await call(tablet, "DELETE", f"/{lima}/session:a?rev={rev}") == 403
        # Signed by nobody of ours; our own service's, which would never expire here.
        assert await call(foreign, "GET", f"/{lima}") in (400, 401)
        assert await call(service, "GET", f"/{lima}") == 403

        # The key is changed: both are in force, until the old one is retired.
        old = key.verifier.key_id
        signing_key_path(tmp_path).unlink()
        renewed = load_or_create_signing_key(tmp_path)
        newer = token(renewed, "tab-3")
        changed = await provision(deployment, "--yes", COUCHDB_DIRECT="true")
        assert f"ec:{old}" in changed.out
        assert [await call(who, "GET", f"/{lima}") for who in (tablet, newer)] == [200, 200]

        with psycopg.connect(deployment.env["DATABASE_URL"], autocommit=True) as connection:
            connection.execute("UPDATE devices SET revoked_at = now() WHERE device = 'tab-1'")
        assert (await provision(deployment, "--yes", COUCHDB_DIRECT="true")).code == 0
        assert await call(tablet, "GET", f"/{lima}") == 403
        assert await call(hub, "GET", f"/{lima}") == 200
        retired = await provision(deployment, "--yes", "--retire-key", old, COUCHDB_DIRECT="true")
        assert retired.code == 0
        assert [await call(who, "GET", f"/{lima}") for who in (hub, newer)] == [400, 200]

        assert (await provision(deployment, "--yes")).code == 0
        assert await call(newer, "GET", f"/{lima}") in (400, 401)


async def test_a_wrong_password_and_a_user_who_is_no_admin_are_told(
    theirs: Couch, deployment: Deployment
) -> None:
    assert (await provision(deployment, "--yes")).code == 0
    address = theirs.base.removeprefix("http://")
    wrong = await provision(deployment, "--check", COUCHDB_ADMIN_URL=f"http://admin:nope@{address}")
    wrong.failed_with("does not accept the password of 'admin'")
    assert "nope" not in wrong.err
    no_admin = await provision(deployment, "--check", COUCHDB_ADMIN_URL=deployment.service_url)
    no_admin.failed_with("is no server admin", "COUCHDB_ADMIN_URL")
    assert (wrong.code, no_admin.code) == (2, 2)
    server = Server(deployment.env["COUCHDB_ADMIN_URL"])
    assert (server.setup_state(), server.nodes()[1]) == ("single_node_enabled", [])
    server.close()
