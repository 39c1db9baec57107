"""Who may sync here: the centre's public keys, and which credentials it has revoked; known offline.

A credential is signed by the centre and checked with its public key. The list says which were revoked. One
that is not on the list may have been enrolled an hour ago, at the centre, which this hub cannot ask: let in.

| credential | answer |
|---|---|
| well signed, of this site, a tablet's, not revoked | let in, also when the list does not have it |
| revoked, as far as is known here | NotLetIn |
| signed by a key that is not on the list, or broken, or expired | NotLetIn |
| a hub's, a service's, another site's | NotHere |
| no list was ever fetched | NotReady: the tablet comes again |
"""

import sqlite3
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Final

import msgspec

from sync_server.gateway.verified import RememberingVerifier
from sync_server.hub.records import read_meta, write_meta
from sync_server.identity.device_credentials import (
    CredentialError,
    DeviceCredential,
    ForeignCredential,
)

_NAME: Final = "site list"


class PublicKey(msgspec.Struct, frozen=True):
    """A key that signs credentials; `kid` is its thumbprint."""

    kid: str
    pem: str


class ListedCredential(msgspec.Struct, frozen=True):
    """A credential of the site."""

    id: str
    device: str
    role: str
    revoked: bool


class FetchedList(msgspec.Struct, frozen=True):
    """The list as the centre sends it; `version` is opaque."""

    version: str
    site: str
    public_keys: list[PublicKey]
    credentials: list[ListedCredential]


class NotReady(Exception):
    """This hub has not been told yet who may sync here; try again."""

    def __init__(self) -> None:
        super().__init__(self.__doc__)


class NotLetIn(Exception):
    """The credential is not valid here; the message says why."""


class NotHere(Exception):
    """The credential is valid, and not for this hub."""


class SiteList:
    """The list in force. `replace` it when a newer one was fetched."""

    def __init__(self, site: str) -> None:
        self._site = site
        self._verifiers: Mapping[str, RememberingVerifier] = {}
        self._revoked: frozenset[str] = frozenset()
        self.version: str | None = None

    def replace(self, fetched: FetchedList) -> None:
        """From now on this one counts. Raises ValueError where it is another site's or a key is unusable."""
        if fetched.site != self._site:
            raise ValueError(f"the centre sent the list of {fetched.site!r}")
        verifiers = {}
        for key in fetched.public_keys:
            verifier = RememberingVerifier.from_pem(key.pem.encode())
            verifiers[verifier.key_id] = self._verifiers.get(verifier.key_id, verifier)
        self._verifiers = verifiers
        self._revoked = frozenset(each.id for each in fetched.credentials if each.revoked)
        self.version = fetched.version

    def in_force(self, credential_id: str) -> bool:
        """Whether a credential was not revoked, as far as is known here."""
        return credential_id not in self._revoked

    def judge(self, token: str | None, *, now: datetime) -> DeviceCredential:
        """The tablet that shows this token. Raises NotReady, NotLetIn, NotHere."""
        if self.version is None:
            raise NotReady
        if token is None:
            raise NotLetIn("a device's credential is needed here")
        credential = self._verified(token, now)
        if credential.site != self._site or credential.role != "tablet":
            raise NotHere(f"this hub serves the tablets of {self._site}")
        if not self.in_force(credential.id):
            raise NotLetIn("the credential was revoked")
        return credential

    def _verified(self, token: str, now: datetime) -> DeviceCredential:
        foreign = ForeignCredential()
        for verifier in self._verifiers.values():
            try:
                return verifier.verify(token, now=now)
            except ForeignCredential:
                continue
            except CredentialError as error:
                raise NotLetIn(str(error)) from error
        raise NotLetIn(str(foreign))


class _Version(msgspec.Struct):
    version: str


Cut = Callable[[Callable[[str], bool]], None]
"""Ends the open requests of every credential that is not in force."""


def save(connection: sqlite3.Connection, fetched: FetchedList) -> None:
    """Keep the list for starts without a link."""
    write_meta(connection, _NAME, msgspec.json.encode(fetched))


def kept_version(connection: sqlite3.Connection) -> str | None:
    """The version of the list that was kept; None before the first."""
    kept = read_meta(connection, _NAME)
    return None if kept is None else msgspec.json.decode(kept, type=_Version).version


def load(connection: sqlite3.Connection) -> FetchedList | None:
    """The list that was kept; None before the first."""
    kept = read_meta(connection, _NAME)
    return None if kept is None else msgspec.json.decode(kept, type=FetchedList)
