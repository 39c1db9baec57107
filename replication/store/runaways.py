"""Functions that never end, on a thread that others wait for.

A `validate_doc_update` is stopped after some seconds, and its document is refused. A batch has hundreds of
documents, and a function that loops on each of them would keep every other writer waiting for as many times
those seconds. So only a few may take that long in a while:

    what happens                                         what follows
    -------------------------------------------------    ----------------------------------------------------
    a document is judged, however slowly                 nothing is remembered
    a function took too long about a document, or        refused; the same document next time at once
    ended the process that it ran in
    that happened MOST_STOPPED times in WHILE_SECONDS    503: nothing of the request is stored; sent again it
                                                         gets further, as each refusal is remembered
"""

import hashlib
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from typing import NamedTuple

from replication.errors import FunctionFailed, Unavailable
from replication.javascript.tasks import PROCESS_ENDED, TIMEOUT

MOST_STOPPED = 3
WHILE_SECONDS = 60.0
REMEMBERED_SECONDS = 3600.0
"""Not for ever: a machine that was busy with other things may have been the reason."""
MOST_REMEMBERED = 10_000


class _Refused(NamedTuple):
    error: str
    reason: str
    until: float


class Runaways:
    """What took too long in one database; used by its writer's thread only."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._stopped: deque[float] = deque(maxlen=MOST_STOPPED)
        self._refused: OrderedDict[bytes, _Refused] = OrderedDict()

    def run(self, function: Callable[[], None], about: Sequence[bytes]) -> None:
        """Call the function unless it is known to take too long `about` this. Raises what it raises, and
        Unavailable.
        """
        now = self._clock()
        if self._refused:
            known = self._refused.get(_key(about))
            if known is not None and now < known.until:
                raise FunctionFailed(known.error, known.reason)
        if len(self._stopped) == MOST_STOPPED and now - self._stopped[0] < WHILE_SECONDS:
            raise Unavailable("a function of a design document takes too long; send again later")
        try:
            function()
        except FunctionFailed as failure:
            if failure.error in (TIMEOUT, PROCESS_ENDED):
                self._stopped.append(self._clock())
                self._refused[_key(about)] = _Refused(
                    failure.error, failure.reason, self._clock() + REMEMBERED_SECONDS
                )
                if len(self._refused) > MOST_REMEMBERED:
                    self._refused.popitem(last=False)
            raise


def _key(about: Sequence[bytes]) -> bytes:
    return hashlib.sha256(b"".join(hashlib.sha256(text).digest() for text in about)).digest()
