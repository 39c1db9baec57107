"""An example of a route: one call of it that everybody makes in the matrix."""

from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from sync_server.policy import Right

Reach = Literal["study and site", "study", "study seen", "site", "everywhere", "anywhere"]
"""What the right is asked for on:

| reach | on |
|---|---|
| study and site | what belongs to both: a session, a participant, a visit |
| study | a study as a whole, to change it |
| study seen | a study, to read it |
| site | what belongs to a site and no study: a tablet, a quarantined document |
| everywhere | nothing less than everything |
| anywhere | nothing in particular: lists show what is in the scope, and own accounts |
"""


class Example(msgspec.Struct, frozen=True, kw_only=True):
    """A call of a route. In path parts, query, body and text are filled in: `{study}` and `{site}`,
    `{number}` (of what the world has by number at this site), `{me}` (the caller's account).
    """

    reach: Reach = "anywhere"
    right: Right | None = None
    """The right that this call takes, where it is another than the route's."""
    path: Mapping[str, str] = {}
    query: Mapping[str, str] = {}
    body: Any = None
    text: str | None = None
    """In place of a body: CSV."""
    may_be_missing: bool = False
    """Also who has the right is told 404: there is none of it in this world."""
