"""Signatures that were checked already.

A tablet shows the same credential with every request, and an ES256 signature costs a fifth of what a small
request costs in all. That a token was signed here never changes, so it is remembered, by the token's digest;
what may change is asked every time: whether it has expired, here, and whether it was revoked, by the caller.
"""

import base64
from collections import OrderedDict
from datetime import datetime
from typing import NamedTuple

import msgspec
from cryptography.hazmat.primitives.asymmetric import ec

from sync_server.identity.device_credentials import (
    CredentialVerifier,
    DeviceCredential,
    ExpiredCredential,
    token_digest,
)

MOST_REMEMBERED = 4096
"""More devices than one gateway serves; those asked longest ago are forgotten first."""


class _Verified(NamedTuple):
    credential: DeviceCredential
    expires_at: int | None


class _Claims(msgspec.Struct):
    exp: int | None = None


class RememberingVerifier(CredentialVerifier):
    """A verifier that checks each token's signature once; what is not valid is not remembered."""

    def __init__(self, public_key: ec.EllipticCurvePublicKey, *, most: int = MOST_REMEMBERED) -> None:
        super().__init__(public_key)
        self._most = most
        self._verified: OrderedDict[bytes, _Verified] = OrderedDict()

    def verify(self, token: str, *, now: datetime) -> DeviceCredential:
        """As CredentialVerifier does."""
        digest = token_digest(token)
        known = self._verified.get(digest)
        if known is None:
            known = _Verified(super().verify(token, now=now), _expires_at(token))
            self._verified[digest] = known
            if len(self._verified) > self._most:
                self._verified.popitem(last=False)
        else:
            self._verified.move_to_end(digest)
        if known.expires_at is not None and now.timestamp() >= known.expires_at:
            del self._verified[digest]
            raise ExpiredCredential
        return known.credential


def _expires_at(token: str) -> int | None:
    """The `exp` of a token that was found to be valid."""
    claims = token.split(".")[1]
    return msgspec.json.decode(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)), type=_Claims).exp
