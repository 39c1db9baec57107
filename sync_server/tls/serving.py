"""What a process of this system serves HTTPS with, as its settings say.

| while it serves | what follows |
|---|---|
| given files are renewed | taken up within a minute |
| its own certificate ends within a month, or the clock was set | a new one is made and taken up, hourly |
| the disk refuses the new one | logged; the present one stays in use, and it is tried again |
"""

import asyncio
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, NamedTuple

import structlog

from sync_server.tls.authority import site_authority
from sync_server.tls.certificate import UnusableCertificate, follow_files, load_context, load_into

RENEWAL_S: Final = 3600.0
"""Between two looks whether the site's own certificate has to be made anew."""

log = structlog.get_logger()


class ServerTls(NamedTuple):
    """A context; the fingerprint of the site's own authority, where it made the certificate; and the given
    files, certificate and key, where it was given.
    """

    context: ssl.SSLContext
    ca_fingerprint: str | None = None
    files: tuple[Path, Path] | None = None
    made: tuple[Path, tuple[str, ...]] | None = None
    """Data directory, and names and addresses, of a certificate of the site's own authority."""

    @asynccontextmanager
    async def kept_up_to_date(self) -> AsyncIterator[None]:
        """Renewed files are taken up meanwhile, and the site's own certificate is renewed."""
        if self.files is not None:
            work = follow_files(self.context, *self.files)
        elif self.made is not None:
            work = keep_made(self.context, *self.made)
        else:
            yield
            return
        following = asyncio.create_task(work, name="certificate")
        try:
            yield
        finally:
            following.cancel()
            await asyncio.wait([following])


async def keep_made(
    context: ssl.SSLContext, data_dir: Path, hosts: Sequence[str], *, every: float = RENEWAL_S
) -> None:
    """Make the certificate anew in time and take it up, until this is cancelled. `every`: seconds."""
    path = data_dir / "tls" / "server.pem"
    while True:
        await asyncio.sleep(every)
        try:
            await asyncio.to_thread(site_authority, data_dir, hosts)
            load_into(context, path, path)
        except (UnusableCertificate, OSError) as error:
            log.warning("own certificate not renewed", error=str(error))


def server_tls(
    *, certificate: Path | None, key: Path | None, site_ca: bool, data_dir: Path, hosts: Sequence[str]
) -> ServerTls | None:
    """None: without TLS. `hosts` are names and addresses for a certificate of the site's own authority.

    Raises UnusableCertificate, OSError.
    """
    if certificate is not None and key is not None:
        return ServerTls(load_context(certificate, key), files=(certificate, key))
    if not site_ca:
        return None
    authority = site_authority(data_dir, hosts)
    return ServerTls(authority.context, ca_fingerprint=authority.fingerprint, made=(data_dir, tuple(hosts)))
