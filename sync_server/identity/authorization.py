"""The `Authorization` header, taken apart.

People send `Bearer <access token>`. Tablets send `Bearer <credential>`, or Basic with the credential as the
password, because that is what a replication URL `https://device:token@host/db/…` turns into.

| header | answer |
|---|---|
| absent, another scheme, nothing after the scheme | None |
| not ASCII (a token never is anything else) | None |
| Basic that is not base64, not UTF-8, without `:` | None |
"""

import binascii
from base64 import b64decode


def bearer_token(header: str | None) -> str | None:
    """The token of a `Bearer` header; None where there is none."""
    return _value(header, "bearer")


def basic_credentials(header: str | None) -> tuple[str, str] | None:
    """(user, password) of a `Basic` header; None where there is none or it cannot be read."""
    value = _value(header, "basic")
    if value is None:
        return None
    try:
        user, colon, password = b64decode(value, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return None
    return (user, password) if colon else None


def _value(header: str | None, scheme: str) -> str | None:
    if header is None or not header.isascii():
        return None
    given, _, value = header.strip().partition(" ")
    return value.strip() or None if given.lower() == scheme else None
