"""Workers that die at a step of our choosing, really: a process that has imported everything forks one a job.

    python -m tests.redcap.killed_worker    orders as JSON lines in, what became of each as JSON lines out

A step is a moment before or after an HTTP request or a commit. `die_at` 0: it lives, and says how many steps
there are. What it has not committed or sent by then is lost, as with any `kill -9`.
"""

import asyncio
import importlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import requests
from sqlalchemy.dialects.postgresql.psycopg import PGDialectAsync_psycopg

from reporting.redcap.requests import KIND
from sync_server.jobs import redcap as handler
from sync_server.jobs.delivery import deliver
from sync_server.logs import configure_logging
from sync_server.redcap.pushing import push
from tests.redcap.pushed import resources_of, settings_for


class _Steps:
    def __init__(self, die_at: int) -> None:
        self.count = 0
        self._die_at = die_at

    def around(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def stepped(*arguments: Any, **named: Any) -> Any:
            self._step()
            answer = function(*arguments, **named)
            self._step()
            return answer

        return stepped

    def _step(self) -> None:
        self.count += 1
        if self.count == self._die_at:
            os.kill(os.getpid(), signal.SIGKILL)


async def _work(order: dict[str, Any]) -> None:
    settings = settings_for(order["database_url"], Path(order["data_dir"]))
    async with resources_of(settings, order["key"]) as resources:
        await deliver(order.get("kind", KIND), [tuple(claim) for claim in order["claims"]], resources)


def _child(order: dict[str, Any], told: int) -> None:
    steps = _Steps(order["die_at"])
    requests.Session.send = steps.around(requests.Session.send)  # type: ignore[method-assign]
    PGDialectAsync_psycopg.do_commit = steps.around(  # type: ignore[method-assign]
        PGDialectAsync_psycopg.do_commit
    )
    setattr(handler, "push", partial(push, answer_seconds=order.get("answer_seconds", 5.0)))  # noqa: B010
    for name, value in order.get("constants", {}).items():
        module, _, attribute = name.rpartition(".")
        setattr(importlib.import_module(module), attribute, value)
    asyncio.run(_work(order))
    os.write(told, str(steps.count).encode())


def _fork(order: dict[str, Any]) -> dict[str, Any]:
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            _child(order, writing)
            status = 0
        finally:
            os._exit(status)
    os.close(writing)
    _, status = os.waitpid(child, 0)
    with os.fdopen(reading) as told:
        steps = told.read()
    return {"killed": os.WIFSIGNALED(status), "status": status, "steps": int(steps or 0)}


def main() -> None:
    """Until there are no more orders."""
    configure_logging("ERROR", process="killed_worker")
    for line in sys.stdin:
        sys.stdout.write(json.dumps(_fork(json.loads(line))) + "\n")
        sys.stdout.flush()


class KilledWorkers:
    """The process that forks them."""

    def __init__(self, **order: Any) -> None:
        """What every order has: `database_url`, `data_dir`, `key`; `kind` of entries, `constants` by name."""
        self._order = order
        command = [sys.executable, "-m", "tests.redcap.killed_worker"]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._process.communicate()

    def work(self, claims: list[tuple[int, int]], *, die_at: int = 0) -> dict[str, Any]:
        """One job; `killed`, and the `steps` of one that lived."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({**self._order, "claims": claims, "die_at": die_at}) + "\n")
        self._process.stdin.flush()
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return answer


if __name__ == "__main__":
    main()
