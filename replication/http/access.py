"""What a caller may do, as the handlers ask it. Whoever mounts the API decides; nothing here knows of roles.

Every route names its `Operation`. A caller who may perform it still sees and writes only the documents that
its `Access` lets through: refusals of single documents are answers, not failures of the request.
"""

from collections.abc import Awaitable, Callable, Sequence
from enum import Enum
from typing import Protocol

from aiohttp import web

from replication.edits import OWNER, Author
from replication.wire.decode import Incoming, Refusal

MOST_LOCAL_BYTES = 1024 * 1024
"""A replicator's checkpoint with its whole history takes some ten kilobytes."""


class Operation(Enum):
    """What a route does, for policies to allow or refuse."""

    SERVER_INFO = "server info"
    LIST_DATABASES = "list databases"
    CREATE_DATABASE = "create a database"
    DELETE_DATABASE = "delete a database"
    DATABASE_INFO = "database info"
    DATABASE_UPDATES = "read the feed of changed databases"
    REVS_DIFF = "compare revisions"
    REPLICATE_IN = "write replicated documents"
    EDIT = "write documents"
    READ_FEED = "read the changes feed"
    READ = "read a document"
    LIST_DOCUMENTS = "list documents"
    QUERY = "query documents"
    LOCAL = "read and write a checkpoint"
    FLUSH = "make sure that writes are on disk"
    SESSION = "ask who it is"
    MONITOR = "see what the server does"
    ADMINISTER = "administer a database"
    PURGE = "purge documents"
    COMPACT = "compact a database"
    RUN_REPLICATION = "run replications"


class Access(Protocol):
    """One caller's rights in one request."""

    @property
    def author(self) -> Author:
        """Who writes, as functions of design documents are told it."""

    @property
    def prefixes(self) -> tuple[str, ...] | None:
        """Documents whose id begins so are visible in feeds; None = all."""

    @property
    def most_local_bytes(self) -> int:
        """How large a `_local` document of this caller may be."""

    def may_read(self, doc_id: str) -> bool:
        """Whether the document may be read by its id."""

    def may_use_local(self, local_id: str) -> bool:
        """Whether the `_local` document (id without `_local/`) may be read and written."""

    async def admit(self, database: str, docs: Sequence[Incoming]) -> list[Refusal | None]:
        """Judge documents before they are stored, one answer a document; None = store it.

        Called with every replicated or edited document, refused ones included. What must be on record
        before a document is acknowledged is written here.
        """

    async def refused(self, database: str, docs: Sequence[tuple[Incoming, Refusal]]) -> None:
        """Hear of documents that `admit` let through and the store then refused."""


Authorize = Callable[[web.Request, Operation, str | None], Awaitable[Access]]
"""The caller's access for an operation on a database (None: the server). Raises Unauthorized or Forbidden."""


class FullAccess:
    """A caller who may do everything: tests, benchmarks, and a store that nobody else can reach."""

    author: Author = OWNER
    prefixes: tuple[str, ...] | None = None
    most_local_bytes: int = MOST_LOCAL_BYTES

    def may_read(self, doc_id: str) -> bool:  # noqa: ARG002
        return True

    def may_use_local(self, local_id: str) -> bool:  # noqa: ARG002
        return True

    async def admit(self, database: str, docs: Sequence[Incoming]) -> list[Refusal | None]:  # noqa: ARG002
        return [None for _ in docs]

    async def refused(self, database: str, docs: Sequence[tuple[Incoming, Refusal]]) -> None:
        pass


async def allow_everything(request: web.Request, operation: Operation, database: str | None) -> Access:  # noqa: ARG001
    """An `Authorize` for a server that only its owner can reach."""
    return FullAccess()
