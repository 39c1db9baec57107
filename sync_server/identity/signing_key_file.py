"""The signing key's file: `<data directory>/keys/device-signing.pem`.

A lost key ends every credential that it signed.
"""

from pathlib import Path

from sync_server.identity.device_credentials import SigningKey
from sync_server.key_file import ReadableByOthers, load_or_create_key


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
        return SigningKey.from_pem(load_or_create_key(path, lambda: SigningKey.generate().private_pem))
    except ReadableByOthers as error:
        raise UnusableSigningKey(str(error)) from error
    except ValueError as error:
        raise UnusableSigningKey(f"{path} holds no unencrypted P-256 private key in PEM.") from error
