"""Multipart as CouchDB's replicator writes and reads it: JSON first, attachments behind it."""

import email.parser
import email.policy
import hashlib
import json
from base64 import b64encode
from collections.abc import Mapping, Sequence
from email.message import Message
from typing import Any, NamedTuple

from tests.contract.couch import Answer, Db

BOUNDARY = "db86aee9ef54ee0b3f56a3b1d2cdb1e5"


class Sent(NamedTuple):
    """One attachment as its bytes travel; `length` is that of the content when they are packed."""

    content_type: str
    data: bytes
    revpos: int = 1
    encoding: str | None = None
    length: int | None = None


def digest(data: bytes) -> str:
    """The digest of an attachment whose kept bytes are `data`."""
    return "md5-" + b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode()


def described(sent: Sent) -> dict[str, Any]:
    """The member of `_attachments` that announces it."""
    length = len(sent.data) if sent.length is None else sent.length
    shown: dict[str, Any] = {
        "content_type": sent.content_type, "revpos": sent.revpos, "digest": digest(sent.data),
        "length": length, "follows": True,
    }  # fmt: skip
    if sent.encoding is not None:
        shown |= {"encoding": sent.encoding, "encoded_length": len(sent.data)}
    return shown


def framed(document: bytes, parts: Sequence[tuple[Mapping[str, str], bytes]]) -> bytes:
    """A multipart/related body."""
    body = f"--{BOUNDARY}\r\nContent-Type: application/json\r\n\r\n".encode() + document
    for headers, data in parts:
        lines = "".join(f"\r\n{name}: {value}" for name, value in headers.items())
        body += f"\r\n--{BOUNDARY}{lines}\r\n\r\n".encode() + data
    return body + f"\r\n--{BOUNDARY}--".encode()


def part(name: str, sent: Sent) -> tuple[Mapping[str, str], bytes]:
    """Headers and bytes of an attachment's part."""
    headers = {
        "Content-Disposition": f'attachment; filename="{name}"',
        "Content-Type": sent.content_type,
        "Content-Length": str(len(sent.data)),
    }
    if sent.encoding is not None:
        headers["Content-Encoding"] = sent.encoding
    return headers, sent.data


async def put_body(
    db: Db, doc_id: str, body: bytes, *, boundary: str = f'"{BOUNDARY}"', **query: str
) -> Answer:
    """PUT a multipart body as it is."""
    headers = {"Content-Type": f"multipart/related; boundary={boundary}"}
    return await db.call("PUT", f"/{doc_id}", data=body, headers=headers, query=query)


async def put_document(db: Db, document: Mapping[str, Any], attachments: Mapping[str, Sent]) -> Answer:
    """Push one document as CouchDB's replicator does when it has attachments."""
    announced = {name: described(sent) for name, sent in attachments.items()}
    stubs = document.get("_attachments", {})
    text = json.dumps({**document, "_attachments": {**stubs, **announced}}).encode()
    body = framed(text, [part(name, sent) for name, sent in attachments.items()])
    return await put_body(db, str(document["_id"]), body, new_edits="false")


async def get_parts(db: Db, path: str, accept: str, **query: str) -> Answer:
    """A GET of somebody who takes `accept` only."""
    return await db.call("GET", path, query=query, headers={"Accept": accept})


def read(answer: Answer) -> Message:
    """The answer's body, read by the standard library; it must have no defect."""
    assert answer.status == 200, answer.body
    head = f"Content-Type: {answer.headers['Content-Type']}\r\n\r\n".encode()
    message = email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(head + answer.body)
    assert message.is_multipart()
    assert [found.defects for found in message.walk() if found.defects] == []
    return message


def parts_of(message: Message) -> list[Message]:
    """The parts directly below a message."""
    assert message.is_multipart()
    return [found for found in message.get_payload() if isinstance(found, Message)]


def content(message: Message) -> bytes:
    """The bytes of a part."""
    data = message.get_payload(decode=True)
    assert isinstance(data, bytes)
    return data
