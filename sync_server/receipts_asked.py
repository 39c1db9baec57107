"""What a tablet asks when it wants receipts: the same of the centre and of a hub."""

from typing import Annotated, Final

import msgspec
from msgspec import Meta

MAX_REVISIONS: Final = 10_000


class PushedRevision(msgspec.Struct, frozen=True):
    """A document id and a revision, as pushed; `rev` is empty where a refused document had none."""

    id: str
    rev: str


class ReceiptsRequest(msgspec.Struct, frozen=True):
    """What a tablet asks about."""

    docs: Annotated[list[PushedRevision], Meta(max_length=MAX_REVISIONS)]
