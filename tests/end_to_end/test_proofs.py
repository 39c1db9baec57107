"""The commands that prove and mend, on a running system: what is taken away is found and put back."""

import gzip
import json
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest

from sync_server.demo.generate import generate_sessions
from tests.couchdb.behind import DESIGN_DOCUMENTS
from tests.end_to_end.proof import fingerprint
from tests.end_to_end.system import System, wait_until, with_login

SESSIONS = 12


@pytest.fixture
def lima(system: System, tmp_path: Path) -> str:
    """A site with projected sessions; pushed again by every test, which changes nothing."""
    path = tmp_path / "lima.ndjson.gz"
    with gzip.open(path, "wb") as file:
        for document in generate_sessions(SESSIONS, site="lima", seed=3, trials_per_task=10):
            file.write(msgspec.json.encode(document) + b"\n")
    system.run("load", "--url", with_login(system.enrol("lima", "tab-1")), str(path))
    wait_until(lambda: system.value("SELECT count(*) FROM sessions WHERE site = 'lima'") == SESSIONS, 60)
    return "lima"


def answer(system: System, *arguments: str, code: int = 0) -> Any:
    return json.loads(system.run(*arguments, "--json", "--data-dir", str(system.data_dir), check=code == 0))


def test_a_site_is_proved_damaged_repaired_and_proved_again(system: System, lima: str) -> None:
    proved = answer(system, "reconcile", "--full")
    assert proved["holds"] is True
    assert proved["not_compared"] == {}
    (site,) = proved["sites"]
    counts = {name: site["counts"][name] for name in ("documents", "projected")}
    assert counts == {"documents": SESSIONS + DESIGN_DOCUMENTS, "projected": SESSIONS}
    table = system.run("reconcile", "--data-dir", str(system.data_dir))
    assert table.splitlines()[-1].startswith("missing = 0, double = 0, incomplete = 0; ")
    before = fingerprint(system)

    with system.connect() as connection:
        connection.execute(
            "DELETE FROM documents"
            " WHERE doc_id = (SELECT min(doc_id) FROM documents WHERE doc_id LIKE 'session:%')"
        )
    found = answer(system, "reconcile", "--full", "--repair", code=3)
    assert (found["holds"], found["sites"][0]["counts"]["missing"]) == (False, 1)
    wait_until(lambda: system.value("SELECT count(*) FROM replays") == 0, 60)
    assert answer(system, "reconcile")["holds"] is True
    after = fingerprint(system)
    for moment in ("sessions", "documents"):
        del before[moment], after[moment]
    assert after == before


def test_a_rebuild_of_sound_rows_replaces_none_and_of_damaged_ones_those(system: System, lima: str) -> None:
    before = fingerprint(system)
    (rebuilt,) = answer(system, "rebuild")
    counts = {name: rebuilt[name] for name in ("documents", "replaced", "marked")}
    assert counts == {"documents": SESSIONS + DESIGN_DOCUMENTS, "replaced": 0, "marked": 0}
    assert fingerprint(system) == before
    with system.connect() as connection:
        connection.execute("DELETE FROM trial_rows WHERE session_id = (SELECT min(id) FROM sessions)")
    (rebuilt,) = answer(system, "rebuild", "--site", "lima", "--dry-run")
    assert (rebuilt["replaced"], rebuilt["by_table"]["trial_rows"]) == (1, 1)
    assert answer(system, "rebuild", "--site", "lima") == [rebuilt]
    assert answer(system, "reconcile", "--full")["holds"] is True


def test_a_rescoring_shows_the_difference_and_is_worked_off(system: System, lima: str) -> None:
    with system.connect() as connection:
        task = system.value("SELECT min(task) FROM scores WHERE value IS NOT NULL")
        connection.execute("UPDATE scores SET value = value + 1, scoring_version = 0 WHERE task = %s", [task])
    shown = answer(system, "rescore", "--task", task, "--dry-run")
    assert shown["old_versions"] == [0]
    with_task = system.value("SELECT count(DISTINCT session_id) FROM scores WHERE task = %s", task)
    assert shown["sessions"] == with_task
    assert any(score["max_absolute"] == pytest.approx(1) for score in shown["scores"].values())
    done = answer(system, "rescore", "--task", task)
    assert done == shown
    assert system.value("SELECT count(*) FROM scores WHERE scoring_version = 0") == 0
    kept = system.value("SELECT count(*) FROM score_history WHERE scoring_version = 0")
    assert kept == system.value("SELECT count(*) FROM scores WHERE task = %s", task)


def test_a_site_or_a_task_that_nobody_knows_is_told(system: System, lima: str) -> None:
    for arguments in (("reconcile", "--site", "x"), ("rebuild", "--site", "x"), ("rescore", "--task", "x")):
        assert system.run(*arguments, "--data-dir", str(system.data_dir), check=False) == ""


async def test_the_projector_proves_by_itself_and_the_service_tells(system: System, lima: str) -> None:
    wait_until(lambda: system.value("SELECT count(*) FROM proofs WHERE site = 'lima'") > 0, 60)
    async with aiohttp.ClientSession() as session:
        async with session.get(f"{system.base_url}/api/health/detailed") as health:
            assert (await health.json())["projection"][0]["missing"] == 0
        async with session.get(f"{system.base_url}/api/metrics") as metrics:
            assert 'metricis_proof_missing{site="lima"} 0.0' in await metrics.text()
