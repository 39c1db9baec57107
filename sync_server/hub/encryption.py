"""The hub's certificate: one that was given, or one of an authority that the hub makes for its site.

A hub runs for years. What was given is read again when its files change; what it made is made anew a month
before it ends, and both are taken up while serving.
"""

import asyncio
import ssl
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import urlsplit

import structlog

from sync_server.hub.settings import HubSettings
from sync_server.tls.authority import site_authority
from sync_server.tls.certificate import UnusableCertificate, follow_files, load_context

RENEWAL_LOOK_S: Final = 24 * 3600.0
_OWN_NAMES: Final = ("localhost", "127.0.0.1", "::1")

log = structlog.get_logger()


class Encryption(NamedTuple):
    """`fingerprint` and `ca_pem` are of the authority that the hub made, None where it made none."""

    context: ssl.SSLContext
    certificate: Path
    key: Path
    fingerprint: str | None = None
    ca_pem: bytes | None = None


def load_encryption(settings: HubSettings, urls: Sequence[str]) -> Encryption | None:
    """What to serve with; None: in clear. Raises UnusableCertificate, OSError."""
    if settings.tls_cert is not None and settings.tls_key is not None:
        context = load_context(settings.tls_cert, settings.tls_key)
        return Encryption(context, settings.tls_cert, settings.tls_key)
    if not settings.site_ca:
        return None
    made = site_authority(settings.data_dir, _names(urls))
    server = settings.data_dir / "tls" / "server.pem"
    return Encryption(made.context, server, server, made.fingerprint, made.ca_pem)


async def keep_renewed(settings: HubSettings, urls: Sequence[str], encryption: Encryption) -> None:
    """Take renewed certificates up, and renew the hub's own, until this is cancelled."""
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(follow_files(encryption.context, encryption.certificate, encryption.key))
        if settings.site_ca:
            tasks.create_task(_renew(settings, urls))


async def _renew(settings: HubSettings, urls: Sequence[str]) -> None:
    while True:
        await asyncio.sleep(RENEWAL_LOOK_S)
        try:
            await asyncio.to_thread(site_authority, settings.data_dir, _names(urls))
        except (UnusableCertificate, OSError) as error:
            log.warning("certificate not renewed", error=str(error))


def _names(urls: Sequence[str]) -> list[str]:
    hosts = [urlsplit(url).hostname or "" for url in urls]
    return list(dict.fromkeys([*filter(None, hosts), *_OWN_NAMES]))
