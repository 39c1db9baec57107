"""Device credentials: what a tablet shows to replicate, checked without the database and without a secret.

A credential is a JWT signed with ES256. The private key stays where devices are enrolled; everything that
checks one (a gateway, a hub in the field without a network) has the public key, so a stolen hub cannot mint.

A tablet's or hub's credential has no `exp`. A tablet may be offline for months and must still be able to hand
in what it collected; what ends a credential is its revocation (`devices.revoke`), never the calendar. A
`service` credential is the opposite: any process that holds the key mints one for itself, valid for minutes,
for all sites; it is enrolled nowhere, so it must expire.

| token | failure |
|---|---|
| past its `exp` | ExpiredCredential |
| signed by another key (`kid` tells: another data directory, a restored server) | ForeignCredential |
| other algorithm (`none`, HS256 over the public key), broken signature | InvalidCredential |
| claims missing or mistyped | InvalidCredential |
| a service's without `exp` | InvalidCredential |
"""

import hashlib
from base64 import urlsafe_b64encode
from datetime import datetime, timedelta
from typing import Any, Literal, Self

import jwt
import msgspec
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from reporting.sites import site_of
from sync_server.identity.access_tokens import ISSUER
from sync_server.identity.authorization import basic_credentials, bearer_token
from sync_server.identity.couch_roles import ROLES_CLAIM, credential_role, device_role

DeviceRole = Literal["tablet", "hub", "service"]
ALGORITHM = "ES256"
REPLICATOR_DATABASE = "_replicator"
SERVICE_LIFETIME = timedelta(minutes=10)


class DeviceCredential(msgspec.Struct, frozen=True):
    """What a valid token says. `site` is None for a service: every site. `id` is the token's (its `jti`)."""

    device: str
    site: str | None
    role: DeviceRole
    id: str

    def opens(self, database: str) -> bool:
        """Whether this credential is for that database; what it may do there is policy, not identity."""
        if self.role == "service" and database == REPLICATOR_DATABASE:
            return True
        site = site_of(database)
        return site is not None and (self.role == "service" or site == self.site)


class CredentialError(Exception):
    """The token identifies no device."""

    def __init__(self) -> None:
        super().__init__(self.__doc__)


class ExpiredCredential(CredentialError):
    """The credential has expired."""


class ForeignCredential(CredentialError):
    """The credential was signed by another server's key: enrol the device here."""


class InvalidCredential(CredentialError):
    """The credential is not valid."""


class WrongKey(ValueError):
    """Devices' credentials are signed with an unencrypted EC key on curve P-256."""

    def __init__(self) -> None:
        super().__init__(self.__doc__)


class _Claims(msgspec.Struct, frozen=True):
    sub: str
    role: DeviceRole
    jti: str
    iat: int
    site: str | None = None
    exp: int | None = None


class CredentialVerifier:
    """Checks tokens with the public key alone."""

    def __init__(self, public_key: ec.EllipticCurvePublicKey) -> None:
        self._public_key = public_key
        self.key_id = thumbprint(public_key)

    @classmethod
    def from_pem(cls, pem: bytes) -> Self:
        """From a PEM public key. Raises ValueError (WrongKey where it is another kind of key)."""
        key = serialization.load_pem_public_key(pem)
        if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
            raise WrongKey
        return cls(key)

    @property
    def public_pem(self) -> bytes:
        return self._public_key.public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )

    def verify(self, token: str, *, now: datetime) -> DeviceCredential:
        """The credential a token carries. Whether it was revoked is another question.

        Raises ExpiredCredential, ForeignCredential or InvalidCredential.
        """
        try:
            if jwt.get_unverified_header(token).get("kid", self.key_id) != self.key_id:
                raise ForeignCredential
            decoded = jwt.decode(
                token,
                self._public_key,
                algorithms=[ALGORITHM],
                issuer=ISSUER,
                # `iat` may lie ahead: the server's clock was set back. `exp` is compared with `now` below.
                options={"verify_exp": False, "verify_iat": False, "verify_nbf": False},
            )
            claims = msgspec.convert(decoded, _Claims)
        # A header nested a thousand levels deep exhausts the JSON parser's recursion before it is refused.
        except (jwt.PyJWTError, ValueError, RecursionError) as error:
            raise InvalidCredential from error
        if (claims.role == "service") != (claims.site is None):
            raise InvalidCredential
        if claims.exp is None and claims.role == "service":
            raise InvalidCredential
        if claims.exp is not None and now.timestamp() >= claims.exp:
            raise ExpiredCredential
        return DeviceCredential(device=claims.sub, site=claims.site, role=claims.role, id=claims.jti)


class SigningKey:
    """The private key; only processes that enrol devices or act as a service hold it."""

    def __init__(self, private_key: ec.EllipticCurvePrivateKey) -> None:
        self._private_key = private_key
        self.verifier = CredentialVerifier(private_key.public_key())

    @classmethod
    def generate(cls) -> Self:
        return cls(ec.generate_private_key(ec.SECP256R1()))

    @classmethod
    def from_pem(cls, pem: bytes) -> Self:
        """From an unencrypted PEM private key. Raises ValueError (WrongKey: another kind of key)."""
        try:
            key = serialization.load_pem_private_key(pem, None)
        except (TypeError, UnsupportedAlgorithm) as error:
            raise WrongKey from error
        if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
            raise WrongKey
        return cls(key)

    @property
    def private_pem(self) -> bytes:
        return self._private_key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )

    def sign(self, credential: DeviceCredential, *, now: datetime, lifetime: timedelta | None = None) -> str:
        """The token of a credential; without `lifetime` it never expires. `now` is aware."""
        issued_at = int(now.timestamp())
        claims: dict[str, Any] = {
            "iss": ISSUER,
            "sub": credential.device,
            "role": credential.role,
            "jti": credential.id,
            "iat": issued_at,
        }
        if credential.site is not None:
            claims["site"] = credential.site
            # Read by a CouchDB that checks tokens itself. None for a service: CouchDB is not told to look at
            # `exp`, and would let it in for ever.
            claims[ROLES_CLAIM] = [device_role(credential.role), credential_role(credential.id)]
        if lifetime is not None:
            claims["exp"] = issued_at + int(lifetime.total_seconds())
        headers = {"kid": self.verifier.key_id}
        return jwt.encode(claims, self._private_key, algorithm=ALGORITHM, headers=headers)


def mint_service_token(key: SigningKey, *, service: str, now: datetime, credential_id: str) -> str:
    """A token for a process of this system (`projector`, …): every site, for 10 minutes."""
    credential = DeviceCredential(device=service, site=None, role="service", id=credential_id)
    return key.sign(credential, now=now, lifetime=SERVICE_LIFETIME)


def token_digest(token: str) -> bytes:
    """SHA-256 of a token: all that is stored of it."""
    return hashlib.sha256(token.encode()).digest()


def extract_token(authorization_header: str | None) -> str | None:
    """The token of `Bearer <token>` or of Basic `<device>:<token>`; not verified yet.

    None where there is none, and where the Basic user is not the device that the token names: a URL put
    together from two tablets' credentials would otherwise work until one of them is revoked.
    """
    basic = basic_credentials(authorization_header)
    if basic is None:
        return bearer_token(authorization_header)
    user, token = basic
    try:
        claims = jwt.decode(token, options={"verify_signature": False})
    except (jwt.PyJWTError, ValueError, RecursionError):
        return None
    return token if claims.get("sub") == user else None


def thumbprint(public_key: ec.EllipticCurvePublicKey) -> str:
    """The key's id: its JWK thumbprint, RFC 7638 (base64url, no padding)."""
    numbers = public_key.public_numbers()
    x, y = (_base64url(n.to_bytes(32, "big")) for n in (numbers.x, numbers.y))
    return _base64url(hashlib.sha256(f'{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}'.encode()).digest())


def _base64url(octets: bytes) -> str:
    return urlsafe_b64encode(octets).rstrip(b"=").decode()
