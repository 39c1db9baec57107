"""By which names a server is reached."""

import ipaddress
import socket

import pytest

from sync_server.tls.own_names import EVERYWHERE, own_names


def test_a_server_at_one_address_is_reached_there_alone() -> None:
    assert own_names("192.0.2.7") == ["192.0.2.7"]


@pytest.mark.parametrize(("host", "versions"), list(zip(EVERYWHERE, ({4}, {4, 6}), strict=True)))
def test_a_server_everywhere_is_reached_by_the_machines_name_and_its_networks_addresses(
    host: str, versions: set[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Address:
        def __init__(self, ip: str | tuple[str, int, int]) -> None:
            self.ip = ip

    class Adapter:
        ips = (
            Address("127.0.0.1"),
            Address("192.0.2.7"),
            Address("169.254.1.1"),
            Address(("fe80::1", 0, 2)),
            Address(("2001:db8::7", 0, 0)),
        )

    monkeypatch.setattr("ifaddr.get_adapters", lambda: [Adapter()])
    expected = ["192.0.2.7", "2001:db8::7"]
    assert own_names(host) == [
        socket.gethostname(),
        *(each for each in expected if ipaddress.ip_address(each).version in versions),
    ]


def test_this_machines_own_adapters_can_be_read() -> None:
    first, *addresses = own_names("0.0.0.0")  # noqa: S104 (not bound)
    assert first == socket.gethostname()
    assert all(ipaddress.ip_address(each).version == 4 for each in addresses)
