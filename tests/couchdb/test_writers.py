"""Publication, corrections and erasures on a CouchDB cluster that fails, before or after it has written."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from replication.client import CouchClient
from replication.errors import Unavailable
from replication.http.access import allow_everything
from reporting.publication.consents import consent_states
from reporting.publication.deliver import Publisher
from reporting.publication.site_documents import SiteDatabaseAway
from sync_server.api.seams import StoreUnreachable
from sync_server.gateway.corrections import SiteCorrections
from sync_server.jobs.site_documents import CouchSiteDocuments
from sync_server.keys import SETTINGS
from sync_server.site_erasing import CouchSiteStore
from tests.administration.conftest import office, office_settings
from tests.administration.desk import at_desk
from tests.administration.office import Office
from tests.administration.test_publication import LIMA, furnish
from tests.contract.couch import Couch, embedded_in, replicated
from tests.couchdb.behind import APACHE
from tests.couchdb.quirks import Habits, quirky
from tests.documents.examples import a_patch

__all__ = ["office", "office_settings"]

DATABASE = "site-lima"


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Couch]:
    async with embedded_in(tmp_path / "store", allow_everything) as couch:
        (await couch.put(f"/{DATABASE}", {})).ok(201)
        yield couch


@asynccontextmanager
async def client_of(store: Couch, habits: Habits) -> AsyncIterator[tuple[CouchClient, Habits]]:
    async with quirky(store.base, habits) as (server, base), aiohttp.ClientSession() as http:
        yield CouchClient(http, base), server.habits


@pytest.mark.skipif(APACHE is not None, reason="the embedded store plays the cluster")
async def test_publication_ends_with_every_document_once_and_in_no_conflict(office: Office) -> None:
    await office.gateway.open_site("lima")
    furnish(office)
    habits = Habits(fails=0.2, accepted=True)
    behind = office.gateway.app[SETTINGS].feed_url
    async with quirky(behind, habits, seed=5) as (server, base), at_desk(office, store_url=base) as desk:
        documents = CouchSiteDocuments(desk.resources.client)
        publisher = Publisher(desk.resources.engine, documents, consent_states)
        for fails_after, change in (
            (1.0, "UPDATE studies SET title = 'anew'"),
            (0.0, "UPDATE participants SET language = 'qu'"),
        ):
            habits.fails_after = fails_after
            for _ in range(50):
                try:
                    drift = await publisher.publish_site("lima")
                except SiteDatabaseAway:
                    continue
                if not drift.found:
                    break
            office.rows(change)
        assert server.shown["fails"]
        assert server.shown["fails_after"]
        assert server.shown["accepted"]
    async with at_desk(office) as desk:
        publisher = Publisher(
            desk.resources.engine, CouchSiteDocuments(desk.resources.client), consent_states
        )
        assert (await publisher.publish_site("lima")).different
        assert (await desk.documents("lima")).keys() == LIMA
    gateway = office.gateway
    feed = await gateway.call(
        "GET", f"/{DATABASE}/_changes", token=gateway.service, query={"style": "all_docs"}
    )
    assert all(len(row["changes"]) == 1 for row in feed.json["results"])


async def test_a_row_that_could_not_be_read_is_no_document_that_is_missing() -> None:
    async def half_answered(_: web.Request) -> web.Response:
        return web.json_response({"rows": [{"key": "study:a", "error": "timeout"}]})

    app = web.Application()
    app.router.add_post(f"/{DATABASE}/_all_docs", half_answered)
    async with TestServer(app) as server, aiohttp.ClientSession() as http:
        documents = CouchSiteDocuments(CouchClient(http, str(server.make_url(""))))
        with pytest.raises(SiteDatabaseAway, match="study:a"):
            await documents.read(DATABASE, ["study:a"])


async def test_a_correction_that_was_written_though_the_answer_is_500_is_written_once(store: Couch) -> None:
    patch = a_patch("s1", 1, {"visit": "a"}, {"visit": "b"})
    async with client_of(store, Habits(fails_after=1.0)) as (client, habits):
        corrections = SiteCorrections(client)
        rev = await corrections.write(DATABASE, patch)
        assert await corrections.corrections(DATABASE, "s1") == {"correction:s1:1": rev}
        habits.refused["correction:s1:2"] = 500
        with pytest.raises(StoreUnreachable):
            await corrections.write(DATABASE, {**patch, "_id": "correction:s1:2"})


async def test_an_erasure_passes_over_nothing_that_is_named_and_not_given(store: Couch) -> None:
    body = {"docs": [replicated("session:a", "1-a", participant="p")], "new_edits": False}
    (await store.post(f"/{DATABASE}/_bulk_docs", body)).ok(201)
    async with client_of(store, Habits(unread=1.0)) as (client, habits):
        site_store = CouchSiteStore(client)
        with pytest.raises(Unavailable, match="session:a 1-a"):
            await site_store.bodies(DATABASE, [("session:a", "1-a")])
        # Gone in between it is no failure.
        (await store.post(f"/{DATABASE}/_purge", {"session:a": ["1-a"]})).ok(201)
        assert await site_store.bodies(DATABASE, [("session:a", "1-a")]) == []
        habits.unread = 0.0
        assert await site_store.feed(DATABASE) == []
