"""The ground moves under the projector: recreated, restored, rewound, on a running system with real stores.

After each the same holds: it is noticed without anybody's doing, what tablets push again is projected, what
is gone is marked and kept, and a full proof holds.
"""

import asyncio
import itertools
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from replication.client import CouchClient, basic_login
from replication.push import batches, outgoing, push_batch
from sync_server.demo.generate import generate_sessions
from tests.couchdb.behind import DESIGN_DOCUMENTS
from tests.end_to_end.system import System, running, wait_until

SESSIONS = 6
_seeds = itertools.count(1)


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    with running(tmp_path_factory.mktemp("rewinds") / "data") as started:
        yield started


class Tablet:
    """A site's tablet with its sessions, all projected."""

    def __init__(self, system: System) -> None:
        seed = next(_seeds)
        self.system = system
        self.site = f"rewound{seed}"
        self._enrolment = system.enrol(self.site, "tab-1")
        sessions = generate_sessions(SESSIONS, site=self.site, seed=seed, trials_per_task=4)
        self._sessions = [outgoing(json.dumps(session).encode()) for session in sessions]

    def push(self, *numbers: int) -> None:
        """Push these sessions, and wait until all that were ever pushed are there, unmarked."""
        asyncio.run(self._push([self._sessions[number] for number in numbers]))

    async def _push(self, sessions: list[Any]) -> None:
        base, _, database = self._enrolment["url"].rpartition("/")
        login = basic_login(self._enrolment["username"], self._enrolment["password"])
        async with aiohttp.ClientSession() as http:
            client = CouchClient(http, base, headers=login)
            for batch in batches(sessions):
                assert not (await push_batch(client, database, batch)).refused

    def wait_for(self, *, present: int, gone: int = 0) -> None:
        """Until so many sessions have rows that are, and are not, at the source."""
        query = (
            "SELECT count(*) FILTER (WHERE source_missing_at IS NULL) || '/' || count(source_missing_at)"
            " FROM sessions WHERE site = %s"
        )
        wait_until(
            lambda: self.system.value(query, self.site) == f"{present}/{gone}",
            60,
            lambda: self.system.value(query, self.site),
        )

    @property
    def epoch(self) -> str:
        return str(self.system.value("SELECT epoch FROM checkpoints WHERE site = %s", self.site))

    def wait_for_another_epoch(self, before: str) -> None:
        wait_until(lambda: self.epoch != before, 60)
        read_to_its_end = "SELECT NOT rereading FROM checkpoints WHERE site = %s"
        wait_until(lambda: self.system.value(read_to_its_end, self.site) is True, 60)

    def prove(self, *, gone: int = 0) -> None:
        """A full proof of the site holds."""
        arguments = ("--site", self.site, "--full", "--json", "--data-dir", str(self.system.data_dir))
        proof = json.loads(self.system.run("reconcile", *arguments))
        (site,) = proof["sites"]
        assert proof["holds"] is True
        assert (site["counts"]["missing"], site["counts"]["gone"]) == (0, gone)

    def rewind_checkpoint(self, batches: int) -> None:
        """As a Postgres that was put back, or one that is ahead of the site database."""
        with self.system.connect() as connection:
            connection.execute(
                "UPDATE checkpoints SET batch = batch + %s WHERE site = %s", [batches, self.site]
            )


@pytest.fixture
def tablet(system: System) -> Tablet:
    made = Tablet(system)
    for number in range(SESSIONS):
        made.push(number)
        made.wait_for(present=number + 1)
    return made


async def _recreate(system: System, site: str) -> None:
    async with aiohttp.ClientSession(headers=system.service_headers()) as http:
        url = f"{system.base_url}/db/site-{site}"
        async with http.delete(url) as deleted, http.put(url) as created:
            assert (deleted.status, created.status) == (200, 201)


def test_recreated_site_database_is_read_from_its_start_and_what_is_gone_is_marked(
    system: System, tablet: Tablet
) -> None:
    before = tablet.epoch
    asyncio.run(_recreate(system, tablet.site))
    tablet.push(0, 1)
    tablet.wait_for_another_epoch(before)
    tablet.wait_for(present=2, gone=SESSIONS - 2)
    # Recreated by hand it has no design documents.
    tablet.prove(gone=SESSIONS - 2 + DESIGN_DOCUMENTS)
    tablet.push(*range(SESSIONS))
    tablet.wait_for(present=SESSIONS)
    tablet.prove(gone=DESIGN_DOCUMENTS)


@pytest.mark.parametrize("batches", [-3, 5])
def test_checkpoint_from_the_past_or_the_future_starts_a_new_reading(tablet: Tablet, batches: int) -> None:
    before = tablet.epoch
    tablet.rewind_checkpoint(batches)
    tablet.wait_for_another_epoch(before)
    tablet.wait_for(present=SESSIONS)
    tablet.prove()


def test_restored_older_site_database_is_noticed_and_filled_up_again_by_its_tablet(tmp_path: Path) -> None:
    with running(tmp_path / "data") as system:
        tablet = Tablet(system)
        for number in range(3):
            tablet.push(number)
            tablet.wait_for(present=number + 1)
        system.run("store", "backup", "--data-dir", str(system.data_dir), str(tmp_path / "backup"))
        for number in range(3, SESSIONS):
            tablet.push(number)
            tablet.wait_for(present=number + 1)
        before = tablet.epoch
        system.stop()
        shutil.rmtree(system.data_dir / "store")
        system.run("store", "restore", "--data-dir", str(system.data_dir), str(tmp_path / "backup"))
        system.start()
        tablet.wait_for_another_epoch(before)
        tablet.wait_for(present=3, gone=SESSIONS - 3)
        tablet.prove(gone=SESSIONS - 3)
        tablet.push(*range(SESSIONS))
        tablet.wait_for(present=SESSIONS)
        tablet.prove()
