"""The multipart codec: whatever the network cuts it into, and whatever is sent instead of it."""

import gzip
import json
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replication.edits import Attachment
from replication.errors import (
    AttachmentTooLarge,
    BadContentType,
    BadRequest,
    ContentMd5Mismatch,
    CouchError,
    RangeNotSatisfiable,
)
from replication.wire import attachments
from replication.wire.attachments import AttachmentMember, Part, decode_attachments, digest_of
from replication.wire.multipart import (
    CLOSING,
    HEADER_BYTES,
    MAX_PARTS,
    MultipartParser,
    PartBegin,
    PartData,
    PartEnd,
    boundary_of,
    delimiter,
    opening,
    parse_header,
    part_head,
    quoted,
)
from replication.wire.ranges import byte_ranges
from replication.wire.related import RelatedReader

BOUNDARY = b"1f2e"
AWKWARD = st.lists(
    st.sampled_from(
        [b"\r", b"\n", b"-", b"--", b"1f2e", b"\r\n--1f2", b"\r\n--1f2ex", b"\r\n\r\n", b"a", b" "]
    )
    | st.binary(max_size=5)
).map(b"".join)
"""Bytes that look like delimiters, and are none."""


def written(*parts: tuple[dict[str, str], bytes]) -> bytes:
    body, before = b"", opening(BOUNDARY)
    for headers, data in parts:
        body += before + part_head(headers.items()) + data
        before = delimiter(BOUNDARY)
    return body + before + CLOSING


def parsed(body: bytes, sizes: list[int], boundary: bytes = BOUNDARY) -> list[tuple[dict[str, str], bytes]]:
    parser = MultipartParser(boundary)
    found: list[tuple[dict[str, str], bytes]] = []
    ended = 0
    while body:
        size = sizes.pop() if sizes else len(body)
        for event in parser.feed(body[:size]):
            if isinstance(event, PartBegin):
                found.append((dict(event.headers), b""))
            elif isinstance(event, PartData):
                assert event.data
                found[-1] = (found[-1][0], found[-1][1] + event.data)
            else:
                assert isinstance(event, PartEnd)
                ended += 1
        body = body[size:]
    parser.close()
    assert ended == len(found)
    return found


def harmless(data: bytes) -> bool:
    """Whether it holds no delimiter, alone or with the line breaks around it."""
    framed = b"\r\n" + data + b"\r\n"
    return not any(delimiter(BOUNDARY) + end in framed for end in (b"\r\n", b"--", b" ", b"\t"))


@given(parts=st.lists(AWKWARD.filter(harmless), max_size=4), sizes=st.lists(st.integers(1, 40), max_size=60))
def test_any_parts_come_back_whatever_the_body_is_cut_into(parts: list[bytes], sizes: list[int]) -> None:
    sent = [({"x-part": str(index)}, data) for index, data in enumerate(parts)]
    assert parsed(written(*sent), sizes) == sent


@given(body=AWKWARD, sizes=st.lists(st.integers(1, 9), max_size=30))
def test_hostile_bytes_are_refused_or_read_but_nothing_else_happens(body: bytes, sizes: list[int]) -> None:
    try:
        parsed(opening(BOUNDARY) + body, sizes)
    except BadRequest:
        return


@given(parts=st.lists(AWKWARD.filter(harmless), min_size=1, max_size=3), data=st.data())
def test_a_body_that_is_cut_short_is_never_taken_for_a_whole_one(
    parts: list[bytes], data: st.DataObject
) -> None:
    body = written(*(({}, part) for part in parts))
    cut = data.draw(st.integers(0, len(body) - 1))
    with pytest.raises(BadRequest):
        parsed(body[:cut], [])


def test_what_stands_around_the_parts_is_passed_over() -> None:
    body = b"preamble\r\n--1f2eno\r\n" + b"\r\n--1f2e \t\r\nA: 1\r\n\r\nx\r\n--1f2e--\r\n--1f2e\r\nepilogue"
    assert parsed(body, []) == [({"a": "1"}, b"x")]


def test_a_part_may_have_no_headers_and_an_inner_boundary_may_begin_as_the_outer_one() -> None:
    inner = b"--1f2e9\r\n\r\nnested\r\n--1f2e9--"
    assert parsed(written(({}, inner)), []) == [({}, inner)]


@pytest.mark.parametrize(
    "held", [b"x" * HEADER_BYTES, b"A: " + b"x" * HEADER_BYTES, b"A: 1\r\n" * HEADER_BYTES]
)
def test_endless_headers_are_refused_before_they_are_held(held: bytes) -> None:
    with pytest.raises(BadRequest, match="longer than"):
        parsed(opening(BOUNDARY) + b"\r\n" + held + b"\r\n\r\n", [1000] * 200)


def test_endless_parts_are_refused() -> None:
    with pytest.raises(BadRequest, match="more than"):
        parsed(written(*[({}, b"")] * (MAX_PARTS + 1)), [1000] * 1000)


@pytest.mark.parametrize("headers", [b"no colon", b": no name", b"A: 1\r\nbad"])
def test_a_header_that_is_none_is_refused(headers: bytes) -> None:
    with pytest.raises(BadRequest, match="bad part header"):
        parsed(opening(BOUNDARY) + b"\r\n" + headers + b"\r\n\r\n" + delimiter(BOUNDARY) + CLOSING, [])


@pytest.mark.parametrize(
    ("content_type", "boundary"),
    [
        ("multipart/related; boundary=abc", b"abc"),
        ('multipart/related;boundary="--a b"', b"--a b"),
        ('Multipart/Mixed; type="application/json"; Boundary="a=;b?"', None),
        ("multipart/related; start=x; BOUNDARY=abc ; q=1", b"abc"),
        ("multipart/related", None),
        ('multipart/related; boundary=""', None),
        (f"multipart/related; boundary={'x' * 71}", None),
        ('multipart/related; boundary="ends with blank "', None),
        ('multipart/related; boundary="a\\\r\nb"', None),
        ("application/json; boundary=abc", None),
        ("multipart/related; boundary=ä", None),
    ],
)
def test_the_boundary_is_read_quoted_or_not(content_type: str, boundary: bytes | None) -> None:
    if boundary is None:
        with pytest.raises(BadRequest):
            boundary_of(content_type)
    else:
        assert boundary_of(content_type) == boundary


@given(name=st.text())
def test_a_name_stays_within_its_quotes_and_its_line(name: str) -> None:
    text = quoted(name)
    assert "\r" not in text
    assert "\n" not in text
    shown = parse_header(f"attachment; filename={text}").parameters
    assert list(shown) == ["filename"]
    if all(character >= " " and character != "\x7f" for character in name):
        assert shown["filename"] == name


JSON = {"content-type": "application/json"}


def read(body: bytes, limit: int = 2**20) -> tuple[bytes, tuple[Part, ...]]:
    reader = RelatedReader("multipart/related; boundary=1f2e")
    for at in range(0, len(body), limit):
        reader.feed(body[at : at + limit])
    related = reader.finish()
    return related.document, related.parts


def test_a_document_is_read_with_the_parts_behind_it() -> None:
    named = {"content-disposition": 'attachment; filename="a\\"b"', "content-length": "2"}
    assert read(written((JSON, b"{}"), (named, b"hi"), ({}, b""))) == (
        b"{}",
        (Part('a"b', b"hi"), Part(None, b"")),
    )


@pytest.mark.parametrize(
    ("body", "failure"),
    [
        (written(), BadRequest),
        (written(({}, b"{}")), BadContentType),
        (written((JSON, b"{}"), ({"content-length": "3"}, b"hi")), BadRequest),
        (written((JSON, b"{}"), ({"content-length": "-2"}, b"hi")), BadRequest),
        (written((JSON, b"{}"), ({"content-length": "9" * 12}, b"hi")), AttachmentTooLarge),
        (written((JSON, b"{}"))[:-2], BadRequest),
    ],
)
def test_a_body_that_is_no_document_with_attachments_is_refused(
    body: bytes, failure: type[CouchError]
) -> None:
    with pytest.raises(failure):
        read(body, 7)


def test_an_attachment_over_the_limit_is_refused_while_it_arrives(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("replication.wire.related.MAX_ATTACHMENT_BYTES", 1000)
    reader = RelatedReader("multipart/related; boundary=1f2e")
    reader.feed(written((JSON, b"{}"), ({}, b""))[: -len("\r\n--1f2e--")])
    for _ in range(10):
        reader.feed(b"x" * 100)
    with pytest.raises(AttachmentTooLarge):
        reader.feed(b"x" * 100)


PACKED = gzip.compress(b"x" * 10_000, mtime=0)


def decoded(member: AttachmentMember, *data: bytes) -> Attachment:
    return decode_attachments({"f": member}, [Part(None, one) for one in data])["f"]


def test_packed_bytes_are_kept_with_the_length_of_their_content() -> None:
    member = AttachmentMember(follows=True, encoding="gzip", encoded_length=len(PACKED), length=10_000)
    for data in (PACKED, PACKED + gzip.compress(b"")):
        kept = decoded(AttachmentMember(follows=True, encoding="gzip"), data)
        assert (kept.length, kept.digest, kept.data) == (10_000, digest_of(data), data)
    assert decoded(member, PACKED).encoding == "gzip"


@pytest.mark.parametrize(
    ("member", "data", "failure"),
    [
        (AttachmentMember(follows=True), [], BadRequest),
        (AttachmentMember(follows=True), [b"a", b"b"], BadRequest),
        (AttachmentMember(follows=True, length=2), [b"a"], BadRequest),
        (AttachmentMember(follows=True, length=2), [b"abc"], BadRequest),
        (AttachmentMember(follows=True, digest=digest_of(b"b")), [b"a"], ContentMd5Mismatch),
        (AttachmentMember(follows=True, encoding="gzip"), [b"plain"], BadRequest),
        (AttachmentMember(follows=True, encoding="gzip"), [PACKED[:-1]], BadRequest),
        (AttachmentMember(follows=True, encoding="gzip"), [PACKED + b"more"], BadRequest),
        (AttachmentMember(follows=True, encoding="gzip"), [b""], BadRequest),
        (AttachmentMember(follows=True, encoding="br"), [b"a"], BadRequest),
    ],
)
def test_a_part_that_is_not_what_was_announced_is_refused(
    member: AttachmentMember, data: list[bytes], failure: type[CouchError]
) -> None:
    with pytest.raises(failure):
        decoded(member, *data)


def test_a_gzip_bomb_is_refused_before_it_is_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    unpacked = 0
    feed: Callable[..., object] = attachments.Unpacking.feed

    def counting(self: attachments.Unpacking, data: bytes) -> object:
        nonlocal unpacked
        for piece in feed(self, data):  # type: ignore[attr-defined]
            unpacked += len(piece)
            yield piece

    monkeypatch.setattr(attachments, "MAX_ATTACHMENT_BYTES", 2**20)
    monkeypatch.setattr(attachments.Unpacking, "feed", counting)
    with pytest.raises(AttachmentTooLarge):
        decoded(AttachmentMember(follows=True, encoding="gzip"), gzip.compress(bytes(2**26)))
    assert unpacked < 2**21


def test_parts_with_names_belong_to_the_attachments_of_these_names() -> None:
    members = {"a": AttachmentMember(follows=True), "b": AttachmentMember(follows=True)}
    by_name = decode_attachments(members, [Part("b", b"B"), Part("a", b"A")])
    by_order = decode_attachments(members, [Part("b", b"1"), Part("x", b"2")])
    assert [one.data for one in by_name.values()] == [b"A", b"B"]
    assert [one.data for one in by_order.values()] == [b"1", b"2"]


@given(text=st.text(alphabet="bytes=0123456789-, ", max_size=30), length=st.integers(0, 99))
def test_every_range_lies_within_the_attachment(text: str, length: int) -> None:
    try:
        ranges = byte_ranges("bytes=" + text, length) or []
    except RangeNotSatisfiable:
        return
    assert all(0 <= one.start <= one.last < length for one in ranges)


def test_the_reader_holds_the_json_as_it_was_sent() -> None:
    text = json.dumps({"_id": "a", "x": "ä"}, ensure_ascii=False).encode()
    assert read(written((JSON, text)), 1) == (text, ())
