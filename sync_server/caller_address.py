"""From which address a request comes, also behind a proxy.

A proxy appends the address that it was called from to `X-Forwarded-For`; whatever stood there before, the
caller may have made up. So the header is read from its end, and only as far as it was written by proxies that
`TRUSTED_PROXIES` names.

| connected from | X-Forwarded-For | address |
|---|---|---|
| a stranger | `1.2.3.4` | the stranger |
| a trusted proxy | `1.2.3.4, 5.6.7.8` | 5.6.7.8 |
| a trusted proxy | `5.6.7.8, <trusted proxy>` | 5.6.7.8 |
| a trusted proxy | none, or no address at its end | the proxy |
"""

import functools
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from aiohttp import web

from sync_server.keys import SETTINGS

Network = IPv4Network | IPv6Network
Address = IPv4Address | IPv6Address


def caller_address(request: web.Request) -> str | None:
    """The address for logs, audit and limits; None where the connection has none."""
    trusted = request.app[SETTINGS].trusted_proxies
    if not trusted:
        return request.remote
    return forwarded_address(request.remote, request.headers.getall("X-Forwarded-For", []), trusted)


def forwarded_address(remote: str | None, forwarded: Sequence[str], trusted: tuple[str, ...]) -> str | None:
    """The table of this module; `forwarded` are the header's values, `trusted` addresses and networks."""
    hops = [hop.strip() for value in forwarded for hop in value.split(",")]
    address = remote
    while hops and _is_trusted(address, trusted):
        parsed = _parse(hops.pop())
        if parsed is None:
            break
        address = str(parsed)
    return address


def _is_trusted(address: str | None, trusted: tuple[str, ...]) -> bool:
    parsed = None if address is None else _parse(address)
    return parsed is not None and any(parsed in network for network in _networks(trusted))


def _parse(text: str) -> Address | None:
    try:
        parsed = ip_address(text.strip("[]").partition("%")[0])
    except ValueError:
        return None
    mapped = parsed.ipv4_mapped if isinstance(parsed, IPv6Address) else None
    return mapped or parsed


@functools.lru_cache
def _networks(trusted: tuple[str, ...]) -> tuple[Network, ...]:
    return tuple(ip_network(each, strict=False) for each in trusted)
