"""Which credentials are in force, known without asking Postgres at every replication request.

A tablet makes hundreds of requests for one sync, and the answer changes a few times a year. So the gateway
holds the whole list in memory and reads it anew every second, and at once when `devices` notifies. What has
to be decided is what happens when that reading fails:

| situation | answer |
|---|---|
| never read yet | NOT_READY: a 401 would send enrolled tablets away, accepting would let revoked ones in |
| Postgres away after the first reading | the last list stays in force: tablets go on syncing |
| credential not in the list | Postgres is asked once (just enrolled?); UNKNOWN holds until the next reading |
| not in the list and Postgres away | NOT_READY: cannot be judged now |
| in the list, but another token | UNKNOWN: not the token that was enrolled |

A revocation made while Postgres is away from a gateway's point of view takes effect when that ends.
"""

import asyncio
import enum
import hmac
from collections.abc import Callable
from types import TracebackType
from typing import NamedTuple, Self

from sqlalchemy.ext.asyncio import AsyncEngine

from sync_server.following import AWAY, Follower
from sync_server.identity.device_credentials import token_digest
from sync_server.identity.devices import CREDENTIALS_CHANNEL, select_credentials

_PATIENCE = 5.0
"""Seconds after which a reading that has not answered counts as failed: a partition never answers."""


class Standing(enum.Enum):
    """What is known of a credential."""

    ENROLLED = "enrolled"
    REVOKED = "revoked"
    UNKNOWN = "unknown"
    NOT_READY = "not ready"


class _Known(NamedTuple):
    token_sha256: bytes
    revoked: bool


class KnownCredentials:
    """The list, followed by a background task from `async with` to its end.

    `interval` is the longest time between two readings, seconds.
    """

    def __init__(
        self,
        engine: AsyncEngine,
        *,
        interval: float = 1.0,
        told: Callable[[Callable[[str], bool]], None] | None = None,
    ) -> None:
        """`told` is called after each reading, with what tells whether a credential is in force."""
        self._engine = engine
        self._told = told
        self._follower = Follower(
            engine, CREDENTIALS_CHANNEL, self.refresh, what="credentials", interval=interval
        )
        self._known: dict[str, _Known] | None = None
        self._absent: set[str] = set()
        self._read = asyncio.Condition()

    async def __aenter__(self) -> Self:
        await self._follower.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._follower.__aexit__(kind, error, traceback)

    @property
    def ready(self) -> bool:
        """Whether the list was ever read."""
        return self._known is not None

    async def next_reading(self) -> None:
        """Returns when the list has been read once more."""
        async with self._read:
            await self._read.wait()

    async def standing(self, credential_id: str, token: str) -> Standing:
        """What is known of the credential with this id, presented as this token (signature checked)."""
        known = self._known
        if known is None:
            return Standing.NOT_READY
        if credential_id in known:
            return _judge(known[credential_id], token)
        if credential_id in self._absent:
            return Standing.UNKNOWN
        try:
            asked = await self._select([credential_id])
        except AWAY:
            return Standing.NOT_READY
        if credential_id in asked:
            return _judge(asked[credential_id], token)
        self._absent.add(credential_id)
        return Standing.UNKNOWN

    async def refresh(self) -> None:
        """Read the list now. Raises SQLAlchemy's errors when Postgres is away; the last list then stays."""
        self._known = await self._select(None)
        self._absent.clear()
        if self._told is not None:
            self._told(self._is_in_force)
        async with self._read:
            self._read.notify_all()

    def _is_in_force(self, credential_id: str) -> bool:
        known = self._known
        # One that is not in the list was enrolled after it was read.
        return known is None or credential_id not in known or not known[credential_id].revoked

    async def _select(self, ids: list[str] | None) -> dict[str, _Known]:
        async with asyncio.timeout(_PATIENCE), self._engine.connect() as connection:
            rows = await connection.execute(select_credentials(ids))
            return {credential: _Known(digest, revoked) for credential, digest, revoked in rows}


def _judge(known: _Known, token: str) -> Standing:
    if not hmac.compare_digest(known.token_sha256, token_digest(token)):
        return Standing.UNKNOWN
    return Standing.REVOKED if known.revoked else Standing.ENROLLED
