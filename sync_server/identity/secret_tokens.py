"""Secrets that open something by themselves: refresh tokens, tokens of links, recovery codes.

They are random enough (80 bits and more) that their SHA-256 can be stored and looked up: who reads the table
cannot find one back, and no slow hash is needed.
"""

import hashlib
import secrets

_READABLE = "abcdefghjkmnpqrstuvwxyz23456789"
"""Without what people take for something else: i, l, o, 0, 1."""


CODE_CHARACTERS = 19
"""Length of what `new_code` makes."""


def new_token() -> str:
    """256 bits, for programs: 43 characters of URL-safe base64."""
    return secrets.token_urlsafe(32)


def new_code() -> str:
    """About 80 bits, for people to type: `k7m2-9xqd-…`, four groups of four."""
    characters = [secrets.choice(_READABLE) for _ in range(16)]
    return "-".join("".join(characters[start : start + 4]) for start in range(0, 16, 4))


def digest(secret: str) -> bytes:
    """What is stored of it."""
    return hashlib.sha256(secret.encode()).digest()


def typed_code(text: str) -> str:
    """A code as somebody typed it, as it was made."""
    characters = "".join(text.lower().split()).replace("-", "")
    return "-".join(characters[start : start + 4] for start in range(0, len(characters), 4))
