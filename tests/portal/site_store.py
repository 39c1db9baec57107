"""A site database as its tablets fill it, at a service that listens."""

from pathlib import Path
from typing import Any, Self

import aiohttp

from replication.client import CouchClient
from reporting.projection.pump import Pump
from sync_server.feed import CouchFeed
from sync_server.identity.signing_key_file import load_or_create_signing_key
from sync_server.service_credential import service_headers


class SiteStore:
    """The database of one site, written to as the system itself may."""

    def __init__(self, base_url: str, data_dir: Path, site: str) -> None:
        self.site = site
        self._headers = service_headers(load_or_create_signing_key(data_dir), service="test")
        self._base = f"{base_url}/db"
        self._database = f"{self._base}/site-{site}"

    async def __aenter__(self) -> Self:
        self._http = aiohttp.ClientSession()
        async with self._http.put(self._database, headers=self._headers()) as made:
            assert made.status == 201, await made.text()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.close()

    async def save(self, document: dict[str, Any], *path: str) -> None:
        """A revision: `path` is the revision and its ancestors, newest first."""
        start, _, _ = path[0].partition("-")
        revisions = {"start": int(start), "ids": [rev.partition("-")[2] for rev in path]}
        body = {**document, "site": self.site, "_rev": path[0], "_revisions": revisions}
        sent = {"new_edits": False, "docs": [body]}
        async with self._http.post(
            f"{self._database}/_bulk_docs", json=sent, headers=self._headers()
        ) as saved:
            assert (saved.status, await saved.json()) == (201, [])

    async def project(self, database_url: str) -> None:
        """Project all there is, of every site."""
        await Pump(
            CouchFeed(CouchClient(self._http, self._base, headers=self._headers)), database_url
        ).drain()
