"""What a device sees and may use in its site's database, at the centre and at a hub alike.

Knows nothing of where it is put on record: that is Postgres there and a journal here, so `admit` is theirs.
"""

from collections.abc import Sequence
from typing import Final

from replication.edits import Author
from replication.wire.decode import Incoming, Refusal
from sync_server.identity.device_credentials import DeviceCredential
from sync_server.policy import POLICY, RESERVED_LOCALS

MOST_LOCAL_BYTES: Final = 64 * 1024
"""A replicator's checkpoint with its whole history takes some ten kilobytes."""


class NoAccess:
    """Whoever asks for what is open to everybody: no document at all."""

    author: Author = Author(None)
    prefixes: tuple[str, ...] | None = ()
    most_local_bytes: int = 0

    def may_read(self, doc_id: str) -> bool:  # noqa: ARG002 (the interface's)
        """None."""
        return False

    def may_use_local(self, local_id: str) -> bool:  # noqa: ARG002 (the interface's)
        """None."""
        return False

    async def admit(self, database: str, docs: Sequence[Incoming]) -> list[Refusal | None]:  # noqa: ARG002 (the interface's)
        """Nothing."""
        return [Refusal("forbidden", "nobody may write here") for _ in docs]

    async def refused(self, database: str, docs: Sequence[tuple[Incoming, Refusal]]) -> None:
        """Nothing was let through."""


class SiteRights:
    """The part of a device's `Access` that the policy's table decides alone."""

    most_local_bytes: int = MOST_LOCAL_BYTES

    def __init__(self, credential: DeviceCredential) -> None:
        readable = POLICY[credential.role].readable
        self.prefixes = None if readable is None else tuple(f"{kind}:" for kind in readable)
        self.author = Author(credential.device, (credential.role,))
        self._credential = credential

    def may_read(self, doc_id: str) -> bool:
        """Published documents."""
        return self.prefixes is None or doc_id.startswith(self.prefixes)

    def may_use_local(self, local_id: str) -> bool:
        """A replicator's own checkpoints."""
        return local_id not in RESERVED_LOCALS
