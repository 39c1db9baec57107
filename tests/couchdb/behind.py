"""The Apache CouchDB behind the service, where `TEST_COUCHDB_URL` names one.

The tests of the gateway, the administration, the desk and the whole system run on the embedded store; with
`TEST_COUCHDB_URL=http://admin:password@host:port` they run on that CouchDB, as `COUCHDB_URL`. Their sites
have fixed names, so each of these tests begins and ends without site databases: that CouchDB is used by one
test process at a time (`-n 0`), and holds nothing else that is called `site-…`, or it is lost.
"""

import base64
import json
import os
import urllib.request
from collections.abc import Iterator
from urllib.parse import quote, urlsplit

import pytest

from tests.couchdb.deviations import deviation

APACHE = os.environ.get("TEST_COUCHDB_URL") or None

DESIGN_DOCUMENTS = 2 if APACHE else 0
"""How many a new site database has: its index and its function."""


def _ask(url: str, method: str, path: str) -> bytes:
    parts = urlsplit(url)
    login = base64.b64encode(f"{parts.username}:{parts.password}".encode()).decode()
    request = urllib.request.Request(  # noqa: S310 (the CouchDB of this run)
        f"{parts.scheme}://{parts.hostname}:{parts.port}{path}",
        method=method,
        headers={"Authorization": f"Basic {login}"},
    )
    with urllib.request.urlopen(request) as answer:  # noqa: S310 (see above)
        return bytes(answer.read())


def drop_sites() -> None:
    """Leave no site database on the CouchDB behind, and none of the tests' replications. Without one nothing
    happens.
    """
    if APACHE is not None:
        databases = json.loads(_ask(APACHE, "GET", "/_all_dbs"))
        if "_replicator" in databases:
            _drop_replications(APACHE)
        for name in databases:
            if name.startswith("site-"):
                _ask(APACHE, "DELETE", f"/{quote(name, safe='')}")


def _drop_replications(url: str) -> None:
    for row in json.loads(_ask(url, "GET", "/_replicator/_all_docs"))["rows"]:
        if row["id"] == "mine" or row["id"].startswith("replication-job:"):
            rev = row["value"]["rev"]
            _ask(url, "DELETE", f"/_replicator/{quote(row['id'], safe='')}?rev={rev}")


@pytest.fixture(autouse=True)
def no_sites() -> Iterator[None]:
    """No site database is there at the begin, none at the end."""
    drop_sites()
    yield
    drop_sites()


def expect_deviations(items: list[pytest.Item]) -> None:
    """Before a CouchDB, tests that are about the embedded store itself are skipped, and what is known to
    differ is expected to differ.
    """
    for item in items if APACHE else ():
        found = deviation(item.nodeid)
        if found is not None:
            mark = pytest.mark.skip if found.is_skipped else pytest.mark.xfail(strict=True)
            item.add_marker(mark(reason=found.reason))
