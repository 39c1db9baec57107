"""By which names and addresses this machine is reached: what its certificate says, what tablets are told.

A clinic's machine often has no name that tablets could look up, so its addresses are among them. They are
those of the moment: where the router gives it another one, the next start makes another certificate.
"""

import ipaddress
import socket
from collections.abc import Iterator
from typing import Final

import ifaddr

EVERYWHERE: Final = ("0.0.0.0", "::")  # noqa: S104 (compared, not bound)


def own_names(host: str) -> list[str]:
    """Of a server that listens on `host`: that host; where it listens on all addresses, the machine's name
    and every address of its networks, without loopback and link-local ones. Never empty.
    """
    if host not in EVERYWHERE:
        return [host]
    addresses = [each for each in _addresses() if host == "::" or ":" not in each]
    return list(dict.fromkeys([socket.gethostname(), *addresses]))


def _addresses() -> Iterator[str]:
    for adapter in ifaddr.get_adapters():
        for each in adapter.ips:
            address = ipaddress.ip_address(each.ip if isinstance(each.ip, str) else each.ip[0])
            if not (address.is_loopback or address.is_link_local or address.is_unspecified):
                yield str(address)
