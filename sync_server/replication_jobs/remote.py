"""Which other side a job may have, and which documents. Pure.

Jobs are made by admins, and hubs are in local networks: private addresses are allowed here, unlike for
webhooks.

| URL | taken |
|---|---|
| `https://centre.example/db/site-lima`, `http://10.0.0.7:5984/site-lima` | yes |
| with a user or password, a query, a fragment | no: the credential is given apart, and kept sealed |
| no database, or one that begins with `_` | no |
| the job's own site database, or this server's `/api` | no |
| a link-local, multicast or unspecified address, or one in another spelling | no |
"""

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit

import msgspec

from replication.errors import CouchError
from replication.mango.selector import parse_selector
from reporting.sites import database_of
from reporting.webhooks.addresses import Reach, refusal_of_url

MOST_SELECTOR_BYTES = 16 * 1024
ANY_NETWORK = Reach(production=False, private=True)
_PORTS = {"http": 80, "https": 443}


class Own(msgspec.Struct, frozen=True):
    """This server's own URLs: of the service, and below which its databases are."""

    services: Sequence[str]
    stores: Sequence[str]


def refusal_of_remote(url: str, *, site: str, own: Own) -> str | None:
    """Why a job of this site may not have this other side, in a sentence; None when it may."""
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return "It is no URL."
    path = [unquote(part) for part in parts.path.split("/")]
    refused = {
        "It has to be a http:// or https:// URL with a host.": parts.scheme not in _PORTS
        or not parts.hostname,
        "It has characters that a URL spells otherwise.": not url.isascii() or any(c <= " " for c in url),
        "A URL with a user or password is not taken: give the credential.": "@" in parts.netloc,
        "A URL with a query or a fragment is not taken.": bool(parts.query or parts.fragment)
        or url.endswith(("?", "#")),
        "It has to end in the name of a database, as https://centre.example/db/site-lima.": not path[-1]
        or path[-1].startswith("_"),
        "Its path has parts that lead elsewhere (`.`, `..`, nothing).": any(
            part in ("", ".", "..") for part in path[1:-1]
        ),
    }
    for refusal, is_so in refused.items():
        if is_so:
            return refusal
    if refusal_of_url(url, ANY_NETWORK) is not None:
        return "Its host is no address of a server (link-local, multicast, or spelt otherwise)."
    if any(_is_below(parts, service, ["api"]) for service in own.services):
        return "It is this server's own API."
    if any(_is_below(parts, store, [database_of(site)]) for store in own.stores):
        return "It is the site's own database: both sides would be the same."
    return None


def _is_below(parts: SplitResult, base: str, first: Sequence[str]) -> bool:
    own = urlsplit(base)
    if _origin(parts) != _origin(own):
        return False
    path = [unquote(part) for part in parts.path.split("/") if part]
    wanted = [*(unquote(part) for part in own.path.split("/") if part), *first]
    return path[: len(wanted)] == wanted


def _origin(parts: SplitResult) -> tuple[str, str | None, int | None]:
    return parts.scheme, parts.hostname, parts.port or _PORTS.get(parts.scheme)


def refusal_of_selector(selector: Mapping[str, Any]) -> str | None:
    """Why this is no Mango selector; None when it is one."""
    if len(msgspec.json.encode(selector)) > MOST_SELECTOR_BYTES:
        return f"It has more than {MOST_SELECTOR_BYTES} bytes."
    try:
        parse_selector(dict(selector))
    except CouchError as error:
        return error.reason
    return None
