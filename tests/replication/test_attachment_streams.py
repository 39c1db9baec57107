"""Large attachments on the embedded store: what is refused early, and what is held in memory meanwhile."""

import asyncio
import tracemalloc
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from replication.http.access import allow_everything
from replication.wire.attachments import MAX_ATTACHMENT_BYTES
from tests.contract.couch import Couch, Db, embedded_in, fresh_database, replicated
from tests.contract.parts import Sent, framed, part, put_body, put_document

MEGABYTE = 1024 * 1024


@pytest.fixture
async def couch(tmp_path: Path) -> AsyncIterator[Couch]:
    """The embedded store."""
    async with embedded_in(tmp_path / "store", allow_everything) as running:
        yield running


@pytest.fixture
async def db(couch: Couch) -> AsyncIterator[Db]:
    """An empty database."""
    async with fresh_database(couch) as database:
        yield database


async def connected(
    db: Db, request_line: str, *headers: str
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection on which the head of a request was sent; `request_line` without the database's path."""
    url = urlsplit(db.base)
    reader, writer = await asyncio.open_connection(url.hostname, url.port)
    method, _, path = request_line.partition(" ")
    host = [] if any(header.startswith("Host:") for header in headers) else ["Host: x"]
    lines = [f"{method} {url.path}{path} HTTP/1.1", *host, *headers, "", ""]
    writer.write("\r\n".join(lines).encode())
    await writer.drain()
    return reader, writer


async def test_an_attachment_that_is_announced_too_large_is_refused_before_it_is_sent(db: Db) -> None:
    length = f"Content-Length: {MAX_ATTACHMENT_BYTES + 1}"
    reader, writer = await connected(db, "PUT /a/f", length, "Content-Type: image/png")
    head = await reader.readuntil(b"\r\n\r\n")
    assert b" 413 " in head.splitlines()[0]
    assert b'"error":"attachment_too_large"' in await reader.readuntil(b"}")
    writer.close()
    await writer.wait_closed()


async def test_an_attachment_that_grows_too_large_is_refused(db: Db, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("replication.http.attachments.MAX_ATTACHMENT_BYTES", 1000)
    chunked = ("Transfer-Encoding: chunked", "Content-Type: image/png")
    reader, writer = await connected(db, "PUT /a/f", *chunked)
    writer.write(b"3E9\r\n" + b"x" * 1001 + b"\r\n")
    await writer.drain()
    head = await reader.readuntil(b"\r\n\r\n")
    assert b" 413 " in head.splitlines()[0]
    assert b"attachment_too_large" in await reader.readuntil(b"}")
    writer.close()
    await writer.wait_closed()
    assert (await db.get("/a")).status == 404


async def test_an_attachment_of_a_multipart_document_that_is_too_large_is_refused(
    db: Db, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("replication.wire.related.MAX_ATTACHMENT_BYTES", 1000)
    answer = await put_document(db, replicated("a", "1-a"), {"f": Sent("image/png", b"x" * 1001)})
    assert answer.refused(413, "attachment_too_large") == "f"
    text = b'{"_rev":"1-a","_attachments":{"f":{"follows":true}}}'
    body = framed(text, [({}, b"x" * 1001)])
    (await put_body(db, "a", body, new_edits="false")).refused(413, "attachment_too_large")
    assert (await db.get("/a")).status == 404


async def test_a_body_that_ends_in_the_middle_stores_nothing(db: Db) -> None:
    sent = Sent("image/png", bytes(1000))
    text = b'{"_rev":"1-a","_attachments":{"f":{"follows":true,"length":1000}}}'
    body = framed(text, [part("f", sent)])
    for cut in (len(body) - 2, len(body) - 500, 40):
        (await put_body(db, "a", body[:cut], new_edits="false")).refused(400, "bad_request")
    assert (await db.get("/a")).status == 404


async def test_large_attachments_are_never_whole_in_memory_while_they_are_sent(db: Db) -> None:
    large = Sent("video/mp4", bytes(24 * MEGABYTE))
    (await put_document(db, replicated("a", "1-a"), {"f": large})).ok(201)
    del large

    async def fetched(request_line: str, *headers: str) -> int:
        reader, writer = await connected(db, request_line, "Connection: close", *headers)
        size = 0
        while piece := await reader.read(65536):
            size += len(piece)
        writer.close()
        await writer.wait_closed()
        return size

    tracemalloc.start()
    try:
        sizes = await asyncio.gather(
            fetched("GET /a/f"),
            fetched("GET /a/f", "Range: bytes=1-"),
            fetched("GET /a?attachments=true", "Accept: multipart/related"),
            fetched("GET /a?open_revs=all&attachments=true", "Accept: multipart/mixed"),
        )
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert min(sizes) > 24 * MEGABYTE - 1
    assert peak < 20 * MEGABYTE


async def test_a_head_request_is_answered_without_the_data(db: Db) -> None:
    (await put_document(db, replicated("a", "1-a"), {"f": Sent("image/png", bytes(5000))})).ok(201)
    for path, accept in (("/a/f", "*/*"), ("/a?attachments=true", "multipart/related")):
        whole = await db.call("GET", path, headers={"Accept": accept})
        head = await db.call("HEAD", path, headers={"Accept": accept})
        assert (head.status, head.body) == (200, b"")
        assert head.headers["Content-Length"] == str(len(whole.body))


@pytest.mark.parametrize("host", ["a b", "[::", "ä", "x/y?z", '"<', "x:99999999"])
async def test_a_host_that_is_none_does_not_spoil_what_is_written(db: Db, host: str) -> None:
    length = "Content-Length: 0"
    reader, writer = await connected(db, "PUT /a/f", f"Host: {host}", length, "Content-Type: image/png")
    head = await reader.readuntil(b"\r\n\r\n")
    status = int(head.split()[1])
    assert status in (201, 400)
    if status == 201:
        assert f"/{db.name}/a/f\r\n".encode() in head
    writer.close()
    await writer.wait_closed()
