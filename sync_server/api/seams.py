"""What the API asks of the site databases, whichever store holds them.

All are implemented on the CouchDB HTTP API, and raise `StoreUnreachable` when it does not answer.
"""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, Protocol


class StoreUnreachable(Exception):
    """The store of the site databases does not answer; the message says why."""


class LeafLookup(Protocol):
    """Where in its document's revision tree is a revision?"""

    async def descendants(
        self, database: str, revisions: Sequence[tuple[str, str]]
    ) -> Mapping[tuple[str, str], AbstractSet[str]]:
        """For each (document id, revision): the leaf revisions, deleted ones included, that equal it or
        descend from it. A revision that the store does not know is absent or has an empty set, also when the
        database does not exist. Raises StoreUnreachable.
        """
        ...


class CorrectionWriter(Protocol):
    """The site databases, as far as a coordinator's corrections need them."""

    async def corrections(self, database: str, session: str) -> Mapping[str, str]:
        """Ids and revisions of the session's corrections; `session` is its id without prefix. Deleted ones
        are absent; so are all where there is no such database. Raises StoreUnreachable.
        """
        ...

    async def leaf(self, database: str, doc_id: str, rev: str) -> bytes | None:
        """The body of a revision; None where the database does not have it. Raises StoreUnreachable."""
        ...

    async def write(self, database: str, document: Mapping[str, Any]) -> str | None:
        """Store a new document durably; its revision, or None where the id is taken.

        Raises StoreUnreachable also where it cannot be known whether the document was stored.
        """
        ...


class StoreProbe(Protocol):
    """Is the store there, and how far has its feed moved on?"""

    async def ping(self) -> None:
        """Returns when the store answers. Raises StoreUnreachable."""
        ...

    async def pending(self, database: str, since: str) -> int:
        """How many changes come after `since` (`"0"` = the start); 0 when the database does not exist.

        Raises StoreUnreachable.
        """
        ...
