"""One design document's functions in an interpreter of their own; runs in a child process only."""

from importlib import resources
from typing import Any, NamedTuple

import msgspec
import quickjs

from replication.javascript.tasks import LONGEST_REASON, OUT_OF_MEMORY, TIMEOUT

MEMORY_BYTES = 64 * 1024 * 1024
STACK_BYTES = 256 * 1024


class Outcome(NamedTuple):
    """What a function said of one document, or why it did not."""

    value: bool
    error: str | None = None
    reason: str = ""


class _Said(msgspec.Struct):
    value: bool = False
    error: str | None = None
    reason: str = ""


_said = msgspec.json.Decoder(_Said)
_PRELUDE = resources.files("replication.javascript").joinpath("prelude.js").read_text()


class Interpreter:
    """The functions of one design document. `broken` once it was stopped in the middle of something."""

    def __init__(self) -> None:
        self._context = quickjs.Context()
        self._context.set_memory_limit(MEMORY_BYTES)
        self._context.set_max_stack_size(STACK_BYTES)
        self.broken = False
        self._run = self._context.eval(_PRELUDE)

    def load(self, design: bytes, seconds: float) -> Outcome:
        """Take the design document (JSON)."""
        answer = self._guarded("load", [design], seconds)
        return answer if isinstance(answer, Outcome) else Outcome(value=True)

    def call(self, name: str, texts: list[bytes], seconds: float) -> Outcome:
        """Call a function of the prelude, each argument a JSON text."""
        answer = self._guarded(name, texts, seconds)
        if isinstance(answer, Outcome):
            return answer
        try:
            said = _said.decode(answer)
        except (msgspec.DecodeError, TypeError):
            self.broken = True
            return Outcome(value=False, error="unknown_error", reason="the function replaced what it runs on")
        if said.error is None:
            return Outcome(said.value)
        return Outcome(said.value, said.error[:LONGEST_REASON], said.reason[:LONGEST_REASON])

    def _guarded(self, name: str, texts: list[bytes], seconds: float) -> Any:
        if sum(map(len, texts)) > MEMORY_BYTES:
            return Outcome(value=False, error=OUT_OF_MEMORY, reason="the document is too large for functions")
        try:
            self._context.set_time_limit(seconds)
            return self._run(name, *(text.decode() for text in texts))
        except quickjs.JSException as error:
            # Interrupted or out of memory: what it left half done is thrown away with the interpreter.
            self.broken = True
            text = str(error).partition("\n")[0][:LONGEST_REASON]
            if "interrupted" in text:
                reason = f"the function took longer than {seconds:g} s"
                return Outcome(value=False, error=TIMEOUT, reason=reason)
            return Outcome(
                value=False, error=OUT_OF_MEMORY if "memory" in text else "unknown_error", reason=text
            )
        except (MemoryError, UnicodeError) as error:
            self.broken = True
            name_of_error = OUT_OF_MEMORY if isinstance(error, MemoryError) else "unknown_error"
            return Outcome(value=False, error=name_of_error, reason=str(error) or "out of memory")
