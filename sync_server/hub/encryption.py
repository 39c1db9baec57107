"""The hub's certificate: one that was given, or one of an authority that the hub makes for its site.

The names in a certificate that is made here are those of the hub's URLs, and this machine's own.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from sync_server.hub.settings import HubSettings
from sync_server.tls.authority import site_authority
from sync_server.tls.serving import ServerTls, server_tls

_OWN_NAMES: Final = ("localhost", "127.0.0.1", "::1")


class Encryption(NamedTuple):
    """What to serve with; `ca_pem` is the certificate of the authority that the hub made, if any."""

    tls: ServerTls
    ca_pem: bytes | None


def load_encryption(settings: HubSettings, urls: Sequence[str]) -> Encryption | None:
    """None: in clear. Raises UnusableCertificate, OSError."""
    names = _names(urls)
    tls = server_tls(
        certificate=settings.tls_cert,
        key=settings.tls_key,
        site_ca=settings.site_ca,
        data_dir=settings.data_dir,
        hosts=names,
    )
    if tls is None:
        return None
    return Encryption(tls, site_authority(settings.data_dir, names).ca_pem if settings.site_ca else None)


def _names(urls: Sequence[str]) -> list[str]:
    hosts = [urlsplit(url).hostname or "" for url in urls]
    return list(dict.fromkeys([*filter(None, hosts), *_OWN_NAMES]))
