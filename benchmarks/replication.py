"""The replication protocol's requests against several servers, in one run and in turn.

Machines are noisy and other work comes and goes, so every round gives each workload to one server after the
other; what counts is the median of the rounds and its ratio to the others'. Client and servers share the
machine's cores.
"""

import random
import statistics
import time
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence

import msgspec
from rich.console import Console
from rich.table import Table

from benchmarks.corpus import corpus
from benchmarks.initial_pull import check_installed, pull
from benchmarks.raw_http import Connection, Refused, drive, request_bytes
from benchmarks.servers import Server
from replication.push import Outgoing

SMALL_BYTES = 2_000
FIELD_DOCUMENTS = 100
FIELD_BATCH = 25
GETS = 1_000
BULK_GET = 100

Rates = dict[str, dict[str, list[float]]]
"""Workload → server → documents or requests a second, one figure a round."""


def small_documents(count: int, *, seed: int) -> list[Outgoing]:
    """Documents of SMALL_BYTES with random ids: a tablet's ids are random too."""
    chance = random.Random(seed)
    made = []
    for _ in range(count):
        doc_id = f"session:{uuid.UUID(int=chance.getrandbits(128))}"
        rev_id = f"{chance.getrandbits(128):032x}"
        trials = [{"trial_index": n, "rt": chance.randrange(200, 1200), "correct": 1} for n in range(40)]
        document = {
            "_id": doc_id,
            "_rev": f"1-{rev_id}",
            "_revisions": {"start": 1, "ids": [rev_id]},
            "type": "session",
            "trials": trials,
            "padding": "",
        }
        document["padding"] = "x" * max(0, SMALL_BYTES - len(msgspec.json.encode(document)))
        made.append(Outgoing(doc_id, f"1-{rev_id}", msgspec.json.encode(document)))
    return made


def field_documents() -> tuple[str, list[Outgoing]]:
    """What they are, and the first FIELD_DOCUMENTS of all sites."""
    kind, by_site = corpus(FIELD_DOCUMENTS // 4)
    return kind, [one for site in by_site.values() for one in site][:FIELD_DOCUMENTS]


def _groups(documents: Sequence[Outgoing], size: int) -> Iterator[Sequence[Outgoing]]:
    for start in range(0, len(documents), size):
        yield documents[start : start + size]


class Target:
    """A fresh database on one server, and the requests to it."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self._name = f"bench-{uuid.uuid4().hex[:12]}"
        self._ask("PUT", f"/{self._name}")

    def drop(self) -> None:
        """Delete the database."""
        self._ask("DELETE", f"/{self._name}")

    @property
    def url(self) -> str:
        """The database's, with user and password where the server wants them."""
        return f"{self.server.base.rstrip('/')}/{self._name}"

    def _ask(self, method: str, path: str) -> None:
        with Connection(self.server.base) as connection:
            connection.exchange(request_bytes(self.server.base, method, path))

    def request(self, method: str, path: str, body: bytes | None = None) -> bytes:
        """A request below the database."""
        return request_bytes(self.server.base, method, f"/{self._name}{path}", body)

    def pushes(self, documents: Sequence[Outgoing], batch: int) -> list[bytes]:
        """`_bulk_docs` requests of replicated documents."""
        bodies = (b",".join(one.json for one in group) for group in _groups(documents, batch))
        return [
            self.request("POST", "/_bulk_docs", b'{"new_edits":false,"docs":[' + body + b"]}")
            for body in bodies
        ]

    def timed(self, requests: Sequence[bytes], clients: int = 1) -> float:
        """Seconds until all are answered; whichever client is free sends the next request."""
        started = time.perf_counter()
        drive(self.server.base, requests, clients)
        return time.perf_counter() - started


class Round:
    """One round of every workload on one server."""

    def __init__(self, server: Server, documents: Sequence[Outgoing], field: Sequence[Outgoing]) -> None:
        self._server = server
        self._documents = documents
        self._field = field
        self._spent_ms: float | None = None

    def workloads(self) -> Iterator[tuple[str, Callable[[], float]]]:
        """Each with the function that runs it and returns its rate a second."""
        for batch in (100, 500):
            for writers in (1, 8):
                name = f"push, batch {batch}, {writers} writer{'s' * (writers > 1)} (docs/s)"
                yield name, lambda batch=batch, writers=writers: self._push(batch, writers)  # type: ignore[misc]
        yield "push of field documents (docs/s)", self._push_field
        yield from self._reads()

    def _push(self, batch: int, writers: int) -> float:
        target = Target(self._server)
        rate = len(self._documents) / target.timed(target.pushes(self._documents, batch), writers)
        target.drop()
        return rate

    def _push_field(self) -> float:
        target = Target(self._server)
        rate = len(self._field) / target.timed(target.pushes(self._field, FIELD_BATCH))
        target.drop()
        return rate

    def _reads(self) -> Iterator[tuple[str, Callable[[], float]]]:
        filled: list[Target] = []

        def target() -> Target:
            if not filled:
                filled.append(Target(self._server))
                filled[0].timed(filled[0].pushes(self._documents, 500))
            return filled[0]

        count = len(self._documents)
        everything = [
            ("_changes?include_docs from 0 (docs/s)", "/_changes?include_docs=true&since=0"),
            ("_changes from 0 (rows/s)", "/_changes?style=all_docs&since=0"),
            ("_all_docs?include_docs (docs/s)", "/_all_docs?include_docs=true"),
        ]
        for name, path in everything:
            yield name, lambda path=path: count / target().timed([target().request("GET", path)])  # type: ignore[misc]
        yield "_revs_diff of known revisions (revs/s)", lambda: self._revs_diff(target())
        for clients in (1, 8):
            who = f"{clients} client{'s' * (clients > 1)}"
            yield f"_bulk_get of 100, {who} (docs/s)", lambda n=clients: self._bulk_get(target(), n)  # type: ignore[misc]
            yield f"GET, {who} (requests/s)", lambda n=clients: self._gets(target(), n)  # type: ignore[misc]
        yield "initial pull by PouchDB (docs/s)", lambda: self._pull(target())
        yield "… documents for a second of the server's processor", self._documents_a_cpu_second
        yield "", lambda: self._drop(filled)

    def _pull(self, target: Target) -> float:
        rate, self._spent_ms = pull(self._server, target.url)
        return rate

    def _documents_a_cpu_second(self) -> float:
        if self._spent_ms is None:
            raise Refused("its process is not on this machine")
        return 1000 / self._spent_ms

    @staticmethod
    def _drop(filled: list[Target]) -> float:
        for target in filled:
            target.drop()
        return 0.0

    def _revs_diff(self, target: Target) -> float:
        bodies = [{one.id: [one.rev] for one in group} for group in _groups(self._documents, 500)]
        requests = [target.request("POST", "/_revs_diff", msgspec.json.encode(body)) for body in bodies]
        return len(self._documents) / target.timed(requests)

    def _bulk_get(self, target: Target, clients: int) -> float:
        shuffled = random.Random(5).sample(self._documents, len(self._documents))
        bodies = [
            {"docs": [{"id": one.id, "rev": one.rev} for one in group]}
            for group in _groups(shuffled, BULK_GET)
        ]
        path = "/_bulk_get?revs=true&latest=true"
        requests = [target.request("POST", path, msgspec.json.encode(body)) for body in bodies]
        return len(self._documents) / target.timed(requests, clients)

    def _gets(self, target: Target, clients: int) -> float:
        chosen = random.Random(6).choices(self._documents, k=GETS)
        requests = [target.request("GET", f"/{one.id}") for one in chosen]
        return GETS / target.timed(requests, clients)


def measure(servers: Sequence[Server], *, documents: int, rounds: int, console: Console) -> tuple[str, Rates]:
    """What the field documents are, and the rates. A workload that a server refuses has no figure."""
    check_installed()
    kind, field = field_documents()
    rates: Rates = defaultdict(lambda: defaultdict(list))
    for number in range(rounds):
        small = small_documents(documents, seed=number)
        # In turn, and the first of each round another one: nobody always finds the machine warmed up.
        order = [*servers[number % len(servers) :], *servers[: number % len(servers)]]
        plans = [(server, Round(server, small, field).workloads()) for server in order]
        for steps in zip(*(plan for _, plan in plans), strict=True):
            for server, (name, run) in zip(order, steps, strict=True):
                try:
                    rate = run()
                except Refused as refusal:
                    console.print(f"{server.name}: {name}: {refusal}", style="red")
                    continue
                if name:
                    rates[name][server.name].append(rate)
        console.print(f"round {number + 1} of {rounds} done")
    return kind, rates


def medians(rates: Rates) -> dict[str, dict[str, float]]:
    """The median of the rounds: workload → server → rate."""
    return {
        workload: {server: statistics.median(found) for server, found in by_server.items()}
        for workload, by_server in rates.items()
    }


def table(figures: dict[str, dict[str, float]], servers: Sequence[Server]) -> Table:
    """The figures for people, with this store's ratio to each other server."""
    ours, *others = [server.name for server in servers]
    shown = Table(title="Replication requests, median of the rounds")
    shown.add_column("workload")
    shown.add_column(ours, justify="right")
    for other in others:
        shown.add_column(other, justify="right")
        shown.add_column("ratio", justify="right")
    for workload, by_server in figures.items():
        cells = [f"{by_server[ours]:,.0f}" if ours in by_server else "–"]
        for other in others:
            if other not in by_server or ours not in by_server:
                cells += ["–", "–"]
            else:
                cells += [f"{by_server[other]:,.0f}", f"{by_server[ours] / by_server[other]:.1f}"]
        shown.add_row(workload, *cells)
    return shown
