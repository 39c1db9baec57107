"""What a process of this system serves HTTPS with, as its settings say."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

from sync_server.tls.authority import site_authority
from sync_server.tls.certificate import follow_files, load_context


class ServerTls(NamedTuple):
    """A context; the fingerprint of the site's own authority, where it made the certificate; and the given
    files, certificate and key, where it was given.
    """

    context: ssl.SSLContext
    ca_fingerprint: str | None = None
    files: tuple[Path, Path] | None = None

    @asynccontextmanager
    async def kept_up_to_date(self) -> AsyncIterator[None]:
        """Renewed files are taken up meanwhile."""
        if self.files is None:
            yield
            return
        following = asyncio.create_task(follow_files(self.context, *self.files), name="certificate")
        try:
            yield
        finally:
            following.cancel()
            await asyncio.wait([following])


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
    return ServerTls(authority.context, ca_fingerprint=authority.fingerprint)
