"""`kill -9` of `sync-server up` itself, as a power switch would: nothing acknowledged is gone afterwards."""

import asyncio
from pathlib import Path

import psutil

from sync_server.demo.generate import generate_sessions
from tests.end_to_end import proof
from tests.end_to_end.system import System, free_port, wait_until, with_login
from tests.interop.pouchdb import run_tablet

SESSIONS = 6


def test_up_starts_again_on_the_directory_of_a_killed_one_and_goes_on(
    tmp_path: Path, node_executable: str
) -> None:
    system = System(tmp_path / "data", free_port())
    system.start()
    try:
        sessions = list(generate_sessions(SESSIONS, site="lima", seed=5, trials_per_task=10))
        url = with_login(system.enrol("lima", "tab-1"))
        job = {"url": url, "docs": sessions[:-1]}
        first = asyncio.run(run_tablet(node_executable, job))
        children = [psutil.Process(pid) for pid in system.record.children.values()]
        system.kill_supervisor()
        wait_until(lambda: not any(child.is_running() for child in children), 60)
        system.start()
        second = asyncio.run(run_tablet(node_executable, {**job, "docs": sessions}))
        assert second["revs"].items() >= first["revs"].items()
        wait_until(lambda: system.value("SELECT count(*) FROM sessions") == SESSIONS, 30)
        proof.check_revisions(system, {"lima": second["revs"]})
    finally:
        system.stop()
