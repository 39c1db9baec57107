"""A store of revision trees that a test writes down."""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet

from sync_server.api.seams import StoreUnreachable


class TreeStore:
    """Answers what the API asks of site databases.

    `lineages`: per (database, id) the branches, each from its first revision to its leaf. `changes`: per
    (database, since) how many come after it.
    """

    def __init__(self) -> None:
        self.lineages: dict[tuple[str, str], list[list[str]]] = {}
        self.changes: dict[tuple[str, str], int] = {}
        self.down: str | None = None
        self.asked: list[tuple[str, str]] = []

    async def descendants(
        self, database: str, revisions: Sequence[tuple[str, str]]
    ) -> Mapping[tuple[str, str], AbstractSet[str]]:
        self._answer()
        self.asked.extend(revisions)
        return {
            (doc_id, rev): {
                branch[-1] for branch in self.lineages.get((database, doc_id), []) if rev in branch
            }
            for doc_id, rev in revisions
        }

    async def ping(self) -> None:
        self._answer()

    async def pending(self, database: str, since: str) -> int:
        self._answer()
        return self.changes.get((database, since), 0)

    def _answer(self) -> None:
        if self.down is not None:
            raise StoreUnreachable(self.down)
