"""What proves that a form is ours: a token in it, and where the browser says that it comes from.

The token is an HMAC over who is signed in (the login; before, the visit) and the form's name: another
login's, another form's, an old key's are not it. It is masked anew in each page, since pages are compressed
and what is compressed together with what a stranger chose can be guessed byte by byte (BREACH).

| POST | taken |
|---|---|
| `Origin` of another host, `null`; `Sec-Fetch-Site` of another site | no |
| neither header (an old browser, a script with the cookie) | if the token is right |
| no token, another login's, another form's | no |
"""

import base64
import binascii
import hmac
import secrets
from urllib.parse import urlsplit

from aiohttp import web

from sync_server.keys import SEALER, SETTINGS
from sync_server.sealing import Sealer


def new_token(sealer: Sealer, subject: str, form: str) -> str:
    """A token for a form of this login, or visit."""
    digest = sealer.fingerprints(_purpose(subject, form))[0]
    mask = secrets.token_bytes(len(digest))
    return base64.urlsafe_b64encode(mask + _xor(mask, digest)).decode()


def is_token(sealer: Sealer, subject: str, form: str, given: str) -> bool:
    """Whether it is one."""
    try:
        raw = base64.b64decode(given.encode(), altchars=b"-_", validate=True)
    except (UnicodeEncodeError, binascii.Error):
        return False
    half = len(raw) // 2
    shown = _xor(raw[:half], raw[half:])
    digests = sealer.fingerprints(_purpose(subject, form))
    return any(hmac.compare_digest(shown, digest) for digest in digests)


def may_be_ours(request: web.Request, subject: str, form: str, token: str) -> bool:
    """The table of this module."""
    return comes_from_here(request) and is_token(request.app[SEALER], subject, form, token)


def comes_from_here(request: web.Request) -> bool:
    """Whether, as far as the browser says, no page of somebody else has made it ask for this."""
    if request.headers.get("Sec-Fetch-Site", "same-origin") not in ("same-origin", "none"):
        return False
    origin = request.headers.get("Origin")
    if origin is None:
        return True
    own = {request.host, urlsplit(request.app[SETTINGS].base_url).netloc}
    return urlsplit(origin).netloc in own


def _purpose(subject: str, form: str) -> str:
    return f"portal form\0{subject}\0{form}"


def _xor(one: bytes, other: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(one, other, strict=False))
