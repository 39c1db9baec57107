"""A site's database: the same requests by the service and by `provision`, on the embedded store's API."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from replication.client import CouchClient
from replication.errors import NotFound, Unavailable
from replication.http.access import allow_everything
from sync_server.provisioning.applying import apply
from sync_server.provisioning.design import SiteDesign
from sync_server.provisioning.looking import look_at_database
from sync_server.provisioning.plan import Plan, make_plan
from sync_server.provisioning.requests import Request, design_path
from sync_server.provisioning.server import ProvisioningError, Refused, Server
from sync_server.provisioning.validation import DESIGN_ID
from sync_server.site_databases import NotProvisioned, create_site_database
from tests.contract.couch import Couch, embedded_in
from tests.provisioning.restricted import as_no_admin
from tests.provisioning.test_plan import DESIRED, after


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Couch]:
    async with embedded_in(tmp_path / "store", allow_everything) as couch:
        yield couch


@pytest.fixture
async def restricted(tmp_path: Path) -> AsyncIterator[Couch]:
    """A store that has no database, and lets nobody make one."""
    async with embedded_in(tmp_path / "restricted", as_no_admin) as couch:
        yield couch


def plan_for(server: Server) -> Plan:
    actual = after(DESIRED)
    found = {"lima": look_at_database(server, "site-lima")} if "site-lima" in server.databases() else {}
    return make_plan(DESIRED, actual._replace(sites=found))


async def test_what_the_service_makes_is_what_provision_wants_and_mends(store: Couch) -> None:
    parts = urlsplit(store.base)
    server = Server(parts._replace(netloc=f"admin:%22x%7D@{parts.netloc}").geturl())

    def provisioned() -> None:
        """As a thread does: the store answers on the loop meanwhile."""
        planned = plan_for(server)
        assert [step.difference.found for step in planned.steps] == [
            "absent",
            "without it",
            "absent",
            "absent",
        ]
        told: list[str] = []
        # Twice: a run that died anywhere is repeated.
        for request in (request for step in planned.steps[:3] for request in step.requests):
            server.send(request)
        apply(server, planned, tell=lambda step: told.append(step.difference.what))
        assert told == ["itself", "_security", "index participant", "validate_doc_update"]
        assert plan_for(server).steps == ()
        with pytest.raises(Refused, match="DELETE /site-lima/_design/none"):
            server.send(Request("DELETE", "/site-lima/_design/none"))
        server.send(Request("DELETE", "/site-lima"))

    def changed() -> None:
        assert plan_for(server).steps == ()
        path = design_path("site-lima", DESIGN_ID)
        rev = (server.design("site-lima", DESIGN_ID) or {})["_rev"]
        server.send(Request("DELETE", path, query={"rev": rev}))
        server.send(Request("PUT", "/site-lima/_security", {"members": {"names": ["eve"], "roles": []}}))
        planned = plan_for(server)
        assert [step.difference.what for step in planned.steps] == ["_security", "validate_doc_update"]
        apply(server, planned, tell=lambda _: None)
        with pytest.raises(ProvisioningError, match="changed by somebody else meanwhile: run this again"):
            apply(server, planned, tell=lambda _: None)
        assert plan_for(server).steps == ()

    await asyncio.to_thread(provisioned)
    client = CouchClient(store.session, store.base)
    await create_site_database(client, "lima", SiteDesign())
    await create_site_database(client, "lima", SiteDesign())
    await asyncio.to_thread(changed)
    await create_site_database(client, "quito", SiteDesign(validation=False))
    with pytest.raises(NotFound):
        await client.document("site-quito", DESIGN_ID)
    await create_site_database(client, "cusco")
    assert (await client.info("site-cusco"))["doc_count"] == 0
    server.close()


async def test_a_service_that_may_not_make_databases_finds_those_that_are_there(
    store: Couch, restricted: Couch
) -> None:
    client = CouchClient(restricted.session, restricted.base)
    for design in (None, SiteDesign()):
        with pytest.raises(NotProvisioned, match=r"lima has no database yet.*sync-server provision"):
            await create_site_database(client, "lima", design)
    away = CouchClient(restricted.session, "http://127.0.0.1:1")
    with pytest.raises(Unavailable):
        await create_site_database(away, "lima", SiteDesign())
