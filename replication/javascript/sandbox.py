"""One design document's functions in an interpreter of their own; the interpreters that a thread keeps."""

import importlib.util
import threading
from collections import OrderedDict
from collections.abc import Sequence
from functools import cache
from importlib import resources
from typing import Any

import msgspec

from replication.errors import (
    CouchError,
    Forbidden,
    FunctionFailed,
    NotFound,
    NotImplementedHere,
    Unauthorized,
)

CPU_SECONDS = 5
"""Of one call. The whole process's time counts, so a busy server interrupts sooner."""
MEMORY_BYTES = 64 * 1024 * 1024
STACK_BYTES = 256 * 1024
TIMEOUT = "timeout"
"""`error` of the FunctionFailed of a call that was interrupted."""
KEPT_A_THREAD = 4
"""Interpreters; one takes some hundred kilobytes, and a millisecond to make."""

MISSING_ENGINE = "JavaScript is not installed here: pip install 'metricis-sync[javascript]'"


class _Outcome(msgspec.Struct):
    value: bool = False
    error: str | None = None
    reason: str = ""


_outcome = msgspec.json.Decoder(_Outcome)
_encode = msgspec.json.Encoder().encode


def installed() -> bool:
    """Whether the engine is there (the extra `javascript`)."""
    return importlib.util.find_spec("quickjs") is not None


@cache
def _prelude() -> str:
    return resources.files("replication.javascript").joinpath("prelude.js").read_text()


class Sandbox:
    """The functions of one design document; used by the thread that made it, and by no other."""

    def __init__(self, design: bytes) -> None:
        """`design`: its JSON. Raises NotImplementedHere without the engine."""
        try:
            import quickjs  # noqa: PLC0415 (an extra)
        except ImportError as error:
            raise NotImplementedHere(MISSING_ENGINE) from error
        self._failure = quickjs.JSException
        self._context = quickjs.Context()
        self._context.set_memory_limit(MEMORY_BYTES)
        self._context.set_max_stack_size(STACK_BYTES)
        self._context.set_time_limit(CPU_SECONDS)
        self.broken = False
        self._run = self._guarded(lambda: self._context.eval(_prelude()))
        self._call("load", design)

    def passes(self, path: Sequence[str], document: bytes, request: bytes) -> bool:
        """Whether the filter function at `path` lets it through. Raises NotFound, FunctionFailed."""
        return self._judged("passes", _encode(path), document, request)

    def emits(self, path: Sequence[str], document: bytes) -> bool:
        """Whether the map function at `path` emits anything for it. Raises NotFound, FunctionFailed."""
        return self._judged("emits", _encode(path), document)

    def validate(self, after: bytes, before: bytes, user: bytes, security: bytes) -> None:
        """Run `validate_doc_update`. Raises Forbidden or Unauthorized as it throws them, FunctionFailed."""
        self._judged("validate", b'["validate_doc_update"]', after, before, user, security)

    def _judged(self, name: str, *texts: bytes) -> bool:
        answer = self._call(name, *texts)
        try:
            found = _outcome.decode(answer)
        except (msgspec.DecodeError, TypeError) as error:
            self.broken = True
            raise FunctionFailed("unknown_error", "the function replaced what it runs on") from error
        if found.error is None:
            return found.value
        raise _failure(found.error, found.reason)

    def _call(self, name: str, *texts: bytes) -> Any:
        return self._guarded(lambda: self._run(name, *(text.decode() for text in texts)))

    def _guarded(self, work: Any) -> Any:
        try:
            return work()
        except self._failure as error:
            # Interrupted or out of memory: what it left half done is thrown away with the interpreter.
            self.broken = True
            text = str(error).partition("\n")[0]
            if "interrupted" in text:
                raise FunctionFailed(TIMEOUT, f"the function took longer than {CPU_SECONDS} s") from error
            raise FunctionFailed("out_of_memory" if "memory" in text else "unknown_error", text) from error


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


class _Kept(threading.local):
    def __init__(self) -> None:
        self.sandboxes: OrderedDict[bytes, Sandbox] = OrderedDict()


_kept = _Kept()


def sandbox_of(design: bytes) -> Sandbox:
    """This thread's interpreter of the design document with this JSON. Raises NotImplementedHere."""
    sandboxes = _kept.sandboxes
    found = sandboxes.pop(design, None)
    if found is None or found.broken:
        found = Sandbox(design)
    sandboxes[design] = found
    while len(sandboxes) > KEPT_A_THREAD:
        sandboxes.popitem(last=False)
    return found
