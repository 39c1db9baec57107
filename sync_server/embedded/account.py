"""Which account runs the servers.

Started by root, Postgres refuses to run, and nothing is gained by running Valkey as root either: both run
under an account without privileges. Started by anybody else, they run as that user.
"""

import os
import pwd
from dataclasses import dataclass
from pathlib import Path

from sync_server.embedded.errors import EmbeddedError

UNPRIVILEGED_ACCOUNTS = ("postgres", "nobody")


@dataclass(frozen=True)
class Account:
    """An operating system account by its numbers, and its name for messages."""

    uid: int
    gid: int
    name: str


def server_account(cluster: Path) -> Account | None:
    """The account for the servers; None: the one that is running already, because it is not root.

    The owner of an existing cluster keeps it: a `postgres` account that was added to the machine later, or a
    switch from a user's account to root, must not lock the data out. Raises EmbeddedError when root finds no
    account to change to.
    """
    if os.geteuid() != 0:
        return None
    if cluster.exists() and (owner := cluster.stat()).st_uid != 0:
        return Account(owner.st_uid, owner.st_gid, _name(owner.st_uid))
    for name in UNPRIVILEGED_ACCOUNTS:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        if entry.pw_uid != 0:
            return Account(entry.pw_uid, entry.pw_gid, name)
    raise EmbeddedError(
        "Postgres does not run as root, and this machine has neither an account `postgres` nor `nobody` "
        "to run it under. Add one, or start the system as another user."
    )


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
