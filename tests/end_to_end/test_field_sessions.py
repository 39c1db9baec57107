"""The main job on real input: real PouchDBs push every field session, researchers find every row.

Projector, service and Postgres are killed in the first half of it. The second half arrives undisturbed, and
one proof covers both: what went wrong without a kill would be wrong there.
"""

import asyncio
from pathlib import Path

import pytest

from tests.couchdb.behind import no_sites
from tests.end_to_end import proof
from tests.end_to_end.conftest import Corpus
from tests.end_to_end.system import System, running, wait_until, with_login
from tests.interop.pouchdb import run_tablet

# A CouchDB serves one deployment.
__all__ = ["no_sites"]

PROJECTION_SECONDS = 120.0
KILLED = ("project", "serve", "postgres")


def _enrol_all(system: System, corpus: Corpus) -> dict[str, str]:
    """A tablet for each site; site → database URL with its login."""
    return {site: with_login(system.enrol(site, f"{site}-tab-1")) for site in corpus.files}


async def _push_all(urls: dict[str, str], corpus: Corpus, executable: str) -> dict[str, dict[str, str]]:
    """Every site's tablet pushes, two at a time; site → id → revision on the tablet."""
    two = asyncio.Semaphore(2)

    async def push(site: str) -> tuple[str, dict[str, str]]:
        files = [str(path) for path in corpus.files[site]]
        async with two:
            job = {"url": urls[site], "files": files, "attempts": 60, "batch_size": 10}
            result = await run_tablet(executable, job)
        assert result["denied"] == []
        return site, result["revs"]

    return dict(await asyncio.gather(*(push(site) for site in corpus.files)))


def _prove(system: System, corpus: Corpus, revs: dict[str, dict[str, str]]) -> None:
    def tell() -> object:
        return system.value("SELECT count(*) FROM sessions"), system.log_path.read_text()[-3000:]

    wait_until(lambda: proof.is_projected(system, corpus), PROJECTION_SECONDS, tell)
    proof.check_counts(system, corpus)
    proof.check_revisions(system, revs)
    proof.check_scores(system, corpus)


@pytest.mark.timeout(600)
def test_every_field_session_is_projected_once_and_scored_right_whatever_is_killed_meanwhile(
    tmp_path: Path, corpus: Corpus, node_executable: str
) -> None:
    with running(tmp_path / "data") as system:
        urls = _enrol_all(system, corpus)

        async def push_and_kill() -> dict[str, dict[str, str]]:
            pushing = asyncio.create_task(_push_all(urls, corpus, node_executable))
            for turn, child in enumerate(KILLED, start=1):
                # All three in the first half: what is killed must have much left to do.
                share = corpus.documents * turn // (2 * len(KILLED))
                await asyncio.to_thread(_wait_for_projected, system, share, pushing)
                await asyncio.to_thread(_kill, system, child)
            return await pushing

        revs = asyncio.run(push_and_kill())
        _prove(system, corpus, revs)
        restarted = {line["child"] for line in system.log_lines() if line.get("event") == "child_ended"}
        assert restarted == set(KILLED)


def _wait_for_projected(system: System, share: int, pushing: "asyncio.Task[object]") -> None:
    wait_until(
        lambda: pushing.done() or system.value("SELECT count(*) FROM sessions") >= share, PROJECTION_SECONDS
    )
    assert not pushing.done(), "everything was pushed before the next kill"


def _kill(system: System, child: str) -> None:
    before = system.record.children[child]
    system.kill(child)
    wait_until(lambda: system.record.children.get(child) not in (None, before), 60)
