"""Where a webhook may point to. Pure.

The server stands in a network that its callers do not reach. A URL that they choose must not make it ask its
own neighbours: the machine itself, the cloud's metadata service (a link-local address), a router.

| address | development, test | production |
|---|---|---|
| public | yes | yes |
| loopback | yes | no |
| private (10/8, 192.168/16, fc00::/7, …) | yes | only with `WEBHOOK_PRIVATE_ADDRESSES` |
| link-local, multicast, unspecified, reserved | no | no |
| other addresses of clouds' metadata (`fd00:ec2::254`, `100.100.100.200`, …) | no | no |

`http:` is for development, and for loopback there.

A host that ends in a number is an address however it is written (`2852039166`, `0xa9.254.1`), and may be
connected to without asking a resolver; only the usual spelling is taken.
"""

import ipaddress
import re
from urllib.parse import urlsplit

import msgspec

_SPELT_OTHERWISE = "A host that ends in a number has to be an IP address, written out."
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*", re.ASCII | re.IGNORECASE)

_METADATA = frozenset(
    map(ipaddress.ip_address, ("fd00:ec2::254", "100.100.100.200", "168.63.129.16", "192.0.0.192"))
)
"""Of AWS over IPv6, Alibaba, Azure and Oracle; all others have a link-local one."""


class Reach(msgspec.Struct, frozen=True):
    """What is allowed here."""

    production: bool
    private: bool = False
    """In production too."""


def refusal_of_url(url: str, reach: Reach) -> str | None:
    """Why deliveries may not go to this URL, in a sentence; None when they may. Names are not looked up."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return "It is no URL."
    refused = {
        "It has to be an https:// URL with a host.": parts.scheme not in ("http", "https") or not host,
        "A URL with a user or password is not taken: deliveries are signed instead.": "@" in parts.netloc,
        "A URL with a fragment is not taken.": bool(parts.fragment),
        "It has to be https:// in production.": parts.scheme == "http" and reach.production,
        "It has characters that a URL spells otherwise.": not url.isascii() or " " in url,
    }
    for refusal, is_so in refused.items():
        if is_so:
            return refusal
    try:
        return refusal_of_address(host or "", reach)
    except ValueError:
        last = (host or "").removesuffix(".").rpartition(".")[2]
        return _SPELT_OTHERWISE if _NUMBER.fullmatch(last) else None


def ip_address_of(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """The address that is meant: IPv4 also where it is wrapped in IPv6. Raises ValueError for a name."""
    ip = ipaddress.ip_address(host.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        return ip.ipv4_mapped or ip.sixtofour or ip
    return ip


def refusal_of_address(address: str, reach: Reach) -> str | None:
    """Why deliveries may not go to this IP address; None when they may. Raises ValueError for a name."""
    ip = ip_address_of(address)
    if ip.is_loopback:
        refused = reach.production
    elif ip in _METADATA or ip.is_link_local or ip.is_multicast or ip.is_unspecified or ip.is_reserved:
        refused = True
    else:
        refused = reach.production and not ip.is_global and not (ip.is_private and reach.private)
    return f"Deliveries may not go to {ip}: it is no public address." if refused else None
