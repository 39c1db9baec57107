"""One design document's functions, as the service calls them; a child process runs them."""

import hashlib
import importlib.util
import time
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache

import msgspec

from replication.errors import (
    CouchError,
    Forbidden,
    FunctionFailed,
    NotFound,
    NotImplementedHere,
    Unauthorized,
)
from replication.javascript.children import FILTERING, VALIDATING
from replication.javascript.pipe import Design, Function
from replication.javascript.tasks import TIMEOUT

CPU_SECONDS = 5
"""Of one call. The process of a call that does not end by itself is killed `tasks.KILL_AFTER` later."""
BATCH_DOCUMENTS = 256
BATCH_BYTES = 256 * 1024
"""Documents that go to a child at once; the last of them may be larger by itself."""

READ_SECONDS = 30.0
DOCUMENT_SECONDS = 0.01
"""What a filter may take for one read of a feed, and for each of its documents on top of that: a reader's
thread is held meanwhile, and no single call may be slow enough to be stopped.
"""

MISSING_ENGINE = "JavaScript is not installed here: pip install 'metricis-sync[javascript]'"

_VALIDATE = b'["validate_doc_update"]'
_encode = msgspec.json.Encoder().encode


def installed() -> bool:
    """Whether the engine is there (the extra `javascript`)."""
    return importlib.util.find_spec("quickjs") is not None


class Sandbox:
    """The functions of one design document; any thread may use it."""

    def __init__(self, design: bytes) -> None:
        """`design`: its JSON. Raises NotImplementedHere without the engine."""
        if not installed():
            raise NotImplementedHere(MISSING_ENGINE)
        self._design = Design(hashlib.sha256(design).digest(), design)

    def passes(self, path: Sequence[str], documents: Iterable[bytes], request: bytes) -> Iterator[bool]:
        """For each of the documents in order, whether the filter function at `path` lets it through. Raises
        NotFound, FunctionFailed, Unavailable when it comes to the document about which that is so.

        Documents are taken ahead of their verdicts: the more, the longer one goes on asking.
        """
        return _filtered(Function(self._design, "passes", _encode(path), [request]), documents)

    def emits(self, path: Sequence[str], documents: Iterable[bytes]) -> Iterator[bool]:
        """The same of a map function: whether it emits anything."""
        return _filtered(Function(self._design, "emits", _encode(path), []), documents)

    def validate(self, after: bytes, before: bytes, user: bytes, security: bytes) -> None:
        """Run `validate_doc_update`. Raises Forbidden or Unauthorized as it throws them, FunctionFailed,
        Unavailable.
        """
        function = Function(self._design, "validate", _VALIDATE, [before, user, security])
        answer = VALIDATING.ask(function, [after], CPU_SECONDS)
        if answer.error is not None:
            raise _failure(answer.error, answer.reason)


def _filtered(function: Function, documents: Iterable[bytes]) -> Iterator[bool]:
    allowed = READ_SECONDS
    for batch in _batches(documents):
        left = batch
        while left:
            began = time.monotonic()
            answer = FILTERING.ask(function, left, CPU_SECONDS)
            said = len(answer.values)
            allowed += DOCUMENT_SECONDS * said - (time.monotonic() - began)
            yield from answer.values
            if answer.error is not None:
                raise _failure(answer.error, answer.reason)
            left = left[said:]
            if allowed < 0:
                raise FunctionFailed(TIMEOUT, "the function is too slow for so many documents")


def _batches(documents: Iterable[bytes]) -> Iterator[list[bytes]]:
    """One document, then two, then four: who wants the first that passes need not look at many."""
    most = 1
    batch: list[bytes] = []
    size = 0
    for document in documents:
        batch.append(document)
        size += len(document)
        if len(batch) >= most or size >= BATCH_BYTES:
            yield batch
            batch, size = [], 0
            most = min(2 * most, BATCH_DOCUMENTS)
    if batch:
        yield batch


def _failure(error: str, reason: str) -> CouchError:
    match error:
        case "forbidden":
            return Forbidden(reason)
        case "unauthorized":
            return Unauthorized(reason)
        case "missing":
            return NotFound(f"missing json key: {reason}")
        case "compilation":
            return FunctionFailed("compilation_error", reason)
    return FunctionFailed(error, reason)


@lru_cache(maxsize=8)
def sandbox_of(design: bytes) -> Sandbox:
    """The functions of the design document with this JSON. Raises NotImplementedHere."""
    return Sandbox(design)
