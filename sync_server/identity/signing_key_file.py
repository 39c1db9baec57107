"""The signing key's file: `<data directory>/keys/device-signing.pem`, made by whoever needs it first.

Gateway, projector and command line may all start at once on an empty data directory. Whichever comes second
must end up with the first one's key, and nobody may ever read half a key: each writes a key of its own to a
temporary file and links it to the final name, which succeeds for exactly one of them. A lost key ends every
credential that it signed, so it is on disk before it is used.
"""

import os
import stat
import uuid
from contextlib import suppress
from pathlib import Path

from sync_server.identity.device_credentials import SigningKey


class UnusableSigningKey(Exception):
    """The device signing key cannot be used; the message says why."""


def signing_key_path(data_dir: Path) -> Path:
    return data_dir / "keys" / "device-signing.pem"


def load_or_create_signing_key(data_dir: Path) -> SigningKey:
    """The key of this data directory; a new one, mode 0600, when there is none.

    Raises UnusableSigningKey when others can read the file or it holds no P-256 key, OSError when the
    directory cannot be written.
    """
    path = signing_key_path(data_dir)
    try:
        return _load(path)
    except FileNotFoundError:
        _create(path)
        return _load(path)


def _load(path: Path) -> SigningKey:
    with path.open("rb") as file:
        mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
        pem = file.read()
    if mode & 0o077:
        raise UnusableSigningKey(f"{path} can be read by others (mode {mode:04o}): chmod 600 it.")
    try:
        return SigningKey.from_pem(pem)
    except ValueError as error:
        raise UnusableSigningKey(f"{path} holds no unencrypted P-256 private key in PEM.") from error


def _create(path: Path) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(SigningKey.generate().private_pem)
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileExistsError):
            path.hardlink_to(temporary)
    finally:
        temporary.unlink()
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
