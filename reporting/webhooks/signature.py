"""Signatures of the Standard Webhooks scheme (standardwebhooks.com): whoever has the secret can tell that a
request is ours, whole, and not an old one sent again.

    webhook-id: msg_17/4711                  the same at every attempt: receivers do things once by it
    webhook-timestamp: 1790000000            seconds; receivers refuse what is too old
    webhook-signature: v1,<base64>           HMAC-SHA256 of `<id>.<timestamp>.<body>`
"""

import base64
import hashlib
import hmac
from collections.abc import Mapping
from typing import Final

SECRET_PREFIX: Final = "whsec_"  # noqa: S105 (the scheme's, and no secret)
SECRET_BYTES: Final = 32


def secret_of(random: bytes) -> str:
    """`whsec_<base64>`, as receivers' libraries take it."""
    return SECRET_PREFIX + base64.b64encode(random).decode()


def signed_headers(secret: str, *, message_id: str, timestamp: int, body: bytes) -> Mapping[str, str]:
    """The three headers of a delivery; `secret` as `secret_of` makes it."""
    key = base64.b64decode(secret.removeprefix(SECRET_PREFIX))
    signed = f"{message_id}.{timestamp}.".encode() + body
    signature = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": f"v1,{signature}",
    }
