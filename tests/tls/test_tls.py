"""Certificates that are served with: made, given, wrong, renewed."""

import asyncio
import ipaddress
import os
import socket
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from yarl import URL

from sync_server.tls.authority import SiteAuthority, fingerprint, site_authority
from sync_server.tls.certificate import UnusableCertificate, follow_files, load_context
from sync_server.tls.serving import keep_made

HOSTS = ("127.0.0.1", "hub.local")


@asynccontextmanager
async def serving(context: ssl.SSLContext) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_get("/", hello)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
    await site.start()
    try:
        yield f"https://127.0.0.1:{runner.addresses[0][1]}/"
    finally:
        await runner.cleanup()


async def hello(request: web.Request) -> web.Response:
    return web.Response(text="hello")


async def fetch(url: str, ca_pem: bytes) -> str:
    trusting = ssl.create_default_context(cadata=ca_pem.decode())
    async with aiohttp.ClientSession() as http, http.get(url, ssl=trusting) as answer:
        return await answer.text()


def server_certificate(data_dir: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate((data_dir / "tls" / "server.pem").read_bytes())


async def test_who_trusts_the_sites_authority_is_served_and_who_trusts_another_is_not(tmp_path: Path) -> None:
    own = site_authority(tmp_path / "a", HOSTS)
    other = site_authority(tmp_path / "b", HOSTS)
    assert own.fingerprint != other.fingerprint
    async with serving(own.context) as url:
        assert await fetch(url, own.ca_pem) == "hello"
        with pytest.raises(aiohttp.ClientConnectorCertificateError):
            await fetch(url, other.ca_pem)


async def test_who_knows_the_fingerprint_alone_finds_the_authority_in_what_the_server_sends(
    tmp_path: Path,
) -> None:
    own = site_authority(tmp_path, HOSTS)
    async with serving(own.context) as url:
        sent = await asyncio.to_thread(sent_chain, URL(url).port or 0)
        (authority,) = (each for each in sent if fingerprint(each) == own.fingerprint)
        assert await fetch(url, authority.public_bytes(serialization.Encoding.PEM)) == "hello"


def sent_chain(port: int) -> list[x509.Certificate]:
    blind = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    blind.check_hostname = False
    blind.verify_mode = ssl.CERT_NONE
    with socket.create_connection(("127.0.0.1", port)) as plain, blind.wrap_socket(plain) as tls:
        # Public as SSLSocket.get_unverified_chain from Python 3.13 on.
        chain = tls._sslobj.get_unverified_chain()  # type: ignore[attr-defined]
        return [x509.load_pem_x509_certificate(each.public_bytes().encode()) for each in chain]


def test_authority_stays_and_its_certificate_is_renewed_when_it_ends_or_is_for_other_names(
    tmp_path: Path,
) -> None:
    def made(hosts: Sequence[str] = HOSTS, *, days: int = 0) -> tuple[SiteAuthority, int]:
        authority = site_authority(tmp_path, hosts, now=datetime.now(UTC) + timedelta(days=days))
        return authority, server_certificate(tmp_path).serial_number

    first, serial = made()
    assert made()[1] == serial
    later, renewed = made(days=340)
    assert later.fingerprint == first.fingerprint
    assert renewed != serial
    assert made(("10.0.0.7",), days=340)[1] != renewed
    names = server_certificate(tmp_path).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert list(names) == [x509.IPAddress(ipaddress.ip_address("10.0.0.7"))]
    for name in ("authority.pem", "server.pem"):
        assert (tmp_path / "tls" / name).stat().st_mode & 0o777 == 0o600


def test_authority_that_others_can_read_or_that_is_none_is_refused(tmp_path: Path) -> None:
    site_authority(tmp_path, HOSTS)
    path = tmp_path / "tls" / "authority.pem"
    path.chmod(0o644)
    with pytest.raises(UnusableCertificate, match="can be read by others"):
        site_authority(tmp_path, HOSTS)
    path.write_text("nothing")
    path.chmod(0o600)
    with pytest.raises(UnusableCertificate, match="no certificate and key"):
        site_authority(tmp_path, HOSTS)


def test_certificate_that_cannot_be_served_with_is_told_in_a_sentence(tmp_path: Path) -> None:
    site_authority(tmp_path / "a", HOSTS)
    site_authority(tmp_path / "b", HOSTS)
    site_authority(tmp_path / "old", HOSTS, now=datetime.now(UTC) - timedelta(days=334))
    good, other = (tmp_path / name / "tls" / "server.pem" for name in "ab")
    ended = tmp_path / "old" / "tls" / "server.pem"
    rubbish = tmp_path / "rubbish.pem"
    rubbish.write_text("-----BEGIN CERTIFICATE-----")
    load_context(ended, ended)
    for certificate, key, told in (
        (tmp_path / "none.pem", good, "none.pem cannot be read: No such file"),
        (good, tmp_path / "none.pem", "none.pem cannot be read: No such file"),
        (rubbish, good, "holds no certificate"),
        (good, rubbish, "holds no key"),
        (good, other, "is not the key of"),
    ):
        with pytest.raises(UnusableCertificate, match=told):
            load_context(certificate, key)


async def test_ended_certificate_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UnusableCertificate, match="ended at"):
        site_authority(tmp_path, HOSTS, now=datetime.now(UTC) - timedelta(days=400))


async def test_renewed_files_are_served_without_a_restart_and_wrong_ones_are_not(tmp_path: Path) -> None:
    first, second = site_authority(tmp_path / "a", HOSTS), site_authority(tmp_path / "b", HOSTS)
    files = tmp_path / "server.pem"
    files.write_bytes((tmp_path / "a" / "tls" / "server.pem").read_bytes())
    context = load_context(files, files)
    following = asyncio.create_task(follow_files(context, files, files, every=0.01))
    async with serving(context) as url:
        assert await fetch(url, first.ca_pem) == "hello"
        # Rubbish, and a certificate whose key is not there yet.
        for wrong in (b"rubbish", certificate_alone(tmp_path / "b") + key_alone(tmp_path / "a")):
            replace(files, wrong)
            await asyncio.sleep(0.1)
            assert await fetch(url, first.ca_pem) == "hello"
        replace(files, (tmp_path / "b" / "tls" / "server.pem").read_bytes())
        async with asyncio.timeout(30):
            while not await is_served(url, second.ca_pem):  # noqa: ASYNC110 (the files tell nobody)
                await asyncio.sleep(0.01)
    following.cancel()
    await asyncio.wait([following])


def certificate_alone(data_dir: Path) -> bytes:
    return server_certificate(data_dir).public_bytes(serialization.Encoding.PEM)


def key_alone(data_dir: Path) -> bytes:
    marker = b"-----BEGIN PRIVATE KEY-----"
    return marker + (data_dir / "tls" / "server.pem").read_bytes().partition(marker)[2]


async def test_own_certificate_that_nears_its_end_is_made_anew_while_it_serves(tmp_path: Path) -> None:
    made = site_authority(tmp_path, HOSTS, now=datetime.now(UTC) - timedelta(days=340))
    old = server_certificate(tmp_path).serial_number
    keeping = asyncio.create_task(keep_made(made.context, tmp_path, HOSTS, every=0.01))
    async with serving(made.context) as url, asyncio.timeout(30):
        while await served_serial(url) == old:  # noqa: ASYNC110 (nobody is told)
            await asyncio.sleep(0.01)
        assert await served_serial(url) == server_certificate(tmp_path).serial_number
        assert await fetch(url, made.ca_pem) == "hello"
    keeping.cancel()
    await asyncio.wait([keeping])


async def served_serial(url: str) -> int:
    port = URL(url).port
    assert port is not None
    pem = await asyncio.to_thread(ssl.get_server_certificate, ("127.0.0.1", port))
    return x509.load_pem_x509_certificate(pem.encode()).serial_number


def test_authority_made_before_the_clock_was_right_is_good_afterwards(tmp_path: Path) -> None:
    def made(at: datetime) -> x509.Certificate:
        with suppress(UnusableCertificate):  # what was made in 1970 has ended by this machine's clock
            site_authority(tmp_path, HOSTS, now=at)
        return server_certificate(tmp_path)

    for at in (datetime(1970, 1, 2, tzinfo=UTC), datetime(2038, 1, 1, tzinfo=UTC)):
        assert made(at).serial_number != made(datetime.now(UTC)).serial_number
    pem = (tmp_path / "tls" / "authority.pem").read_bytes()
    authority = x509.load_pem_x509_certificate(pem)
    assert authority.not_valid_before_utc <= datetime.now(UTC) < authority.not_valid_after_utc


def replace(path: Path, content: bytes) -> None:
    beside = path.with_suffix(".new")
    beside.write_bytes(content)
    os.replace(beside, path)  # noqa: PTH105 (as a renewal does it)


async def is_served(url: str, ca_pem: bytes) -> bool:
    try:
        await fetch(url, ca_pem)
    except aiohttp.ClientConnectorCertificateError:
        return False
    return True
