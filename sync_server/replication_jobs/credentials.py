"""The credential of the other side: sealed with its URL, opened for that URL only.

The embedded store's `_replicator` holds the sealed text, and the store's replicator opens it when a run
begins. An Apache CouchDB has to be given the login itself; its admins can read it there.

| what happens | outcome |
|---|---|
| the sealed text is copied to a job with another URL | the run crashes: it is for another one |
| the key is gone | the run crashes, or the document is not written; the job says so |
"""

import base64
from collections.abc import Callable, Mapping

import msgspec

from replication.errors import Unauthorized
from sync_server.sealing import CannotOpen, Sealer


class Credential(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A login, or a token as Bearer."""

    user: str | None = None
    password: str | None = None
    token: str | None = None

    @property
    def header(self) -> str:
        """The value of `Authorization`."""
        if self.token is not None:
            return f"Bearer {self.token}"
        return "Basic " + base64.b64encode(f"{self.user}:{self.password}".encode()).decode()

    @property
    def secrets(self) -> tuple[str, ...]:
        """What nobody may be shown."""
        told = (self.password, self.token, self.header.partition(" ")[2])
        return tuple(secret for secret in told if secret)


class _Sealed(msgspec.Struct):
    url: str
    credential: Credential


class NotForThisUrl(Exception):
    """The credential was given for another URL."""

    def __init__(self) -> None:
        super().__init__(self.__doc__)


def seal(sealer: Sealer, url: str, credential: Credential) -> bytes:
    """The sealed text."""
    return sealer.seal(msgspec.json.encode(_Sealed(url, credential)).decode())


def open_sealed(sealer: Sealer, url: str, sealed: bytes) -> Credential:
    """The credential. Raises CannotOpen, NotForThisUrl."""
    told = msgspec.json.decode(sealer.open(sealed), type=_Sealed)
    if told.url != url:
        raise NotForThisUrl
    return told.credential


def look_up_with(sealer: Sealer) -> Callable[[str, str], Mapping[str, str]]:
    """How the embedded store's replicator gets the headers of a sealed credential. Raises Unauthorized."""

    def look_up(url: str, reference: str) -> Mapping[str, str]:
        try:
            return {"Authorization": open_sealed(sealer, url, reference.encode()).header}
        except (CannotOpen, NotForThisUrl) as error:
            raise Unauthorized(f"the credential cannot be used: {error}") from error

    return look_up
