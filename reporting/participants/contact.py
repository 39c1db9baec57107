"""A participant's contact: who it is and how to reach them. Sealed at once, opened only when asked for.

It is in one column of one table, as sealed text. It goes into no audit entry (these say which members
changed), no outbox entry, no published document and no log.
"""

from collections.abc import Callable
from typing import Annotated, Final

import msgspec
from msgspec import Meta

Seal = Callable[[str], bytes]
Open = Callable[[bytes], str]

MEMBERS: Final = ("name", "email", "phone", "address", "note", "timezone")

Short = Annotated[str, Meta(min_length=1, max_length=300)]
Long = Annotated[str, Meta(min_length=1, max_length=4000)]


class Contact(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """Every member may be absent."""

    name: Short | None = None
    email: Short | None = None
    phone: Short | None = None
    address: Long | None = None
    note: Long | None = None
    timezone: Annotated[str, Meta(min_length=1, max_length=64)] | None = None


def seal_contact(contact: Contact, seal: Seal) -> bytes | None:
    """As the column holds it; None where nothing is in it."""
    if contact == Contact():
        return None
    return seal(msgspec.json.encode(contact).decode())


def open_contact(sealed: bytes | None, unseal: Open) -> Contact:
    """What was sealed. Raises what `unseal` raises."""
    return Contact() if sealed is None else msgspec.json.decode(unseal(bytes(sealed)), type=Contact)


def changed_members(before: Contact, after: Contact) -> list[str]:
    """The names of the members that differ."""
    return [name for name in MEMBERS if getattr(before, name) != getattr(after, name)]
