"""Passwords, stored as argon2id.

Hashing is slow and hungry on purpose (64 MiB and about a tenth of a second): a stolen table must be costly to
guess through. Inside a server that has two consequences. It never runs on the event loop, and only two run at
once, so that a burst of logins queues instead of filling the memory. And an account that does not exist must
cost as much as one that does, or the answer's delay tells which addresses have accounts.

Parameters are the second recommended option of RFC 9106, section 4.
"""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

from passlib.hash import argon2  # type: ignore[import-untyped]

MINIMUM_LENGTH = 12
MAXIMUM_LENGTH = 1024


class Cost(NamedTuple):
    """What one hash costs: memory in KiB, passes over it, and lanes that are filled at once."""

    memory_kib: int
    passes: int
    lanes: int

    def hasher(self) -> Any:
        """passlib's argon2id at this cost."""
        return argon2.using(
            type="ID", memory_cost=self.memory_kib, time_cost=self.passes, parallelism=self.lanes
        )

    def nobodys_hash(self) -> str:
        """A well-formed hash that no known password has: verifying against it costs what a real one costs."""
        return f"$argon2id$v=19$m={self.memory_kib},t={self.passes},p={self.lanes}${'A' * 22}${'A' * 43}"


COST = Cost(memory_kib=64 * 1024, passes=3, lanes=4)

_ARGON2ID = COST.hasher()
_NOBODYS_HASH = COST.nobodys_hash()
_HASHERS = ThreadPoolExecutor(max_workers=2, thread_name_prefix="argon2")


class UnusablePassword(ValueError):
    """A password has 12 to 1024 characters."""

    def __init__(self) -> None:
        super().__init__(self.__doc__)


def hash_password(password: str) -> str:
    """The argon2id hash to store. Blocks for about 0.1 s. Raises UnusablePassword."""
    if not MINIMUM_LENGTH <= len(password) <= MAXIMUM_LENGTH:
        raise UnusablePassword
    return str(_ARGON2ID.hash(password))


async def make_hash(password: str) -> str:
    """`hash_password`, for the event loop. Raises UnusablePassword."""
    return await asyncio.get_running_loop().run_in_executor(_HASHERS, hash_password, password)


async def verify_password(password: str, password_hash: str | None) -> bool:
    """Whether `password` has this hash; `None` (no such account) takes as long and is always False, and so is
    what is no hash: an account that a person has shut by hand.
    """
    if len(password) > MAXIMUM_LENGTH:
        return False
    if password_hash is not None and not argon2.identify(password_hash):
        password_hash = None
    loop = asyncio.get_running_loop()
    verified = await loop.run_in_executor(
        _HASHERS, _ARGON2ID.verify, password, password_hash or _NOBODYS_HASH
    )
    return password_hash is not None and bool(verified)
