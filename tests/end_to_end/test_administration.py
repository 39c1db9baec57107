"""`sync-server up` with relay and worker: what is changed over the API reaches the site databases, whoever
dies.
"""

import json
import os
import signal
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

import psutil

from tests.end_to_end.system import ADMIN, System, running, wait_until

SECONDS = 30.0


class Team:
    """An admin who is logged in."""

    def __init__(self, system: System) -> None:
        self._system = system
        form = urllib.parse.urlencode({"username": ADMIN[0], "password": ADMIN[1]}).encode()
        with urllib.request.urlopen(f"{system.base_url}/api/auth/login", form) as answer:  # noqa: S310
            self._headers = {"Authorization": f"Bearer {json.load(answer)['access_token']}"}

    def send(self, method: str, path: str, body: Any = None) -> Any:
        """The body of the answer; errors are raised."""
        headers = {**self._headers, "Content-Type": "application/json", "If-Match": "*"}
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self._system.base_url + path, data, headers, method=method)  # noqa: S310
        with urllib.request.urlopen(request) as answer:  # noqa: S310
            return json.load(answer)

    def document(self, doc_id: str) -> Any:
        """A document of lima's database; None where it is not there."""
        url = f"{self._system.base_url}/db/site-lima/{urllib.parse.quote(doc_id, safe='')}"
        request = urllib.request.Request(url, headers=dict(self._system.service_headers()))  # noqa: S310
        try:
            with urllib.request.urlopen(request) as answer:  # noqa: S310
                return json.load(answer)
        except urllib.error.HTTPError as error:
            error.close()
            return None

    def finds_all_well(self) -> bool:
        """Whether every dependency answers."""
        try:
            return bool(self.send("GET", "/api/health/detailed")["status"] == "ok")
        except urllib.error.HTTPError as error:
            error.close()
            return False

    def enrol(self, code: str) -> None:
        """Put somebody on the roster, and wait until tablets are told."""
        new = {"study": "SRO", "code": code, "site": "lima", "status": "enrolled"}
        self.send("POST", "/api/participants", new)
        wait_until(lambda: self.document(f"participant:SRO/{code}") is not None, SECONDS, self.outbox)

    def outbox(self) -> Any:
        """What waits, by kind."""
        return self.send("GET", "/api/health/detailed")["outbox"]


def kill_and_await(system: System, child: str) -> None:
    """`kill -9`; returns once the supervisor has started it again."""
    before = system.record.children[child]
    os.kill(before, signal.SIGKILL)
    wait_until(lambda: system.record.children.get(child, before) != before, SECONDS)


def test_changes_reach_tablets_whoever_is_killed_and_nothing_is_left_running(tmp_path: Path) -> None:
    with running(tmp_path / "data") as system:
        team = Team(system)
        # Nothing waits yet; the relay compares each site that is made now.
        assert team.finds_all_well()
        wait_until(lambda: team.outbox() == [], SECONDS, team.outbox)
        team.send("POST", "/api/studies", {"code": "SRO"})
        team.send("POST", "/api/sites", {"code": "lima"})
        team.send("PUT", "/api/studies/SRO/sites/lima")
        team.send("PATCH", "/api/studies/SRO", {"status": "active"})
        team.enrol("p1")
        # At once, while the supervisor has not yet noticed; and when it has started it again.
        system.kill("relay")
        team.enrol("p2")
        kill_and_await(system, "work")
        team.enrol("p3")
        # What both of them hold on to is gone for a while.
        for child in ("valkey", "postgres"):
            kill_and_await(system, child)
            wait_until(team.finds_all_well, SECONDS)
            team.enrol(f"after-{child}")
        assert team.document("study:SRO")["status"] == "active"
        published = system.run("publish", "--check", "--json", "--data-dir", str(system.data_dir))
        assert json.loads(published)["agrees"]
        audited = system.run("audit", "verify", "--json", "--data-dir", str(system.data_dir))
        assert json.loads(audited)["first_break"] is None
        supervisor = psutil.Process(system.record.pid)
        family = [supervisor, *supervisor.children(recursive=True)]
        workers = {"work", "work-redcap", "work-reports"}
        assert system.record.children.keys() == {"postgres", "valkey", "serve", "project", "relay"} | workers
        assert system.stop() == 0
        wait_until(lambda: not any(runs(process) for process in family), SECONDS, lambda: family)


def runs(process: psutil.Process) -> bool:
    """Whether it has not ended; in a container, orphans may stay on as zombies for ever."""
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
