"""The site databases, as far as an erasure needs them. Implemented on the CouchDB HTTP API."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol


class StoredDocument(NamedTuple):
    """A document of the feed with all its leaf revisions, winner first; `deleted`: its winner is."""

    id: str
    leaves: tuple[str, ...]
    deleted: bool


class SiteStore(Protocol):
    """Every method raises what its implementation raises when the store does not answer; repeat it then."""

    async def databases(self) -> list[str]:
        """The names of all databases."""
        ...

    async def naming(self, database: str, participant: str) -> list[tuple[str, str | None]]:
        """(id, study) of the documents whose winning revision has this `participant`."""
        ...

    async def feed(self, database: str) -> list[StoredDocument]:
        """Every document of the feed, deletions included; ids and revisions only."""
        ...

    async def bodies(
        self, database: str, revisions: Sequence[tuple[str, str]]
    ) -> list[tuple[str, str, bytes]]:
        """(id, revision, body) of those revisions that are kept."""
        ...

    async def purge(self, database: str, revisions: Mapping[str, Sequence[str]]) -> None:
        """Take these leaves out for good, and their ids out of the list of purges."""
        ...

    async def compact(self, database: str) -> None:
        """Give back the space of what was purged and superseded; returns when that is done."""
        ...
