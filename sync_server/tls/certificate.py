"""A certificate and its key in files, as something to serve with; renewed files are taken up while serving.

| what is wrong | what is said |
|---|---|
| a file is not there, or cannot be read | which, and why |
| it holds no certificate, or no key without a passphrase | which |
| the key is of another certificate | that they do not belong together |
| the certificate has ended | when; nothing is served with it |
| renewed files are wrong | logged; the ones before stay in use |
"""

import asyncio
import ssl
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import structlog
from cryptography import x509

LOOK_S: Final = 60.0
"""Between two looks whether the files were renewed."""

log = structlog.get_logger()


class UnusableCertificate(Exception):
    """The certificate cannot be served with; the message says why."""


def load_context(certificate: Path, key: Path) -> ssl.SSLContext:
    """A context to serve with, TLS 1.2 or newer; `certificate` with its chain, both PEM.

    Raises UnusableCertificate.
    """
    context = _empty_context()
    load_into(context, certificate, key)
    return context


def _empty_context() -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def load_into(context: ssl.SSLContext, certificate: Path, key: Path) -> None:
    """Serve new connections of a context with these files.

    Raises UnusableCertificate: the context serves with what it had.
    """
    try:
        found = x509.load_pem_x509_certificates(certificate.read_bytes())
        key.read_bytes()
    except OSError as error:
        raise UnusableCertificate(f"{error.filename} cannot be read: {error.strerror}.") from error
    except ValueError as error:
        raise UnusableCertificate(f"{certificate} holds no certificate in PEM.") from error
    ended = found[0].not_valid_after_utc
    if ended <= datetime.now(UTC):
        raise UnusableCertificate(f"{certificate} ended at {ended:%Y-%m-%d %H:%M} UTC: renew it.")
    try:
        # OpenSSL drops the key that it has before it looks whether the new one fits: tried elsewhere first.
        for each in (_empty_context(), context):
            # A key with a passphrase would ask for it on the terminal, and a service has none.
            each.load_cert_chain(certificate, key, password=b"")
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise UnusableCertificate(f"{key} is not the key of {certificate}.") from error
        raise UnusableCertificate(f"{key} holds no key in PEM without a passphrase.") from error


async def follow_files(
    context: ssl.SSLContext, certificate: Path, key: Path, *, every: float = LOOK_S
) -> None:
    """Take renewed files up, until this is cancelled; looks every so many seconds."""
    seen = _stamps(certificate, key)
    while True:
        await asyncio.sleep(every)
        found = _stamps(certificate, key)
        if found == seen:
            continue
        try:
            load_into(context, certificate, key)
        except UnusableCertificate as error:
            log.warning("renewed certificate not taken up", error=str(error))
        else:
            log.info("renewed certificate taken up", certificate=str(certificate))
        seen = found


def _stamps(*paths: Path) -> tuple[tuple[int, int] | None, ...]:
    return tuple(_stamp(path) for path in paths)


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino
