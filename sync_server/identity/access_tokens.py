"""People's access tokens: short-lived JWTs, signed with the server's secret.

A token says who logged in, by which login (`sid`), and until when. It is not asked what the person may do:
roles change and accounts are closed while tokens live, so the caller reads the account again (see
`principals`). A token without `sid` belongs to no login that could be ended before it expires; the service
issues none, and nobody else can sign one.

| token | failure |
|---|---|
| past its `exp` | ExpiredAccessToken |
| other signature, algorithm, issuer or audience; claims missing or mistyped | InvalidAccessToken |
"""

from datetime import datetime, timedelta
from typing import Literal, NamedTuple

import jwt
import msgspec

Role = Literal["admin", "coordinator", "researcher", "read-only"]

ISSUER = "metricis-sync"
AUDIENCE = "api"


class Person(msgspec.Struct, frozen=True):
    """Someone with an account. `id` is the account's number; it outlives a change of email.

    `role` is the one they have everywhere; None: what they may do is in their memberships.
    """

    id: int
    email: str
    role: Role | None


class Identified(NamedTuple):
    """Who a token was issued to, and by which login; None: by none."""

    person: Person
    login: str | None


class AccessTokenError(Exception):
    """The access token does not identify anybody."""

    def __init__(self) -> None:
        super().__init__(self.__doc__)


class ExpiredAccessToken(AccessTokenError):
    """The access token has expired: log in again."""


class InvalidAccessToken(AccessTokenError):
    """The access token is not valid."""


class _Claims(msgspec.Struct, frozen=True):
    sub: str
    email: str
    role: Role | None
    iat: int
    exp: int
    jti: str
    sid: str | None = None


def issue_access_token(
    person: Person,
    *,
    secret: str,
    algorithm: str,
    now: datetime,
    lifetime: timedelta,
    token_id: str,
    login: str | None = None,
) -> str:
    """A token that identifies `person` from `now` (aware) for `lifetime`; whole seconds count. It opens
    nothing once its `login` has ended.
    """
    issued_at = int(now.timestamp())
    claims = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": str(person.id),
        "email": person.email,
        "role": person.role,
        "iat": issued_at,
        "exp": issued_at + int(lifetime.total_seconds()),
        "jti": token_id,
    }
    if login is not None:
        claims["sid"] = login
    return jwt.encode(claims, secret, algorithm=algorithm)


def identify(token: str, *, secret: str, algorithm: str, now: datetime) -> Identified:
    """Who the token was issued to, and by which login. Raises ExpiredAccessToken or InvalidAccessToken."""
    try:
        decoded = jwt.decode(
            token,
            secret,
            algorithms=[algorithm],
            audience=AUDIENCE,
            issuer=ISSUER,
            # Time is an argument here; the library would read the clock itself.
            options={"verify_exp": False, "verify_iat": False, "verify_nbf": False, "strict_aud": True},
        )
        claims = msgspec.convert(decoded, _Claims)
        person = Person(id=int(claims.sub), email=claims.email, role=claims.role)
    # A header nested a thousand levels deep exhausts the JSON parser's recursion before it is refused.
    except (jwt.PyJWTError, ValueError, RecursionError) as error:
        raise InvalidAccessToken from error
    if now.timestamp() >= claims.exp:
        raise ExpiredAccessToken
    return Identified(person, claims.sid)
