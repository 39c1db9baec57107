"""A deployment is backed up while it runs, and a new one is filled from the set: nothing is missing."""

import asyncio
import json
from pathlib import Path
from typing import Any

import aiohttp
from click.testing import CliRunner

from replication.client import CouchClient, basic_login
from replication.push import Pushed, outgoing, push_batch
from sync_server.cli import main
from sync_server.demo.generate import generate_sessions
from tests.contract.couch import replicated
from tests.contract.varied import attachment
from tests.documents.examples import a_patch
from tests.end_to_end.proof import store_revisions
from tests.end_to_end.system import System, running, wait_until

SITE = "lima"
DATABASE = "site-lima"
SESSIONS = 8


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


class Deployment:
    """A running system, with the credential of a tablet that was enrolled in the first one."""

    def __init__(self, system: System, credential: tuple[str, str]) -> None:
        self.system = system
        self._credential = credential

    def push(self, docs: list[dict[str, Any]], *, as_service: bool = False) -> Pushed:
        return asyncio.run(self._push([outgoing(json.dumps(doc).encode()) for doc in docs], as_service))

    async def _push(self, docs: list[Any], as_service: bool) -> Pushed:
        async with aiohttp.ClientSession() as http:
            login = self.system.service_headers if as_service else basic_login(*self._credential)
            client = CouchClient(http, f"{self.system.base_url}/db", headers=login)
            return await push_batch(client, DATABASE, docs)

    def proved(self) -> dict[str, int]:
        proof = json.loads(run("reconcile", "--full", "--json", "--data-dir", self.system.data_dir))
        (site,) = proof["sites"]
        assert (proof["holds"], proof["not_compared"]) == (True, {})
        counts: dict[str, int] = site["counts"]
        return counts

    def revisions(self) -> dict[str, tuple[str, ...]]:
        return asyncio.run(store_revisions(self.system, DATABASE))


def run(*arguments: object, code: int = 0) -> str:
    """A command, in this process: an interpreter's start costs more than most of them; its output."""
    outcome = CliRunner().invoke(main, [str(each) for each in arguments])
    assert outcome.exit_code == code, outcome.output + str(outcome.exception)
    return outcome.stdout


def backup(system: System, *arguments: str) -> Any:
    return json.loads(run("backup", *arguments, "--json", "--data-dir", system.data_dir))


def test_a_new_deployment_from_a_set_has_every_revision_and_row_and_tablets_push_nothing(
    tmp_path: Path,
) -> None:
    """Base and increment, with keys. The restore is cut short once, and the set damaged once."""
    pushed, written = documents()
    late = pushed[4:5]
    early = [doc for doc in pushed if doc not in late]
    target = str(tmp_path / "set")
    with running(tmp_path / "old") as system:
        enrolment = system.enrol(SITE, "tab-1")
        old = Deployment(system, (enrolment["username"], enrolment["password"]))
        old.push(early)
        base = backup(system, target)
        old.push(written, as_service=True)
        old.push(late)
        wait_until(lambda: old.proved()["pending"] == 0, 60)
        counts = old.proved()
        increment = backup(system, target, "--incremental", "--with-keys", "--winners")
        before = old.revisions()
        sessions = system.value("SELECT count(*) FROM sessions")
        corrected = system.value("SELECT count(*) FROM sessions WHERE visit = 'follow-up'")
        epoch = system.value("SELECT epoch FROM checkpoints")
        logged = system.value("SELECT count(*) FROM ingest_log")
        assert corrected == 1
    assert [(run["databases"][0]["base"], run["databases"][0]["why"]) for run in (base, increment)] == [
        (True, ""),
        (False, ""),
    ]
    assert increment["databases"][0]["documents"] == 4
    assert run("backup", target, "--check").endswith("2 runs: sound.\n")

    fresh = tmp_path / "new"
    restore = ("restore", target, "--data-dir", str(fresh), "--yes")
    file = tmp_path / "set" / "0001" / f"{DATABASE}.jsonl.gz"
    content = file.read_bytes()
    file.write_bytes(content[:-9] + bytes([content[-9] ^ 1]) + content[-8:])
    run(*restore, code=1)
    assert not fresh.exists()
    assert "SHA-256" in run("backup", target, "--check", code=3)
    file.write_bytes(content)

    restored = json.loads(system.run(*restore, "--json"))
    (database,) = restored["databases"]
    assert (restored["complete"], database["refused"], database["left_out"]) == (True, [], 0)
    assert not (fresh / ".restore.json").exists()
    run(*restore, code=1)
    with running(fresh) as system:
        new = Deployment(system, (enrolment["username"], enrolment["password"]))
        assert new.revisions() == before
        again = new.push([*early, *late])
        assert (len(again.stored), len(again.refused)) == (0, 0)
        wait_until(lambda: bool(system.value("SELECT epoch FROM checkpoints") != epoch), 60)
        wait_until(lambda: new.proved()["pending"] == 0, 60)
        assert new.proved() == counts
        assert system.value("SELECT count(*) FROM sessions") == sessions
        assert system.value("SELECT count(*) FROM sessions WHERE visit = 'follow-up'") == corrected
        assert system.value("SELECT count(*) FROM ingest_log") == logged
        run("audit", "verify", "--data-dir", fresh)
