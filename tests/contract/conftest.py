"""The implementations that the contract is held against.

By default the embedded store, in-process on the loopback interface. With `TEST_COUCHDB_URL` set to
`http://admin:password@host:port` the same tests run against that Apache CouchDB 3.x; with
`TEST_UPSTREAM=1` against the gateway before either of them.
"""

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from replication.http.access import allow_everything
from tests.contract.behind import gateway_before
from tests.contract.couch import Couch, Db, apache, embedded_in, fresh_database
from tests.contract.deviations import deviation

APACHE = os.environ.get("TEST_COUCHDB_URL", "")
BEHIND_A_GATEWAY = bool(os.environ.get("TEST_UPSTREAM"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Against Apache CouchDB, what is known to differ is expected to differ."""
    for item in items if APACHE else ():
        reason = deviation(item.nodeid, at_the_gateway=BEHIND_A_GATEWAY)
        if reason is not None:
            item.add_marker(pytest.mark.xfail(strict=True, reason=reason))


@pytest.fixture
async def couch(tmp_path: Path) -> AsyncIterator[Couch]:
    """A server whose owner is asking."""
    server = apache(APACHE) if APACHE else embedded_in(tmp_path / "store", allow_everything)
    async with server as running:
        if not BEHIND_A_GATEWAY:
            yield running
            return
        login = {
            name: running.session.headers[name]
            for name in ("Authorization",)
            if name in running.session.headers
        }
        async with gateway_before(running.base, allow_everything, headers=lambda: login) as gateway:
            yield gateway


@pytest.fixture
async def db(couch: Couch) -> AsyncIterator[Db]:
    """An empty database."""
    async with fresh_database(couch) as database:
        yield database


@pytest.fixture
async def other_db(couch: Couch) -> AsyncIterator[Db]:
    """A second one, to replicate to."""
    async with fresh_database(couch) as database:
        yield database
