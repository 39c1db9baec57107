"""Which other side a job may have, and which documents. Pure.

Jobs are made by admins, and hubs are in local networks: private addresses are allowed here, unlike for
webhooks.

| URL | taken |
|---|---|
| `https://centre.example/db/site-lima`, `http://10.0.0.7:5984/site-lima` | yes |
| with a user or password, a query, a fragment | no: the credential is given apart, and kept sealed |
| no database, or one that begins with `_` | no |
| the job's own site database, or this server's `/api`, however host and port are spelt | no |
| this machine (`localhost`, `127.0.0.2`, `[::1]`, `[::ffff:127.0.0.1]`, …) | not in production |
| a link-local, multicast or unspecified address, a cloud's metadata, or one in another spelling | no |

Names are not looked up: one that the network's DNS gives this machine's address is an admin's own doing.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit

import msgspec

from replication.errors import CouchError
from replication.mango.selector import parse_selector
from reporting.sites import database_of
from reporting.webhooks.addresses import Reach, ip_address_of, refusal_of_url

MOST_SELECTOR_BYTES = 16 * 1024
ANY_NETWORK = Reach(production=False, private=True)
_PORTS = {"http": 80, "https": 443}
_HOST = re.compile(r"[a-z0-9._-]+|[0-9a-f:.]*:[0-9a-f:.]*")
"""A name or an address; no `%`, which some clients decode and others take for an interface."""
_THIS_MACHINE = "localhost"
_ITS_NAMES = frozenset({_THIS_MACHINE, "localhost.localdomain", "ip6-localhost", "ip6-loopback"})


class Own(msgspec.Struct, frozen=True):
    """This server's own URLs: of the service, and below which its databases are; `production` as in the
    settings.
    """

    services: Sequence[str]
    stores: Sequence[str]
    production: bool


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
        "Its host has characters that no name or address has.": not _HOST.fullmatch(parts.hostname or ""),
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
    return _refusal_of_server(url, parts, site, own)


def _refusal_of_server(url: str, parts: SplitResult, site: str, own: Own) -> str | None:
    if refusal_of_url(url, ANY_NETWORK) is not None:
        return "Its host is no address of a server (link-local, multicast, or spelt otherwise)."
    if own.production and _host(parts) == _THIS_MACHINE:
        return "It is this machine: in production the other side is another one."
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


def _origin(parts: SplitResult) -> tuple[str, int | None]:
    """Which server is asked. Behind the default ports of both schemes is one, which sends on to TLS."""
    port = parts.port or _PORTS.get(parts.scheme)
    return _host(parts), None if port in _PORTS.values() else port


def _host(parts: SplitResult) -> str:
    """The host in one spelling."""
    host = (parts.hostname or "").rstrip(".")
    if host in _ITS_NAMES or host.endswith(".localhost"):
        return _THIS_MACHINE
    try:
        ip = ip_address_of(host)
    except ValueError:
        return host
    return _THIS_MACHINE if ip.is_loopback else str(ip)


def refusal_of_selector(selector: Mapping[str, Any]) -> str | None:
    """Why this is no Mango selector; None when it is one."""
    if len(msgspec.json.encode(selector)) > MOST_SELECTOR_BYTES:
        return f"It has more than {MOST_SELECTOR_BYTES} bytes."
    try:
        parse_selector(dict(selector))
    except CouchError as error:
        return error.reason
    return None
