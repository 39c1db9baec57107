"""Passwords and signing secrets that the system made for itself, kept in `secrets.json` (0600).

Each has a generated default: a release that needs one more finds it missing in an older file, makes it and
writes it back. The file is written before the cluster that it opens is created, never after.
"""

import secrets

import msgspec

from sync_server.embedded.atomic_file import write_atomically
from sync_server.embedded.data_directory import DataDirectory
from sync_server.embedded.errors import DirectoryUnusable


def _generate() -> str:
    # 256 bits; the alphabet needs no quoting in a URL.
    return secrets.token_urlsafe(32)


def _generate_hmac_key() -> str:
    # 512 bits: what the longest of the algorithms takes.
    return secrets.token_urlsafe(64)


class Secrets(msgspec.Struct, frozen=True, kw_only=True):
    """The generated secrets: never logged, and printed only where a person asked for it."""

    superuser_password: str = msgspec.field(default_factory=_generate)
    owner_password: str = msgspec.field(default_factory=_generate)
    app_password: str = msgspec.field(default_factory=_generate)
    jwt_secret: str = msgspec.field(default_factory=_generate_hmac_key)
    session_secret: str = msgspec.field(default_factory=_generate)

    def __repr__(self) -> str:
        return "Secrets(…)"


def load_or_create(directory: DataDirectory) -> Secrets:
    """The directory's secrets; made and written when there are none.

    Raises DirectoryUnusable when the file is unreadable, or gone while the cluster that it opens is there.
    """
    path = directory.secrets_file
    if not path.exists() and directory.cluster.exists():
        raise DirectoryUnusable(
            directory.root, f"{path} is missing, and Postgres cannot be opened without it; restore it"
        )
    try:
        content = path.read_bytes() if path.exists() else b"{}"
        found = msgspec.json.decode(content, type=Secrets)
    except (OSError, msgspec.DecodeError) as error:
        raise DirectoryUnusable(directory.root, f"{path} cannot be read ({error})") from error
    complete = msgspec.json.encode(found)
    if complete != content:
        write_atomically(path, complete)
    return found
