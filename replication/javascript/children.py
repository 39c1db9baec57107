"""Few child processes for many threads: started when they are needed, taken in the order of asking.

Filters and `validate_doc_update` have children of their own: a writer does not wait for somebody's filter.
There are as many children for filters as threads that read for filters, so that those never wait; writers
of several databases may have to, each call anew.
"""

import atexit
import contextlib
import threading
import time
from collections import deque
from collections.abc import Iterator
from typing import NamedTuple

from replication.errors import Unavailable
from replication.javascript.pipe import Child, Design, Function
from replication.javascript.tasks import Answer

WAIT_SECONDS = 15.0
"""For a child, while others have them all."""
IDLE_SECONDS = 60.0
"""Until a child that nobody asks is ended."""


class _Idle(NamedTuple):
    child: Child
    since: float


class Children:
    """At most `most` children at a time."""

    def __init__(self, most: int) -> None:
        self._free = most
        self._waiting: deque[threading.Event] = deque()
        self._idle: list[_Idle] = []
        """The one that was used last is last."""
        self._timer: threading.Timer | None = None
        self._lock = threading.Lock()

    def ask(self, function: Function, items: list[bytes], seconds: float) -> Answer:
        """`Child.ask` of a child that is free. Raises Unavailable, FunctionFailed."""
        with self._turn():
            child = self._taken(function.design) or Child()
            try:
                answer = child.ask(function, items, seconds)
            except BaseException:
                child.end()
                raise
            self._put_back(child)
            return answer

    def end_idle(self, seconds: float = 0.0) -> None:
        """End the children that were not asked for so long."""
        with self._lock:
            before = time.monotonic() - seconds
            ending = [idle.child for idle in self._idle if idle.since <= before]
            self._idle = [idle for idle in self._idle if idle.since > before]
        for child in ending:
            child.end()

    @property
    def idle(self) -> list[int]:
        """Process ids of the children that run and do nothing."""
        with self._lock:
            return [idle.child.pid for idle in self._idle]

    @contextlib.contextmanager
    def _turn(self) -> Iterator[None]:
        mine: threading.Event | None = None
        with self._lock:
            if self._free:
                self._free -= 1
            else:
                mine = threading.Event()
                self._waiting.append(mine)
        if mine is not None and not mine.wait(WAIT_SECONDS):
            with self._lock:
                late = mine in self._waiting
                if late:
                    self._waiting.remove(mine)
            if late:
                raise Unavailable("functions of design documents are busy; send again later")
        try:
            yield
        finally:
            with self._lock:
                # Handed over: whoever asks again and again must not overtake those who wait.
                if self._waiting:
                    self._waiting.popleft().set()
                else:
                    self._free += 1

    def _taken(self, design: Design) -> Child | None:
        while True:
            with self._lock:
                if not self._idle:
                    return None
                having = [place for place, idle in enumerate(self._idle) if idle.child.has(design)]
                child = self._idle.pop(having[-1] if having else -1).child
            if child.alive:
                return child
            child.end()

    def _put_back(self, child: Child) -> None:
        with self._lock:
            self._idle.append(_Idle(child, time.monotonic()))
            if self._timer is None:
                self._set_timer()

    def _set_timer(self) -> None:
        self._timer = threading.Timer(IDLE_SECONDS, self._look_after)
        self._timer.name = "javascript children"
        self._timer.daemon = True
        self._timer.start()

    def _look_after(self) -> None:
        self.end_idle(IDLE_SECONDS)
        with self._lock:
            self._timer = None
            if self._idle:
                self._set_timer()


FILTERING = Children(2)
VALIDATING = Children(2)


def end_idle_children() -> None:
    """End what nobody uses now; who needs a child later starts one."""
    for children in (FILTERING, VALIDATING):
        children.end_idle()


atexit.register(end_idle_children)
