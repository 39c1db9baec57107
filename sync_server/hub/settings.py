"""What a hub is told at its start, and what it refuses to start with.

| told | refused, because |
|---|---|
| a centre by `http://` beyond this machine | the hub's credential and all sessions would travel in clear |
| an address beyond loopback without a certificate, an `http://` URL | the same, of tablets |
| a certificate without its key, or beside `--site-ca` | one of them would silently not count |
| a site or an URL that cannot be one | nothing would ever be synced |

`--insecure-lan` says that something in front encrypts (a proxy, a VPN), and lets the second one pass.
"""

from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from reporting.sites import database_of, is_site
from sync_server.settings import LOOPBACK, SettingsError


class HubSettings(msgspec.Struct, frozen=True, kw_only=True):
    """`centre` and `urls` are base URLs without a trailing slash; `every` is in seconds."""

    centre: str
    site: str
    data_dir: Path
    host: str = "127.0.0.1"
    port: int = 8443
    code: str | None = None
    centre_ca: Path | None = None
    tls_cert: Path | None = None
    tls_key: Path | None = None
    site_ca: bool = False
    insecure_lan: bool = False
    urls: tuple[str, ...] = ()
    allowed_origins: tuple[str, ...] = ()
    every: float = 10.0
    requests_per_minute: int = 3000
    megabytes_per_minute: int = 600
    memory_mb: int = 128

    @property
    def database(self) -> str:
        """The name of the site's database, here and at the centre."""
        return database_of(self.site)

    @property
    def encrypted(self) -> bool:
        """Whether tablets are served over TLS."""
        return self.site_ca or self.tls_cert is not None

    @property
    def store_dir(self) -> Path:
        """Where the site's database is."""
        return self.data_dir / "store"


def checked(settings: HubSettings) -> HubSettings:
    """The settings, if a hub may start with them. Raises SettingsError with every problem."""
    problems = [*_about_the_centre(settings), *_about_listening(settings)]
    if not is_site(settings.site):
        problems.append(f"--site {settings.site!r}: that is no site's name.")
    problems += [
        f"--url {url!r}: give how tablets reach this hub, as https://hub.local:8443."
        for url in settings.urls
        if _host(url) is None or urlsplit(url).path.strip("/")
    ]
    if problems:
        raise SettingsError(problems)
    stripped = tuple(url.rstrip("/") for url in settings.urls)
    return msgspec.structs.replace(settings, centre=settings.centre.rstrip("/"), urls=stripped)


def _about_the_centre(settings: HubSettings) -> Sequence[str]:
    host = _host(settings.centre)
    if host is None:
        return [f"--centre {settings.centre!r}: give the centre's address, as https://sync.example.org."]
    if not _is_encrypted(settings.centre) and host not in LOOPBACK:
        return [
            f"--centre {settings.centre}: over http everybody on the way reads the hub's credential and"
            " what is synced. Give its https address."
        ]
    return []


def _about_listening(settings: HubSettings) -> list[str]:
    problems = []
    if (settings.tls_cert is None) != (settings.tls_key is None):
        problems.append("--tls-cert and --tls-key belong together: give both.")
    if settings.site_ca and settings.tls_cert is not None:
        problems.append("--site-ca makes a certificate, --tls-cert brings one: give one of the two.")
    if settings.host not in LOOPBACK and not settings.encrypted and not settings.insecure_lan:
        problems.append(
            f"--host {settings.host}: tablets' credentials would cross the network in clear. Give --site-ca,"
            " or --tls-cert and --tls-key; or --insecure-lan where something in front encrypts."
        )
    if not settings.insecure_lan:
        problems += [
            f"--url {url}: tablets would be told to send their credentials in clear. Give its https address."
            for url in settings.urls
            if not _is_encrypted(url) and _host(url) not in (None, *LOOPBACK)
        ]
    return problems


def _is_encrypted(url: str) -> bool:
    return url.lower().startswith("https:")


def _host(url: str) -> str | None:
    """The host of a base URL; None where it is none."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return None
    plain = not (parts.query or parts.fragment or parts.username)
    return host if parts.scheme in ("http", "https") and plain else None
