"""A connection as somebody gives it: its URL and token, checked before they are sealed. Pure.

| URL | taken |
|---|---|
| `https://redcap.example.edu/api/`, `https://10.0.0.7/redcap/api` | yes: hospitals have theirs in private networks |
| `http:` | not in production |
| this machine | not in production |
| with a user, a query, a fragment; another path than `…/api/` | no |
| a link-local, multicast or unspecified address, or one in another spelling | no |
"""

import re
from typing import Annotated, Final
from urllib.parse import urlsplit

from msgspec import Meta

from reporting.webhooks.addresses import Reach, refusal_of_url

ApiUrl = Annotated[str, Meta(min_length=1, max_length=2000, description="https://redcap.example.edu/api/")]
Token = Annotated[str, Meta(pattern=r"^[0-9A-Fa-f]{32}$(?!\n)", max_length=32, description="32 hex digits")]

_HOST: Final = re.compile(r"[a-z0-9._-]+|[0-9a-f:.]*:[0-9a-f:.]*")
_THIS_MACHINE: Final = frozenset({"localhost", "localhost.localdomain", "ip6-localhost", "ip6-loopback"})


class Refused(ValueError):
    """The URL cannot be a REDCap's; the message says why."""


def api_url(given: str, *, production: bool) -> str:
    """The URL as it is kept, with its last slash. Raises Refused."""
    try:
        parts = urlsplit(given)
        host, _ = (parts.hostname or "").lower(), parts.port
    except ValueError as error:
        raise Refused("It is no URL.") from error
    path = parts.path.rstrip("/")
    refused = {
        "It has to be an https:// URL with a host.": parts.scheme not in ("http", "https") or not host,
        "Its host has characters that no name or address has.": not _HOST.fullmatch(host),
        "It has characters that a URL spells otherwise.": not given.isascii() or any(c <= " " for c in given),
        "A URL with a user or password is not taken: the token is all that REDCap asks for.": "@"
        in parts.netloc,
        "A URL with a query or a fragment is not taken.": bool(parts.query or parts.fragment)
        or given.endswith(("?", "#")),
        "It has to be REDCap's API, as https://redcap.example.edu/api/.": not path.endswith("/api")
        or any(part in ("", ".", "..") or "%" in part for part in path.split("/")[1:]),
        "It has to be https:// in production.": production and parts.scheme == "http",
        "It is this machine: in production REDCap is on another one.": production
        and host.removesuffix(".") in _THIS_MACHINE,
    }
    for refusal, is_so in refused.items():
        if is_so:
            raise Refused(refusal)
    if refusal_of_url(given, Reach(production=production, private=True)) is not None:
        raise Refused("Its host is no address of a server (this one, link-local, multicast, spelt otherwise).")
    return f"{parts.scheme}://{parts.netloc.lower()}{path}/"
