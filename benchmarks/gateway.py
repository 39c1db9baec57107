"""The gateway before a CouchDB against that CouchDB itself, in one run and in turn.

The gateway is `serve` as it runs anywhere, on a Postgres and a Valkey of its own: what a tablet pushes is
judged, put on record and sent on. Every round gives each workload to both, one after the other; what counts
is the median of the rounds' ratios. All of it shares the machine's cores, so where they are few the gateway
also takes from the CouchDB.
"""

import asyncio
import contextlib
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import msgspec
from rich.console import Console
from rich.table import Table

from benchmarks.raw_http import Connection, Refused, drive, request_bytes
from benchmarks.replication import small_documents
from replication.push import Outgoing
from reporting.sites import database_of
from sync_server.enrolment import enrol_device
from sync_server.identity.device_credentials import mint_service_token
from sync_server.identity.signing_key_file import load_or_create_signing_key
from tests.embedded.supervised import SupervisedSystem
from tests.gateway.processes import Service, environment

SITE = "benchgateway"
BATCH = 500
KNOWN_SECONDS = 30.0
PUSHES = ((1, "push, 1 writer, batch 500 (docs/s)"), (8, "push, 8 writers, batch 500 (docs/s)"))
FEED = "_changes, all rows (rows/s)"
SEEN = "_changes as a tablet sees it (rows/s)"
_SELECTOR = {
    "selector": {"_id": {"$regex": "^(?:study:|battery:|item_bank:|consent_form:|participant:|visit:)"}}
}

Rates = dict[str, dict[str, list[float]]]
"""Workload → `direct` or `gateway` → documents or rows a second, one figure a round."""


@dataclass(frozen=True)
class Ways:
    """Base URLs with logins: the CouchDB's, the gateway's for a tablet, and for the service itself."""

    direct: str
    tablet: str
    service: str


@contextlib.contextmanager
def running_gateway(couchdb: str) -> Iterator[Ways]:
    """`serve` on that CouchDB, with a tablet enrolled."""
    with contextlib.ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="metricis-bench-")))
        system = stack.enter_context(SupervisedSystem(directory / "servers"))
        service = Service(
            directory / "service",
            database_url=system.database_url,
            redis_url=system.redis_url,
            COUCHDB_URL=couchdb,
            DEVICE_MEGABYTES_PER_MINUTE="1000000",
        )
        stack.enter_context(serving(service))
        enrolled = asyncio.run(
            enrol_device(
                site=SITE,
                device="tab-1",
                role="tablet",
                feed_url=couchdb,
                public_base=service.base_url,
                database_url=system.database_url,
                data_dir=service.data_dir,
            )
        )
        ways = Ways(
            couchdb,
            _with_login(service.base_url + "/db", "tab-1", enrolled.password),
            _with_login(service.base_url + "/db", "bench", service_token(service.data_dir)),
        )
        _until_known(ways.tablet)
        yield ways


def _until_known(tablet: str) -> None:
    """Wait until the service has heard of the tablet."""
    give_up = time.monotonic() + KNOWN_SECONDS
    while True:
        try:
            with Connection(tablet) as connection:
                connection.exchange(request_bytes(tablet, "GET", f"/{database_of(SITE)}"))
        except (Refused, OSError):
            if time.monotonic() > give_up:
                raise
            time.sleep(0.1)
        else:
            return


@contextlib.contextmanager
def serving(service: Service) -> Iterator[None]:
    """`serve` with these settings; nobody reads its log, which costs the machine more than writing it."""
    command = [sys.executable, "-m", "sync_server", "serve"]
    with subprocess.Popen(command, env=environment(**service.settings), stderr=subprocess.DEVNULL) as process:
        try:
            yield
        finally:
            process.terminate()


def service_token(data_dir: Path) -> str:
    """A token with which everything may be done."""
    key = load_or_create_signing_key(data_dir)
    return mint_service_token(key, service="bench", now=datetime.now(UTC), credential_id="bench")


def _with_login(url: str, user: str, password: str) -> str:
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=f"{user}:{password}@{parts.netloc}"))


class Round:
    """One round of every workload."""

    def __init__(self, ways: Ways, documents: Sequence[Outgoing]) -> None:
        self._ways = ways
        self._documents = documents
        self._database = database_of(SITE)

    def run(self, rates: Rates) -> None:
        """Add a figure to each workload."""
        for writers, name in PUSHES:
            for way, base in (("direct", self._ways.direct), ("gateway", self._ways.tablet)):
                self._empty()
                rates[name][way].append(len(self._documents) / self._timed(base, self._pushes(base), writers))
        feed = f"/{self._database}/_changes?style=all_docs&since=0"
        for way, base in (("direct", self._ways.direct), ("gateway", self._ways.service)):
            request = request_bytes(base, "GET", feed)
            rates[FEED][way].append(len(self._documents) / self._timed(base, [request]))
        filtered = request_bytes(
            self._ways.direct, "POST", f"{feed}&filter=_selector", msgspec.json.encode(_SELECTOR)
        )
        for way, base, request in (
            ("direct", self._ways.direct, filtered),
            ("gateway", self._ways.tablet, request_bytes(self._ways.tablet, "GET", feed)),
        ):
            rates[SEEN][way].append(len(self._documents) / self._timed(base, [request]))

    def _empty(self) -> None:
        with Connection(self._ways.direct) as connection:
            with contextlib.suppress(Refused):
                connection.exchange(request_bytes(self._ways.direct, "DELETE", f"/{self._database}"))
            connection.exchange(request_bytes(self._ways.direct, "PUT", f"/{self._database}"))

    def _pushes(self, base: str) -> list[bytes]:
        bodies = [
            b",".join(one.json for one in self._documents[start : start + BATCH])
            for start in range(0, len(self._documents), BATCH)
        ]
        path = f"/{self._database}/_bulk_docs"
        return [
            request_bytes(base, "POST", path, b'{"new_edits":false,"docs":[' + body + b"]}")
            for body in bodies
        ]

    @staticmethod
    def _timed(base: str, requests: Sequence[bytes], clients: int = 1) -> float:
        started = time.perf_counter()
        drive(base, requests, clients)
        return time.perf_counter() - started


def measure(couchdb: str, *, documents: int, rounds: int, console: Console) -> Rates:
    """The rates, round by round; the site database of the benchmark is gone afterwards."""
    rates: Rates = defaultdict(lambda: defaultdict(list))
    with running_gateway(couchdb.rstrip("/")) as ways:
        for number in range(1, rounds + 1):
            console.print(f"round {number} of {rounds}")
            # New documents each round: what is on record already is recorded faster.
            Round(ways, small_documents(documents, seed=number)).run(rates)
        with Connection(ways.direct) as connection:
            connection.exchange(request_bytes(ways.direct, "DELETE", f"/{database_of(SITE)}"))
    return rates


def ratio(rates: dict[str, list[float]]) -> float:
    """The median of the rounds' ratios, gateway to direct."""
    return statistics.median(
        through / direct for through, direct in zip(rates["gateway"], rates["direct"], strict=True)
    )


def table(rates: Rates) -> Table:
    """Medians and ratios."""
    shown = Table("workload", "direct", "through the gateway", "ratio")
    for name, by_way in rates.items():
        medians = [f"{statistics.median(by_way[way]):,.0f}" for way in ("direct", "gateway")]
        shown.add_row(name, *medians, f"{ratio(by_way):.2f}")
    return shown
