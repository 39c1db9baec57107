"""The outbox at work in one process: a relay whose queues are a list, and a worker that empties it."""

from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

from reporting.engine import sync_engine
from reporting.outbox.claims import Claim
from sync_server.jobs.delivery import deliver
from sync_server.jobs.relay import Relay
from sync_server.jobs.resources import Resources, resources
from sync_server.keys import SETTINGS
from sync_server.settings import Settings
from tests.administration.office import Office


class ListedQueues:
    """Queues in memory; what was put there may be dropped, done late, or twice."""

    def __init__(self) -> None:
        self.jobs: list[tuple[str, list[Claim]]] = []
        self.puts = 0
        self.emptied = False

    def were_emptied(self) -> bool:
        emptied, self.emptied = self.emptied, False
        return emptied

    def free(self, queue: str) -> int:  # noqa: ARG002 (the Protocol's signature)
        return 100

    def put(self, queue: str, kind: str, claims: Sequence[Claim]) -> None:  # noqa: ARG002
        self.puts += 1
        self.jobs.append((kind, list(claims)))


class Desk:
    """`drain` does all that is due."""

    def __init__(self, office: Office, relay: Relay, queues: ListedQueues, held: Resources) -> None:
        self.office = office
        self.relay = relay
        self.queues = queues
        self.resources = held

    async def drain(self) -> None:
        while self.relay.turn() or self.queues.jobs:
            await self.work()

    async def work(self) -> int:
        """Do the jobs that are queued; how many entries were begun."""
        begun = 0
        while self.queues.jobs:
            begun += await deliver(*self.queues.jobs.pop(0), self.resources)
        return begun

    def states(self) -> dict[str, list[str]]:
        found = defaultdict(list)
        for kind, state in self.office.rows("SELECT kind, state FROM outbox ORDER BY id"):
            found[kind].append(state)
        return dict(found)

    async def documents(self, site: str) -> dict[str, dict[str, Any]]:
        """The live documents of a site, by id."""
        gateway = self.office.gateway
        answer = await gateway.call(
            "GET", f"/site-{site}/_all_docs", token=gateway.service, query={"include_docs": "true"}
        )
        return {row["id"]: row["doc"] for row in answer.json["rows"]}


@asynccontextmanager
async def at_desk(office: Office, **settings: Any) -> AsyncIterator[Desk]:
    """A relay and a worker for the office."""
    given: Settings = office.gateway.app[SETTINGS]
    changed = Settings(**{name: getattr(given, name) for name in given.__struct_fields__} | settings)
    engine = sync_engine(changed.database_url)
    queues = ListedQueues()
    relay = Relay(engine, queues, lease=timedelta(seconds=changed.outbox_lease_seconds))
    try:
        async with resources(changed) as held:
            yield Desk(office, relay, queues, held)
    finally:
        engine.dispose()
