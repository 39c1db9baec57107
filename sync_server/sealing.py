"""What is readable only with a key that is not in the database: contacts, second factors, others' secrets.

Sealed with Fernet (AES-128-CBC with HMAC-SHA256). Keys come from `DATA_ENCRYPTION_KEYS`: the first one seals,
all of them open, so a key is replaced by putting a new one in front. Unset, there is one in the data
directory, made at the first start; several machines need the same, and so does a restored database.
"""

import base64
import hmac
from pathlib import Path

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from sync_server.key_file import load_or_create_key


class CannotOpen(Exception):
    """It was sealed with a key that is not among DATA_ENCRYPTION_KEYS."""

    def __init__(self) -> None:
        super().__init__(self.__doc__)


class UnusableKey(ValueError):
    """A key of DATA_ENCRYPTION_KEYS is 32 bytes in URL-safe base64."""

    def __init__(self) -> None:
        super().__init__(self.__doc__)


class Sealer:
    """Seals and opens texts."""

    def __init__(self, keys: tuple[str, ...]) -> None:
        """The first key seals. Raises UnusableKey."""
        try:
            self._keys = MultiFernet([Fernet(key) for key in keys])
        except ValueError as error:
            raise UnusableKey from error
        self._fingerprint_keys = [
            hmac.digest(base64.urlsafe_b64decode(key), b"metricis fingerprint 1", "sha256") for key in keys
        ]

    def seal(self, text: str) -> bytes:
        """The sealed text; another one each time."""
        return self._keys.encrypt(text.encode())

    def open(self, sealed: bytes) -> str:
        """The text. Raises CannotOpen."""
        try:
            return self._keys.decrypt(sealed).decode()
        except InvalidToken as error:
            raise CannotOpen from error

    def fingerprints(self, text: str) -> list[bytes]:
        """What the text is recognised by without being told, one a key: the first is what is kept now.

        Who has not the keys can neither make them nor try out texts.
        """
        encoded = text.encode("utf-8", "surrogatepass")
        return [hmac.digest(key, encoded, "sha256") for key in self._fingerprint_keys]


def load_sealer(keys: tuple[str, ...], data_dir: Path) -> Sealer:
    """With these keys; without any, with the data directory's own.

    Raises UnusableKey, `key_file.ReadableByOthers`, OSError.
    """
    if keys:
        return Sealer(keys)
    path = data_dir / "keys" / "data-encryption.key"
    return Sealer((load_or_create_key(path, Fernet.generate_key).decode().strip(),))
