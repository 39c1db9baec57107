"""One request as a handler sees it."""

from dataclasses import dataclass

from aiohttp import web

from replication.errors import Forbidden, NotFound
from replication.http.access import Access, Authorize, Operation
from replication.http.users import Sessions
from replication.replicator.replicator import Replicator
from replication.store.database import Database
from replication.store.registry import Registry

UNREADABLE = "this document is not readable with this credential"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A request and who makes it, whatever answers it."""

    request: web.Request
    access: Access
    database_name: str
    authorizer: Authorize
    sessions: Sessions

    async def authorize(self, operation: Operation) -> None:
        """Ask for one more operation. Raises Forbidden."""
        await self.authorizer(self.request, operation, self.database_name or None)

    def document_id(self) -> str:
        """The document id of the URL. Raises Forbidden when the caller may not read it, NotFound for a
        reserved name that is no document.
        """
        doc_id = self.named_document()
        self.check_readable(doc_id)
        return doc_id

    def named_document(self) -> str:
        """The document id of the URL, for whoever only writes it. Raises NotFound."""
        match = self.request.match_info
        doc_id = f"_design/{match['design']}" if "design" in match else match["doc"]
        if doc_id.startswith("_") and not doc_id.startswith("_design/"):
            raise NotFound(f"{doc_id} is not served here")
        return doc_id

    def check_readable(self, doc_id: str) -> None:
        """Raises Forbidden when the caller may not read the document."""
        if not self.access.may_read(doc_id):
            raise Forbidden(UNREADABLE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Call(Asked):
    """A request that the store answers, and the databases it may be about."""

    registry: Registry
    replicator: Replicator | None = None

    async def database(self) -> Database:
        """The database of the URL. Raises NotFound."""
        return await self.registry.open(self.database_name)
