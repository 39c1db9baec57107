"""What publication needs of the site databases; `sync_server.jobs.site_documents` has it on CouchDB's API."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from reporting.publication.desired import Document


class SiteDatabaseMissing(Exception):
    """There is no such site database."""


class SiteDatabaseAway(Exception):
    """The site database does not answer, or its answer makes no sense; whether it wrote is unknown."""


CONFLICT = "conflict"
"""The error of a write that was made from another revision than the one that is there."""


class SiteDocuments(Protocol):
    """The site databases. Each method raises SiteDatabaseMissing, SiteDatabaseAway."""

    async def read(self, database: str, doc_ids: Sequence[str]) -> Mapping[str, Mapping[str, Any]]:
        """Those of the documents that are there, with `_rev`, by id."""
        ...

    async def present(self, database: str, doc_ids: Sequence[str]) -> frozenset[str]:
        """Which of the documents are there."""
        ...

    async def ids_of_type(self, database: str, type_: str, *, after: str | None, limit: int) -> list[str]:
        """Ids of the documents of a type that are there, ascending, beyond `after`."""
        ...

    async def write(self, database: str, documents: Sequence[Document]) -> Mapping[str, str]:
        """Write documents, each from its `_rev` (none: new); by id why those were not written that were not:
        CONFLICT, or a sentence.
        """
        ...
