"""A deployment is backed up while it runs, and a new one is filled from the set: nothing is missing."""

import asyncio
import json
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
from click.testing import CliRunner

from replication.client import CouchClient, basic_login
from replication.push import Pushed, outgoing, push_batch
from sync_server.cli import main
from sync_server.demo.generate import generate_sessions
from tests.administration.office import Office
from tests.backup.conftest import Backups
from tests.contract.couch import replicated
from tests.contract.varied import attachment
from tests.documents.examples import a_patch
from tests.end_to_end.proof import store_revisions
from tests.end_to_end.system import System, free_port, wait_until

SITE = "lima"
DATABASE = "site-lima"
SESSIONS = 8
COUNTS = (
    "SELECT (SELECT count(*) FROM sessions), (SELECT count(*) FROM sessions WHERE visit = 'follow-up'),"
    " (SELECT count(*) FROM quarantine), (SELECT count(*) FROM consents), (SELECT count(*) FROM conflicts),"
    " (SELECT count(*) FROM trial_rows), (SELECT count(*) FROM ingest_log),"
    " (SELECT count(*) FROM documents)"
)


def documents() -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """What a tablet pushes, and what the server writes: conflicts, a deletion, attachments, a correction,
    documents that are quarantined.
    """
    sessions = list(generate_sessions(SESSIONS, site=SITE, seed=5, trials_per_task=6))
    pushed = [{**session, **_revision(session["_id"], "1-a")} for session in sessions]
    first = sessions[0]
    pushed += [
        {**first, **_revision(first["_id"], "2-b", "1-a"), "language": "es"},
        {**first, **_revision(first["_id"], "2-c", "1-a"), "language": "en"},
        {**sessions[1], **_revision("session:broken", "1-a"), "status": "nonsense"},
        {
            **_revision("consent:c", "1-a"),
            "type": "consent",
            "schema": 1,
            "study": first["study"],
            "site": SITE,
            "participant": first["participant"],
            "form": {"id": "main", "version": 1},
            "signed_at": "2026-01-02T03:04:05Z",
            "_attachments": {"signature.png": attachment("image/png", b"signature" * 100)},
        },
    ]
    name = sessions[2]["_id"].removeprefix("session:")
    patch = a_patch(name, 1, {"visit": "follow-up"}, {"visit": sessions[2]["visit"]})
    written = [
        {**patch, **_revision(patch["_id"], "1-a"), "site": SITE},
        {**_revision(sessions[3]["_id"], "2-d", "1-a"), "_deleted": True},
        {**_revision("_design/reports", "1-a"), "language": "query"},
    ]
    return pushed, written


def _revision(doc_id: str, *revs: str) -> dict[str, Any]:
    return replicated(doc_id, *revs)


def run(*arguments: object, code: int = 0) -> str:
    """A command, in this process: an interpreter's start costs more than most of them; its output."""
    outcome = CliRunner().invoke(main, [str(each) for each in arguments])
    assert outcome.exit_code == code, outcome.output + str(outcome.exception)
    return outcome.stdout


def told_by(output: str) -> Any:
    """The JSON of a command; the first deployment, in this process too, logs to the same place."""
    return json.loads(output.splitlines()[-1])


async def push(system: System, token: str, docs: list[dict[str, Any]]) -> Pushed:
    """As the tablet does that was enrolled in the first deployment."""
    async with aiohttp.ClientSession() as http:
        client = CouchClient(http, f"{system.base_url}/db", headers=basic_login("tab-1", token))
        return await push_batch(client, DATABASE, [outgoing(json.dumps(doc).encode()) for doc in docs])


def proved(system: System) -> dict[str, int]:
    proof = told_by(run("reconcile", "--full", "--json", "--data-dir", system.data_dir))
    (site,) = proof["sites"]
    assert (proof["holds"], proof["not_compared"]) == (True, {})
    counts: dict[str, int] = site["counts"]
    return counts


class Known(NamedTuple):
    """What the first deployment held."""

    token: str
    pushed: list[dict[str, Any]]
    counts: tuple[Any, ...]
    epoch: str
    revisions: dict[str, tuple[str, ...]]


async def test_a_new_deployment_from_a_set_has_every_revision_and_row_and_tablets_push_nothing(
    office: Office, backups: Backups, tmp_path: Path
) -> None:
    """From a base and an increment; a damaged set is refused first."""
    pushed, written = documents()
    gateway = office.gateway
    await gateway.open_site(SITE)
    token = await gateway.enrol(SITE, "tab-1")
    await gateway.push(DATABASE, *pushed[1:], token=token)
    await backups.run()
    await gateway.push(DATABASE, *written, token=gateway.service)
    await gateway.push(DATABASE, pushed[0], token=token)
    await office.project()
    page = await backups.source.place.client.changes(DATABASE, "0", limit=1000)
    revisions = {change.id: change.revs for change in page.changes}
    (before,) = office.rows(COUNTS)
    ((epoch,),) = office.rows("SELECT epoch FROM checkpoints")
    manifest = await backups.run(incremental=True, keys=True, winners=True)
    assert [run.databases[0].base for run in manifest.runs] == [True, False]
    assert before[1:4] == (1, 1, 1)
    known = Known(token, pushed, before, epoch, revisions)
    await asyncio.to_thread(_restore_and_prove, backups.directory, tmp_path, known)


def _restore_and_prove(target: Path, tmp_path: Path, known: Known) -> None:
    assert "2 runs: sound." in run("backup", target, "--check")
    fresh = tmp_path / "new"
    restore = ("restore", str(target), "--data-dir", str(fresh), "--yes")
    file = target / "0001" / f"{DATABASE}.jsonl.gz"
    content = file.read_bytes()
    file.write_bytes(content[:-9] + bytes([content[-9] ^ 1]) + content[-8:])
    run(*restore, code=1)
    assert not fresh.exists()
    assert "SHA-256" in run("backup", target, "--check", code=3)
    file.write_bytes(content)

    # On the embedded store, also where the set was made of a CouchDB.
    system = System(fresh, free_port(), COUCHDB_URL="")
    restored = json.loads(system.run(*restore, "--json"))
    (database,) = restored["databases"]
    assert (restored["complete"], database["refused"], database["left_out"]) == (True, [], 0)
    assert not (fresh / ".restore.json").exists()
    assert "holds databases" in CliRunner().invoke(main, restore).output
    try:
        system.start()
        assert asyncio.run(store_revisions(system, DATABASE)) == known.revisions
        again = asyncio.run(push(system, known.token, known.pushed))
        assert (len(again.stored), len(again.known), again.refused) == (0, len(known.pushed), ())
        wait_until(lambda: bool(system.value("SELECT epoch FROM checkpoints") != known.epoch), 60)
        wait_until(lambda: proved(system)["pending"] == 0, 60)
        with system.connect() as connection:
            assert connection.execute(COUNTS.encode()).fetchone() == known.counts
        run("audit", "verify", "--data-dir", fresh)
        told = told_by(run("backup", target, "--incremental", "--json", "--data-dir", fresh))
        (database,) = told["databases"]
        assert (database["base"], database["documents"]) == (True, len(known.revisions))
        assert "recreated or put back" in database["why"]
    finally:
        system.stop()
