"""Documents between the hub's store and the centre's site database, by the replicator's own runs.

| direction | what | picked by |
|---|---|---|
| push | sessions, consents, device documents: what tablets wrote | a selector on the id |
| pull | publications | the centre, which shows a hub nothing else |

A run goes to the end of the feed and writes checkpoints to both sides on the way; one that was cut off is
begun again from there, and `_revs_diff` keeps it from sending anything twice. What the centre refuses (it was
erased there, say) is counted, and does not hold up the others.
"""

import contextlib
import time
import uuid
from collections.abc import Iterator
from typing import Final

import aiohttp
import msgspec
import structlog

from replication.client import Unreachable
from replication.errors import CouchError, Forbidden, Unauthorized, Unavailable
from replication.replicator.definition import Definition, Endpoint
from replication.replicator.peer import Peer
from replication.replicator.transfer import Run
from sync_server.hub.contact import Kind, StepFailure
from sync_server.hub.private_store import PrivateStore
from sync_server.policy import COLLECTED_TYPES

BATCH: Final = 100
"""Changes between two looks at the clock for a checkpoint: a slow link gets somewhere before it is cut."""
ATTEMPTS: Final = 2
"""Of each request: the link comes again by itself."""
PATIENCE: Final = aiohttp.ClientTimeout(total=None, sock_connect=15, sock_read=600)
"""A batch of megabytes on a slow line is one request, and its answer comes at the end."""


log = structlog.get_logger()


class Copied(msgspec.Struct, frozen=True):
    """A run that reached the end of the feed: up to which sequence, and what the target did not take."""

    through: str
    written: int
    refused: int


def collected_selector() -> bytes:
    """Documents that tablets write, by their ids."""
    # No range of ids: Mango compares them as people sort words, where `;` comes before `:`.
    kinds = "|".join(COLLECTED_TYPES)
    return msgspec.json.encode({"_id": {"$regex": f"^({kinds}):"}}, order="sorted")


class Replications:
    """Between one local database and the same database of the centre. `server` is the store's uuid."""

    def __init__(
        self,
        store: PrivateStore,
        session: aiohttp.ClientSession,
        *,
        server: str,
        database: str,
        centre: str,
        token: str,
    ) -> None:
        self._here = store.endpoint(database)
        self._here_peer = store.peer(database)
        # The credential is no part of a checkpoint's name: it may change.
        self._there = Endpoint(f"{centre}/db/{database}", headers=(("authorization", f"Bearer {token}"),))
        self._there_peer = Peer(session, self._there)
        self._server = server

    async def centre_instance(self) -> str:
        """What names the centre's database as it was created or put back. Raises StepFailure."""
        with step_failures():
            return await self._there_peer.instance()

    async def push(self) -> Copied:
        """Hand in what tablets wrote. Raises StepFailure."""
        definition = Definition(
            self._here,
            self._there,
            selector=collected_selector(),
            batch_size=BATCH,
            attempts=ATTEMPTS,
            checkpoint_interval=2.0,
        )
        return await self._run(definition, self._here_peer, self._there_peer)

    async def pull(self) -> Copied:
        """Fetch what was published. Raises StepFailure."""
        definition = Definition(
            self._there, self._here, batch_size=BATCH, attempts=ATTEMPTS, checkpoint_interval=2.0
        )
        return await self._run(definition, self._there_peer, self._here_peer)

    async def _run(self, definition: Definition, source: Peer, target: Peer) -> Copied:
        run = Run(
            definition,
            source,
            target,
            checkpoint_id=definition.base_id(self._server),
            session_id=uuid.uuid4().hex,
            clock=time.time,
        )
        with step_failures():
            session = (await run()).session
        return Copied(session.recorded_seq, session.docs_written, session.doc_write_failures)


@contextlib.contextmanager
def step_failures() -> Iterator[None]:
    """Failures of the protocol as those of a step, in words for a page that anybody may read: a reason may
    name a document, and goes to the log only.
    """
    try:
        yield
    except Unreachable as error:
        raise StepFailure("away", error.reason) from error
    except (Unauthorized, Forbidden) as error:
        raise StepFailure("refused", f"the centre refuses this hub: {error.reason}") from error
    except CouchError as error:
        log.warning("replication failed", error=error.error, reason=error.reason)
        kind: Kind = "away" if isinstance(error, Unavailable) else "failed"
        raise StepFailure(kind, f"replication stopped: {error.error}; the log says more") from error
