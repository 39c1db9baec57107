"""A site's own certificate authority, for a network that has no other: made once, kept in the data directory.

Tablets learn its fingerprint with their enrolment, by a QR code that a person shows them, and trust what it
signed; they find its certificate in what the server sends, behind the server's own. It signs one
certificate, for the names and addresses under which this machine is reached.

| file | what | renewed |
|---|---|---|
| `tls/authority.pem` | authority's certificate and key, until 2099 | never: tablets know its fingerprint |
| `tls/server.pem` | server's chain and key, a year | a month before it ends, also while it is served |

A small machine may boot with its clock years behind, before it has heard the time: so the authority's life
does not depend on when it was made, and a server's certificate from the future is made anew.
"""

import ipaddress
import ssl
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, NamedTuple

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from sync_server.embedded.atomic_file import write_atomically
from sync_server.key_file import ReadableByOthers, load_or_create_key
from sync_server.tls.certificate import UnusableCertificate, load_context

_AUTHORITY_LIFE: Final = (datetime(1970, 1, 2, tzinfo=UTC), datetime(2099, 12, 31, tzinfo=UTC))
# Apple's and others' clients take no certificate for longer.
_SERVER_LIFE: Final = timedelta(days=365)
_RENEWED_BEFORE: Final = timedelta(days=30)
_BACKDATED: Final = timedelta(days=1)
"""A tablet's clock may be behind."""


class SiteAuthority(NamedTuple):
    """What to serve with; `fingerprint` is `sha256:` and 64 hexadecimal digits, of the authority's
    certificate as DER; `ca_pem` is that certificate, for clients to trust.
    """

    context: ssl.SSLContext
    fingerprint: str
    ca_pem: bytes


class _Pair(NamedTuple):
    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    def pem(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.PEM) + self.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )


def site_authority(data_dir: Path, hosts: Sequence[str], *, now: datetime | None = None) -> SiteAuthority:
    """The authority of this data directory, made if it is new, and a certificate for `hosts`: names and
    addresses, at least one. Raises UnusableCertificate, OSError.
    """
    now = now or datetime.now(UTC)
    path = data_dir / "tls" / "authority.pem"
    try:
        authority = _read(load_or_create_key(path, lambda: _make_authority().pem()))
    except ReadableByOthers as error:
        raise UnusableCertificate(str(error)) from error
    except (ValueError, TypeError) as error:
        raise UnusableCertificate(f"{path} holds no certificate and key of an authority.") from error
    ca_pem = authority.certificate.public_bytes(serialization.Encoding.PEM)
    server = data_dir / "tls" / "server.pem"
    if not _is_good(server, authority.certificate, hosts, now):
        write_atomically(server, _make_server(authority, hosts, now).pem() + ca_pem)
    return SiteAuthority(load_context(server, server), fingerprint(authority.certificate), ca_pem)


def fingerprint(certificate: x509.Certificate) -> str:
    """`sha256:…` of a certificate."""
    return f"sha256:{certificate.fingerprint(hashes.SHA256()).hex()}"


def _read(pem: bytes) -> _Pair:
    key = serialization.load_pem_private_key(pem, None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ValueError("another kind of key")  # noqa: TRY004 (told as any other unusable file)
    return _Pair(x509.load_pem_x509_certificate(pem), key)


def _make_authority() -> _Pair:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Metricis Sync site authority")])
    usage = x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=True,
        crl_sign=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
    certificate = (
        _builder(name, name, key, *_AUTHORITY_LIFE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return _Pair(certificate, key)


def _make_server(authority: _Pair, hosts: Sequence[str], now: datetime) -> _Pair:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, hosts[0][:64])])
    issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key())
    certificate = (
        _builder(name, authority.certificate.subject, key, now - _BACKDATED, now + _SERVER_LIFE)
        .add_extension(x509.SubjectAlternativeName([_general_name(host) for host in hosts]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(issuer, critical=False)
        .sign(authority.key, hashes.SHA256())
    )
    return _Pair(certificate, key)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, begin: datetime, end: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(end)
    )


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _is_good(path: Path, authority: x509.Certificate, hosts: Sequence[str], now: datetime) -> bool:
    try:
        pem = path.read_bytes()
        certificate, *chain = x509.load_pem_x509_certificates(pem)
        _read(pem)
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        certificate.verify_directly_issued_by(authority)
    except (OSError, ValueError, TypeError, InvalidSignature, x509.ExtensionNotFound):
        return False
    lasts = certificate.not_valid_before_utc <= now < certificate.not_valid_after_utc - _RENEWED_BEFORE
    return lasts and chain == [authority] and set(names) == {_general_name(host) for host in hosts}
