"""Which sites a projector takes, gives away and keeps: a fair share of them, by what everybody sees.

Pure. Each projector that runs is a member; a site is one lock. At every look a projector knows how many
members there are and which locks are held, by itself and by others, and decides alone. Nobody assigns
anything, so nobody has to be asked when one dies.

The fair share is ceil(sites / members). Ten sites, projectors A and B:

| what happens | A | B | C |
|---|---|---|---|
| A starts | takes 10 | | |
| B starts: the share is 5 | gives 5 away, after their turns | takes them at its next look | |
| C starts: the share is 4 | gives 1 away | gives 1 away | takes 2 |
| B is killed: the share is 5 | takes 1 | | takes 3, or as many as A left |

Shares may differ by more than one: nobody gives away what is not above the share, because moving a site costs
a look at its mark and gains nothing.
"""

import hashlib
from collections.abc import Collection
from typing import NamedTuple


class Exchange(NamedTuple):
    """What a projector does about its locks at a look. All are lock keys."""

    keep: frozenset[int]
    give: frozenset[int]
    """Above the share, or of no site that there is."""
    candidates: tuple[int, ...]
    """Free ones, those to be tried first before the others."""
    room: int
    """How many of the candidates to take."""


def lock_key(site: str) -> int:
    """The key of a site's advisory lock: 32 bits, signed, the same in every process and version.

    Two sites with the same key are one lock: they are always shared out together, and nothing else.
    """
    return int.from_bytes(hashlib.sha256(site.encode()).digest()[:4], signed=True)


def share_out(
    keys: Collection[int], *, mine: Collection[int], others: Collection[int], members: int, member: int
) -> Exchange:
    """`keys` of all sites; those held by this projector and by others; how many members there are.

    `member` is a number of this one: members begin with different candidates.
    """
    wanted = frozenset(keys)
    share = -(-len(wanted) // max(members, 1))
    keep = frozenset(sorted(wanted.intersection(mine))[:share])
    free = wanted - frozenset(mine) - frozenset(others)
    return Exchange(
        keep=keep,
        give=frozenset(mine) - keep,
        candidates=tuple(sorted(free, key=lambda key: hashlib.sha256(b"%d %d" % (member, key)).digest())),
        room=share - len(keep),
    )
