"""Attachments by their URL: ranges, packed ones, conditions, limits."""

import gzip
from base64 import b64encode
from urllib.parse import quote

import aiohttp
import pytest

from tests.contract.couch import Answer, Db, replicated
from tests.contract.parts import Sent, digest, put_document

DATA = bytes(range(256)) * 8
PICTURE = Sent("image/png", DATA)
TEXT = b"trial,rt\n" * 5000
PACKED = Sent("text/csv", gzip.compress(TEXT, mtime=0), encoding="gzip", length=len(TEXT))


@pytest.fixture
async def kept(db: Db) -> Db:
    """A document `a` with a plain and a packed attachment."""
    (await put_document(db, replicated("a", "1-a"), {"p.png": PICTURE, "t.csv": PACKED})).ok(201)
    return db


async def ranged(db: Db, wanted: str, path: str = "/a/p.png", **headers: str) -> Answer:
    return await db.call("GET", path, headers={"Range": wanted, **headers})


@pytest.mark.parametrize(
    ("wanted", "start", "last"),
    [
        ("bytes=0-9", 0, 9),
        ("bytes=100-", 100, 2047),
        ("bytes=-5", 2043, 2047),
        ("bytes=2047-9999", 2047, 2047),
        ("bytes=7-7", 7, 7),
    ],
)
async def test_a_range_of_an_attachment_is_sent(kept: Db, wanted: str, start: int, last: int) -> None:
    answer = await ranged(kept, wanted)
    assert (answer.status, answer.body) == (206, DATA[start : last + 1])
    assert answer.headers["Content-Range"] == f"bytes {start}-{last}/2048"
    assert answer.headers["Content-Length"] == str(last - start + 1)


@pytest.mark.parametrize(
    "wanted", ["bytes=0-", "lines=1-2", "bytes", "bytes=a-b", ",".join(["bytes=1-2"] + ["3-4"] * 9)]
)
async def test_what_is_no_range_to_serve_gets_everything(kept: Db, wanted: str) -> None:
    answer = await ranged(kept, wanted)
    assert (answer.status, answer.body) == (200, DATA)
    assert answer.headers["Accept-Ranges"] == "bytes"


@pytest.mark.parametrize("wanted", ["bytes=2048-", "bytes=5000-6000", "bytes=9-3"])
async def test_a_range_behind_the_end_cannot_be_satisfied(kept: Db, wanted: str) -> None:
    (await ranged(kept, wanted)).refused(416, "requested_range_not_satisfiable")


async def test_several_ranges_are_sent_in_parts(kept: Db) -> None:
    answer = await ranged(kept, "bytes=0-1,65-67")
    assert answer.status == 206
    kind, _, boundary = answer.headers["Content-Type"].partition("; boundary=")
    assert kind == "multipart/byteranges"
    mark = b"--" + boundary.strip('"').encode()
    pieces = [piece.strip(b"\r\n").split(b"\r\n\r\n") for piece in answer.body.split(mark)[1:-1]]
    assert [data for _, data in pieces] == [DATA[0:2], DATA[65:68]]
    assert b"Content-Range: bytes 0-1/2048" in pieces[0][0]
    assert b"Content-Range: bytes 65-67/2048" in pieces[1][0]


async def test_a_packed_attachment_is_sent_as_the_client_takes_it(kept: Db) -> None:
    async def asked(encoding: str) -> tuple[Answer, bytes]:
        # A session of its own: it must not unpack by itself.
        async with (
            aiohttp.ClientSession(auto_decompress=False) as session,
            session.get(
                kept.url("/a/t.csv"),
                headers={**kept.session.headers, "Accept-Encoding": encoding, "Range": "bytes=0-3"},
            ) as response,
        ):
            return Answer(response.status, response.headers, b""), await response.read()

    packed, data = await asked("gzip, deflate")
    assert (packed.status, data) == (200, PACKED.data)
    assert (packed.headers["Content-Encoding"], packed.headers["Accept-Ranges"]) == ("gzip", "none")
    for encoding in ("identity", "gzip;q=0, identity"):
        plain, data = await asked(encoding)
        assert (plain.status, data) == (200, TEXT)
        assert "Content-Encoding" not in plain.headers
        assert plain.headers["Content-Length"] == str(len(TEXT))


async def test_a_packed_attachment_is_described_by_its_content(kept: Db) -> None:
    shown = (await kept.get("/a")).ok()["_attachments"]["t.csv"]
    assert (shown["length"], shown["digest"]) == (len(TEXT), digest(PACKED.data))
    assert "encoding" not in shown
    shown = (await kept.get("/a", att_encoding_info="true")).ok()["_attachments"]["t.csv"]
    assert (shown["encoding"], shown["encoded_length"]) == ("gzip", len(PACKED.data))
    shown = (await kept.get("/a", attachments="true")).ok()["_attachments"]["t.csv"]
    assert shown["data"] == b64encode(TEXT).decode()


async def test_a_packed_attachment_stays_packed_across_an_edit(kept: Db) -> None:
    document = (await kept.get("/a")).ok()
    (await kept.put("/a", {**document, "x": 1})).ok(201)
    shown = (await kept.get("/a", att_encoding_info="true")).ok()["_attachments"]["t.csv"]
    assert (shown["encoding"], shown["revpos"]) == ("gzip", 1)
    assert (await kept.get("/a/t.csv")).body == TEXT


async def test_an_attachment_that_the_client_has_is_not_sent_again(kept: Db) -> None:
    etag = f'"{digest(DATA).removeprefix("md5-")}"'
    answer = await ranged(kept, "bytes=0-3", **{"If-None-Match": etag})
    assert (answer.status, answer.body, answer.headers["ETag"]) == (304, b"", etag)


async def test_putting_an_attachment_says_where_it_is(db: Db) -> None:
    headers = {"Content-Type": "image/png"}
    answer = await db.call("PUT", "/a/my%20p.png", data=DATA, headers=headers)
    answer.ok(201)
    assert answer.headers["Location"].endswith(f"/{db.name}/a/my%20p.png")
    assert (await db.get("/a/my%20p.png")).body == DATA


async def test_an_attachment_in_an_unknown_encoding_is_refused(db: Db) -> None:
    headers = {"Content-Type": "image/png", "Content-Encoding": "compress"}
    (await db.call("PUT", "/a/f", data=DATA, headers=headers)).refused(415, "bad_content_type")


@pytest.mark.parametrize("name", ['q"uote', "semi;colon", "line\r\nX-Evil: 1", "Ω.png", "back\\slash"])
async def test_any_name_survives_the_way_back(db: Db, name: str) -> None:
    path = f"/a/{quote(name, safe='')}"
    (await db.call("PUT", path, data=DATA, headers={"Content-Type": "image/png"})).ok(201)
    assert (await db.get(path)).body == DATA
    assert list((await db.get("/a")).ok()["_attachments"]) == [name]
