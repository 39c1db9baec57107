"""Questions of research that are at work at once, and rosters that are being sent.

Each holds a connection of the pool: a question for as long as Postgres needs, `RESEARCH_STATEMENT_SECONDS` at
most, a roster for as long as its reader takes. Asked side by side, those of one person would take every
connection, and everybody else's requests wait.

| situation | the question |
|---|---|
| `MOST_OF_A_PERSON` of theirs are at work in this process | is refused: 429, come again soon |
| `MOST_AT_ONCE` of anybody's | likewise |
| it ends, fails, or the client goes away | makes room |
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from sync_server.errors import TooMany

MOST_OF_A_PERSON: Final = 4
MOST_AT_ONCE: Final = 10
"""Half of the connections that a process may have open."""
_RETRY_AFTER_S: Final = 2


class Questions:
    """Those at work in this process, by person."""

    def __init__(self) -> None:
        self._of: Counter[int] = Counter()

    @contextmanager
    def at_work(self, person: int) -> Iterator[None]:
        """While a question of this person is. Raises TooMany."""
        if self._of[person] >= MOST_OF_A_PERSON:
            raise self._refusal(f"{MOST_OF_A_PERSON} of your questions are")
        if self._of.total() >= MOST_AT_ONCE:
            raise self._refusal("Too many questions are")
        self._of[person] += 1
        try:
            yield
        finally:
            self._of[person] -= 1
            if not self._of[person]:
                del self._of[person]

    @staticmethod
    def _refusal(who: str) -> TooMany:
        return TooMany(
            f"{who} being answered: ask one after the other, and come again in {_RETRY_AFTER_S} s.",
            retry_after=_RETRY_AFTER_S,
            details={"retry_after": _RETRY_AFTER_S},
        )
