"""A child process and the pipes to it, seen from the service. Used by one thread at a time."""

import contextlib
import math
import os
import select
import signal
import subprocess
import sys
import time
from collections import OrderedDict
from pathlib import Path

import msgspec

from replication.errors import FunctionFailed, Unavailable
from replication.javascript import tasks
from replication.javascript.tasks import (
    HEAD,
    KILL_AFTER,
    MOST_ANSWERED,
    PROCESS_ENDED,
    TIMEOUT,
    Answer,
    Task,
    length_of,
)

MODULE = "replication.javascript.child"
START_SECONDS = 30.0
"""Until a child has started: a tenth of a second, on a machine that is not busy."""
KEPT = 4
"""Interpreters of a child; one takes some hundred kilobytes, and a millisecond to make."""

_READ_BYTES = 64 * 1024
_ROOT = Path(__file__).parents[2]


_INHERITED = ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "PYTHONHOME")
"""Of the environment: what Python may need to start."""


class Design(msgspec.Struct, frozen=True):
    """A design document's JSON, and a key that stands for it."""

    key: bytes
    json: bytes


class Function(msgspec.Struct, frozen=True):
    """One function of a design document, as `tasks.Task` describes it."""

    design: Design
    call: str
    path: bytes
    more: list[bytes]


class _Late(Exception):
    """The deadline has come."""


class _Ended(Exception):
    """The process has closed its pipes, or sends what no child sends."""


class Child:
    """A running child. After an exception of `ask` it is of no more use: call `end`."""

    def __init__(self) -> None:
        """Start it. Raises Unavailable."""
        environment = {name: os.environ[name] for name in _INHERITED if name in os.environ}
        # What we import from, in the same order; ourselves too where something else than the path finds us.
        path = dict.fromkeys([*(str(Path(entry).absolute()) for entry in sys.path), str(_ROOT)])
        try:
            self._process = subprocess.Popen(  # noqa: S603 (our own program)
                [sys.executable, "-P", "-m", MODULE],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                bufsize=0,
                cwd="/",
                env={**environment, "PYTHONPATH": os.pathsep.join(path)},
            )
        except OSError as error:
            raise Unavailable(
                f"a process for functions of design documents did not start: {error}"
            ) from error
        pipes = (self._process.stdin, self._process.stdout)
        self._pipes = [pipe for pipe in pipes if pipe is not None]
        self._to, self._from = (pipe.fileno() for pipe in self._pipes)
        os.set_blocking(self._to, False)
        os.set_blocking(self._from, False)
        self._designs: OrderedDict[bytes, int] = OrderedDict()
        """Which slot a design document is in; the one that was used last is last."""
        try:
            self._receive(time.monotonic() + START_SECONDS)
        except (_Late, _Ended) as error:
            self.end()
            raise Unavailable("a process for functions of design documents did not start") from error

    @property
    def pid(self) -> int:
        """The process's id."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self._process.poll() is None

    def has(self, design: Design) -> bool:
        """Whether the design document is loaded."""
        return design.key in self._designs

    def ask(self, function: Function, items: list[bytes], seconds: float) -> Answer:
        """What the function says of the first items, one or more, or why it fails. `seconds`: the limit of
        one call. Raises FunctionFailed when the process did not survive it.
        """
        design = function.design
        loaded = self.has(design)
        slot = self._slot(design.key)
        task = Task(
            slot,
            None if loaded else design.json,
            function.call,
            function.path,
            items,
            function.more,
            seconds,
        )
        deadline = time.monotonic() + seconds + KILL_AFTER
        try:
            self._send(tasks.framed(tasks.encode_task(task)), deadline)
            answer = _sensible(self._receive(deadline), len(items))
        except _Late as error:
            self.end()
            raise _took_too_long(seconds) from error
        except _Ended as error:
            self.end()
            # Its alarm may be a little earlier than our deadline.
            if self._process.returncode == -signal.SIGALRM:
                raise _took_too_long(seconds) from error
            raise FunctionFailed(PROCESS_ENDED, "the function ended the process it ran in") from error
        if answer.broken:
            del self._designs[design.key]
        return answer

    def end(self) -> None:
        """Kill the process, whatever it does, and leave nothing of it."""
        self._process.kill()
        for pipe in self._pipes:
            pipe.close()
        self._process.wait()
        self._designs.clear()

    def _slot(self, key: bytes) -> int:
        slot = self._designs.pop(key, None)
        if slot is None:
            if len(self._designs) < KEPT:
                slot = min(set(range(KEPT)) - set(self._designs.values()))
            else:
                _, slot = self._designs.popitem(last=False)
        self._designs[key] = slot
        return slot

    def _send(self, frame: bytes, deadline: float) -> None:
        left = memoryview(frame)
        while left:
            try:
                left = left[os.write(self._to, left) :]
            except BlockingIOError:
                _wait(self._to, select.POLLOUT, deadline)
            except OSError as error:
                raise _Ended from error

    def _receive(self, deadline: float) -> Answer:
        received = bytearray()
        wanted = HEAD
        while len(received) < wanted:
            _wait(self._from, select.POLLIN, deadline)
            with contextlib.suppress(BlockingIOError):
                piece = os.read(self._from, _READ_BYTES)
                if not piece:
                    raise _Ended
                received += piece
            if wanted == HEAD and len(received) >= HEAD:
                wanted += length_of(received)
                if wanted > MOST_ANSWERED:
                    raise _Ended
        try:
            return tasks.decode_answer(memoryview(received)[HEAD:])
        except msgspec.DecodeError as error:
            raise _Ended from error


def _sensible(answer: Answer, asked: int) -> Answer:
    said = len(answer.values)
    if answer.error is None and not 0 < said <= asked:
        raise _Ended
    if answer.error is not None and said >= asked:
        raise _Ended
    return answer


def _took_too_long(seconds: float) -> FunctionFailed:
    return FunctionFailed(TIMEOUT, f"the function took longer than {seconds:g} s")


def _wait(descriptor: int, event: int, deadline: float) -> None:
    poll = select.poll()
    poll.register(descriptor, event)
    milliseconds = math.ceil(1000 * (deadline - time.monotonic()))
    if milliseconds <= 0 or not poll.poll(milliseconds):
        raise _Late
