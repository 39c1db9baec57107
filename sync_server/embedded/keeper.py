"""Keep one child process running: start it, see it ready, start it again when it dies, stop it.

One coroutine owns the process from its start to its end, so that a stop and a restart can never overlap:

    start ──▶ running ──dies──▶ waiting (backoff) ──▶ start
                 │                  │
                 └──── stop ────────┴──▶ ended

A child that dies before it was ever ready is not started again: while the system starts, the person who
started it is there to read why.
"""

import asyncio
import os
import signal
import subprocess
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import structlog

from sync_server.embedded import server_log
from sync_server.embedded.backoff import delay_s, failures_in_row
from sync_server.embedded.errors import EmbeddedError, StartFailed
from sync_server.embedded.leftovers import StopSteps
from sync_server.embedded.lifeline import LIFELINE_VARIABLE

_READY_POLL_S = 0.03

log = structlog.get_logger()


@dataclass(frozen=True, kw_only=True)
class Child:
    """What to run, and how to tell that it is ready and to end it."""

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str]
    """The child's whole environment, not additions to ours."""
    directory: Path
    """Working directory."""
    log: Path | None = None
    """File for its output; None: our own standard output and error."""
    prepare: Callable[[], Awaitable[None]] | None = None
    """Awaited before each start; an EmbeddedError counts as a failed start."""
    ready: Callable[[], Awaitable[bool]] | None = None
    """Asked again and again after the first start; None: ready as soon as it runs."""
    ready_timeout_s: float = 60.0
    stop_steps: StopSteps = ((signal.SIGTERM, 30.0),)
    """Signals with their seconds of patience; SIGKILL follows the last."""
    lifeline: bool = False
    """Whether it inherits the lifeline (`lifeline`), as our own services do."""


class Keeper:
    """One child, kept running. `on_change` is called whenever `pid` changes."""

    def __init__(self, child: Child, *, lifeline: int, on_change: Callable[[], None]) -> None:
        self.child = child
        self._lifeline = lifeline
        self._on_change = on_change
        self._stopping = asyncio.Event()
        self._process: asyncio.subprocess.Process | None = None
        self._was_ready = False
        self._last_exit = "it was stopped"
        self._log_start = 0
        self._task: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        """The process id while the child runs."""
        return self._process.pid if self._process is not None else None

    async def start(self) -> None:
        """Start the child and return once it is ready. Raises StartFailed with the last lines of its log."""
        if self.child.log is not None:
            self._log_start = server_log.size(self.child.log)
        task = self._task = asyncio.create_task(self._run(), name=f"keeper {self.child.name}")
        deadline = asyncio.get_running_loop().time() + self.child.ready_timeout_s
        while not await self._is_ready():
            if task.done():
                raise self._start_failed(self._last_exit)
            if asyncio.get_running_loop().time() > deadline:
                raise self._start_failed(f"it was not ready after {self.child.ready_timeout_s:g} seconds")
            await asyncio.wait({task}, timeout=_READY_POLL_S)
        self._was_ready = True
        log.info("child_ready", child=self.child.name, pid=self.pid)

    async def stop(self) -> None:
        """End the child and start it no more; returns when it has ended."""
        self._stopping.set()
        if self._task is not None:
            await self._task

    async def _is_ready(self) -> bool:
        if self._process is None:
            return False
        ready = self.child.ready is None or await self.child.ready()
        # It may have died while it was asked.
        return ready and self._process is not None

    def _start_failed(self, why: str) -> StartFailed:
        path = self.child.log
        tail = server_log.tail(path, self._log_start) if path is not None else ""
        return StartFailed(self.child.name, why, tail)

    async def _run(self) -> None:
        clock = asyncio.get_running_loop().time
        failures = 0
        while not self._stopping.is_set():
            started = clock()
            self._last_exit = await self._run_once()
            if self._stopping.is_set() or not self._was_ready:
                return
            failures = failures_in_row(failures, clock() - started)
            delay = delay_s(failures)
            log.warning("child_ended", child=self.child.name, exit=self._last_exit, next_try_in_s=delay)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), delay)

    async def _run_once(self) -> str:
        """From one start to the end of the process; answers how it ended."""
        try:
            if self.child.prepare is not None:
                await self.child.prepare()
            process = await self._spawn()
        except (EmbeddedError, OSError) as error:
            return str(error).rstrip(".")
        self._process = process
        self._on_change()
        telling = asyncio.create_task(self._tell_when_ready_again()) if self._was_ready else None
        ended = asyncio.create_task(process.wait())
        stopping = asyncio.create_task(self._stopping.wait())
        await asyncio.wait({ended, stopping}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if not ended.done():
            await self._end(process)
        code = await ended
        if telling is not None:
            telling.cancel()
        self._process = None
        self._on_change()
        return f"ended by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"

    async def _tell_when_ready_again(self) -> None:
        while True:
            if await self._is_ready():
                log.info("child_ready", child=self.child.name, pid=self.pid)
                return
            await asyncio.sleep(_READY_POLL_S)

    async def _spawn(self) -> asyncio.subprocess.Process:
        child = self.child
        environment = dict(child.environment)
        if child.lifeline:
            environment[LIFELINE_VARIABLE] = str(self._lifeline)
        output = server_log.open_log(child.log) if child.log is not None else None
        try:
            return await asyncio.create_subprocess_exec(
                *child.command,
                cwd=child.directory,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                # A session of its own: Ctrl-C in the terminal must reach us alone, who stop in order.
                start_new_session=True,
                pass_fds=(self._lifeline,) if child.lifeline else (),
            )
        finally:
            if output is not None:
                output.close()

    async def _end(self, process: asyncio.subprocess.Process) -> None:
        for stop_signal, patience_s in self.child.stop_steps:
            with suppress(ProcessLookupError):
                process.send_signal(stop_signal)
            try:
                await asyncio.wait_for(process.wait(), patience_s)
            except TimeoutError:
                log.warning("child_ignores_signal", child=self.child.name, signal=stop_signal.name)
            else:
                return
        with suppress(ProcessLookupError):
            # The whole session: a worker's own children would go on without it.
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
