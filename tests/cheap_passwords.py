"""Passwords hashed cheaply: with the service's own cost a tenth of all tests' time would be argon2.

The hashes stay argon2id, verified by the same code; only memory, passes and lanes are the least there are.
Processes that tests start keep the service's cost, and tests/identity/test_passwords.py asks for it.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from sync_server.identity import passwords

CHEAPEST = passwords.Cost(memory_kib=8, passes=1, lanes=1)


@contextmanager
def passwords_at(cost: passwords.Cost) -> Iterator[None]:
    """Hash and verify with `cost` in this process until it is left."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(passwords, "_ARGON2ID", cost.hasher())
        patch.setattr(passwords, "_NOBODYS_HASH", cost.nobodys_hash())
        yield
