"""A connection as somebody gives it: its URL and token, checked before they are sealed. Pure.

| URL | taken |
|---|---|
| `https://redcap.example.edu/redcap/api` | yes; kept with its last slash |
| `http:`, this machine | not in production |
| a private address | in production only with `REDCAP_PRIVATE_ADDRESSES` |
| with a user, a query, a fragment; another path than `…/api/` | no |
| a link-local, multicast or unspecified address, or one in another spelling | no |

Where a name leads to is looked at whenever it is asked (`transport`).
"""

import re
from typing import Annotated, Final
from urllib.parse import urlsplit

from msgspec import Meta

from reporting.webhooks.addresses import Reach, refusal_of_url

ApiUrl = Annotated[str, Meta(min_length=1, max_length=2000, description="https://redcap.example.edu/api/")]
Token = Annotated[str, Meta(pattern=r"^[0-9A-Fa-f]{32}$(?!\n)", max_length=32, description="32 hex digits")]

_HOST: Final = re.compile(r"[a-z0-9._-]+|[0-9a-f:.]*:[0-9a-f:.]*")


class Refused(ValueError):
    """The URL cannot be a REDCap's; the message says why."""


def api_url(given: str, reach: Reach) -> str:
    """The URL as it is kept, with its last slash. Raises Refused."""
    try:
        parts = urlsplit(given)
        host, _ = (parts.hostname or "").lower(), parts.port
    except ValueError as error:
        raise Refused("It is no URL.") from error
    path = parts.path.rstrip("/")
    names = path.split("/")[1:]
    refused = {
        "It has to be an https:// URL with a host.": parts.scheme not in ("http", "https") or not host,
        "Its host has characters that no name or address has.": not _HOST.fullmatch(host),
        "It has characters that a URL spells otherwise.": not given.isascii() or any(c <= " " for c in given),
        "A URL with a user is not taken: the token is all that REDCap asks for.": "@" in parts.netloc,
        "A URL with a query or a fragment is not taken.": bool(parts.query or parts.fragment)
        or given.endswith(("?", "#")),
        "It has to be REDCap's API, as https://redcap.example.edu/api/.": names[-1:] != ["api"]
        or any(part in ("", ".", "..") or "%" in part for part in names),
        "It has to be https:// in production.": reach.production and parts.scheme == "http",
    }
    for refusal, is_so in refused.items():
        if is_so:
            raise Refused(refusal)
    if refusal_of_url(given, reach) is not None:
        raise Refused("Its host is no address where a REDCap may be: this machine, link-local, private, …")
    return f"{parts.scheme}://{parts.netloc.lower()}{path}/"
