"""Which instance a session gets at an address that repeats. Pure.

    REDCap has 1: "south/a", 2: "" (a person's); the ledger has 3 for another session
    south/a → 1, adopted: an answer that was lost, or a ledger from a backup
    south/b → 4, max(2, 3) + 1

| situation | instance |
|---|---|
| our uid is there | that one; the lowest where it is there more than once, and the others are told |
| our uid is there, in an instance that the ledger has for another session | passed over, and told |
| our uid is not there | above everything that REDCap or the ledger has, also what is retired |

Never `new`: a repeated request would make another instance. A read that failed is no empty list.
"""

from collections.abc import Collection, Iterable, Mapping

import msgspec


class Allocation(msgspec.Struct, frozen=True, kw_only=True):
    """The instance of each session. `adopted` were found by their uid; `also` has further instances with a
    session's uid, which a person has to look at.
    """

    instances: Mapping[str, int]
    adopted: frozenset[str]
    also: Mapping[str, tuple[int, ...]]


def allocate(
    uids: Mapping[str, str], remote: Iterable[tuple[int, str]], ledger: Collection[int]
) -> Allocation:
    """Instances for sessions of one address. `uids` by session, none of which has an instance in the ledger;
    `remote` has (instance, value of the key field) of every row that REDCap has there; `ledger` has the
    instances that it gave at this address, to whomever.

    New instances are given in the order of `uids`.
    """
    rows = list(remote)
    taken = set(ledger)
    highest = max([0, *taken, *(instance for instance, _ in rows)])
    found: dict[str, list[int]] = {}
    for instance, uid in rows:
        found.setdefault(uid.strip(), []).append(instance)
    instances: dict[str, int] = {}
    adopted: set[str] = set()
    also: dict[str, tuple[int, ...]] = {}
    for session, uid in uids.items():
        ours = sorted(set(found.get(uid, ()))) if uid else []
        free = [instance for instance in ours if instance not in taken and instance > 0]
        if free:
            instances[session] = free[0]
            adopted.add(session)
        else:
            highest += 1
            instances[session] = highest
        taken.add(instances[session])
        others = tuple(instance for instance in ours if instance != instances[session])
        if others:
            also[session] = others
    return Allocation(instances=instances, adopted=frozenset(adopted), also=also)
