"""Documents as they arrive: what is stored is what was sent, and one bad document costs no other."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replication.errors import BadRequest
from replication.values import Rev
from replication.wire import decode
from replication.wire.decode import Incoming, decode_bulk_docs, decode_document
from replication.wire.split import nesting
from tests.replication.json_texts import bulk, decoded, documents, nested, spelled, values

BEFORE = b'{"_id":"session:before","_rev":"1-a","x":1}'
AFTER = b'{"_id":"session:after","_rev":"1-a","x":2}'


def between(document: bytes) -> Incoming:
    """The document as judged, after a check that its neighbours are as if it were not there."""
    before, judged, after = decoded(BEFORE, document, AFTER)
    assert [before, after] == decoded(BEFORE, AFTER)
    assert before.edit is not None
    assert after.edit is not None
    return judged


def refusal(document: bytes) -> tuple[str, str]:
    judged = between(document)
    assert judged.edit is None
    assert judged.refusal is not None
    return judged.refusal.error, judged.refusal.reason


@given(documents(), st.data())
def test_a_document_is_taken_apart_and_nothing_of_it_is_lost(
    sent: dict[str, Any], data: st.DataObject
) -> None:
    incoming = between(data.draw(spelled(sent)))
    assert incoming.refusal is None
    assert incoming.edit is not None
    assert incoming.notes == ()
    assert incoming.id == incoming.edit.id == sent["_id"]
    body = {name: value for name, value in sent.items() if not name.startswith("_")}
    assert json.loads(incoming.edit.body) == body
    assert incoming.edit.deleted is sent.get("_deleted", False)
    start, ids = (int(part) if part.isdigit() else [part] for part in sent.get("_rev", "0-0").split("-"))
    told = sent.get("_revisions", {"start": start, "ids": ids})
    assert incoming.edit.path == Rev.path(told["start"], told["ids"])
    assert incoming.rev == str(incoming.edit.path[0])


@given(st.lists(documents(), max_size=4), st.booleans(), st.data())
def test_the_slow_path_reads_what_the_fast_path_reads(
    docs: list[dict[str, Any]], members_first: bool, data: st.DataObject
) -> None:
    """A document that is too deep for a decoder sends the whole batch down the slow path."""
    texts = [data.draw(spelled(doc)) for doc in docs]
    deep = b'{"_id":"deep","_rev":"1-a","x":' + nested(2_000) + b"}"
    slow = decode_bulk_docs(
        b' { "\\u0064ocs" :[' + b" , ".join([*texts, deep]) + b'] ,"new_edits":false, "w":[1]}'
    )
    fast = decode_bulk_docs(bulk(*texts))
    assert slow.docs[:-1] == fast.docs
    assert slow.new_edits == fast.new_edits


@given(st.lists(documents(), min_size=1, max_size=3), st.data())
def test_a_broken_request_is_refused_as_a_whole_and_nothing_else_happens(
    docs: list[dict[str, Any]], data: st.DataObject
) -> None:
    body = data.draw(spelled({"docs": docs, "new_edits": False}))
    at = data.draw(st.integers(0, len(body)))
    cut = data.draw(st.integers(0, 3))
    put = data.draw(
        st.sampled_from([b"", b",", b"]", b"}", b'"', b":", b"[", b"{", b"\\", b"0", b"\xff", b"nul"])
    )
    broken = body[:at] + put + body[at + cut :]
    try:
        json.loads(broken.decode())
    except (ValueError, RecursionError):
        with pytest.raises(BadRequest):
            decode_bulk_docs(broken)
        return
    try:
        decode_bulk_docs(broken)
    except BadRequest as refused:
        reason = refused.reason
    else:
        reason = ""
    assert not reason.startswith("invalid_json")


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "Request body must be a JSON object"),
        (b"[]", "Request body must be a JSON object"),
        (b"null", "Request body must be a JSON object"),
        (b"{}", "POST body must include `docs` parameter."),
        (b'{"docs":null}', "`docs` parameter must be an array."),
        (b'{"docs":{}}', "`docs` parameter must be an array."),
        (b'{"docs":"[]"}', "`docs` parameter must be an array."),
        (b'{"docs":[],"new_edits":null}', "`new_edits` parameter must be a boolean."),
        (b'{"docs":[],"new_edits":"false"}', "`new_edits` parameter must be a boolean."),
        (b'{"docs":[],"new_edits":0}', "`new_edits` parameter must be a boolean."),
        (b'{"docs":[\xff]}', "invalid_json: the body is not UTF-8 (byte 9)"),
        (b'{"docs":[{"_id":"a","x":"\xed\xa0\x80"}]}', "invalid_json: the body is not UTF-8 (byte 25)"),
    ],
)
def test_a_request_of_the_wrong_shape_is_refused_with_a_reason(body: bytes, reason: str) -> None:
    with pytest.raises(BadRequest) as refused:
        decode_bulk_docs(body)
    assert refused.value.reason == reason


@pytest.mark.parametrize(
    "body",
    [
        b'{"docs":[{"_id":"a"}',
        b'{"docs":[{"_id":"a"},]}',
        b'{"docs":[{"_id":"a"},,{"_id":"b"}]}',
        b'{"docs":[{"_id":"a"}]}}',
        b'{"docs":[{"_id":"a"}] "new_edits":false}',
        b'{"docs":[{"_id":"a","x":NaN}]}',
        b'{"docs":[{"_id":"a","x":-Infinity}]}',
        b'{"docs":[{"_id":"a","x":01}]}',
        b'{"docs":[{"_id":"a","x":"\t"}]}',
        b'{"docs":[{"_id":"a","x":"\\x"}]}',
        b'{"docs":["a":{"_id":"a"}]}',
        b'{"docs":[{"_id":"a"}],[1]:2}',
        b'{"docs":[{"_id":"a"}],1:2}',
        b'{"docs":[{"_id":"a"}],{}:2}',
        b'{"docs":[{"_id":"a"}],"x":nothing}',
        b"\xef\xbb\xbf" + b'{"docs":[]}',
        '{"docs":[]}'.encode("utf-16-be"),
    ],
)
def test_what_is_not_json_is_refused_on_both_paths(body: bytes) -> None:
    deep = b'{"docs":[' + nested(2_000) + b","
    for sent in (body, body.replace(b'{"docs":[', deep)):
        with pytest.raises(BadRequest):
            decode_bulk_docs(sent)


def test_a_batch_of_no_documents_is_empty() -> None:
    assert decode_bulk_docs(b'{"docs":[]}').docs == ()
    assert decode_bulk_docs(b'{"docs":[]}').new_edits is True
    assert decode_bulk_docs(bulk()).new_edits is False


@pytest.mark.parametrize("value", [b"5", b"null", b'"text"', b"[]", b"[{}]", b"true"])
def test_an_element_that_is_no_object_is_refused_by_itself(value: bytes) -> None:
    assert refusal(value) == ("bad_request", "Document must be a JSON object")


@pytest.mark.parametrize(("levels", "stored"), [(498, True), (499, True), (500, False), (5_000, False)])
def test_nesting_counts_the_document_itself(levels: int, stored: bool) -> None:
    document = b'{"_rev":"1-a","_id":"session:deep","x":' + nested(levels) + b"}"
    if stored:
        edit = between(document).edit
        assert edit is not None
        assert edit.body == b'{"x":' + nested(levels) + b"}"
    else:
        assert refusal(document) == ("forbidden", "document is nested deeper than 500 levels")
        assert (between(document).id, between(document).rev) == ("session:deep", "1-a")


def test_nesting_of_a_hundred_thousand_levels_is_refused_like_any_other() -> None:
    document = b'{"_id":"session:deep","_rev":"1-a","x":' + nested(100_000) + b"}"
    assert refusal(document)[0] == "forbidden"


@pytest.mark.parametrize("levels", [501, 5_000])
def test_brackets_in_strings_hide_no_nesting(levels: int) -> None:
    """Each string closes for the eye what the structure leaves open."""
    hidden = b'["]",' * levels + b"0" + b',"["]' * levels
    assert refusal(b'{"_id":"session:a","_rev":"1-a","x":' + hidden + b"}")[0] == "forbidden"


def test_brackets_in_strings_are_no_nesting() -> None:
    text = json.dumps({"_id": "session:a", "_rev": "1-a", "x": '\\"[{' * 1_000, "y": "[" * 1_000}).encode()
    assert between(text).refusal is None


@given(values)
def test_nesting_is_measured_as_a_decoder_would(value: Any) -> None:
    def depth(of: Any) -> int:
        inner = of.values() if isinstance(of, dict) else of if isinstance(of, list) else None
        return 0 if inner is None else 1 + max(map(depth, inner), default=0)

    assert nesting(json.dumps(value).encode()) == depth(value)
    assert nesting(json.dumps(value, ensure_ascii=False, indent=1).encode()) == depth(value)


def test_a_document_over_the_size_limit_is_refused_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decode, "MAX_DOCUMENT_BYTES", 100)
    document = b'{"x":"' + b"y" * 100 + b'","_rev":"1-a","_id":"session:large"}'
    judged = between(document)
    assert (judged.id, judged.rev) == ("session:large", "1-a")
    assert refusal(document) == ("forbidden", "document is larger than 100 bytes")
    assert refusal(document.replace(b"xy", b"\\ud800"))[0] == "forbidden"


@pytest.mark.parametrize(
    ("members", "error"),
    [
        (b'"_rev":"1-a"', "illegal_docid"),
        (b'"_id":"","_rev":"1-a"', "illegal_docid"),
        (b'"_id":5,"_rev":"1-a"', "illegal_docid"),
        (b'"_id":null,"_rev":"1-a"', "illegal_docid"),
        (b'"_id":["a"],"_rev":"1-a"', "illegal_docid"),
        (b'"_id":"_secret","_rev":"1-a"', "illegal_docid"),
        (b'"_id":"' + b"x" * 513 + b'","_rev":"1-a"', "illegal_docid"),
        (b'"_id":"' + "é".encode() * 257 + b'","_rev":"1-a"', "illegal_docid"),
        (b'"_id":"_design/","_rev":"1-a"', "illegal_docid"),
        (b'"_id":"_local/checkpoint","_rev":"1-a"', "forbidden"),
        (b'"_id":"a"', "bad_request"),
        (b'"_id":"a","_rev":""', "bad_request"),
        (b'"_id":"a","_rev":"1"', "bad_request"),
        (b'"_id":"a","_rev":"0-a"', "bad_request"),
        (b'"_id":"a","_rev":"99999999999999999999-a"', "bad_request"),
        (b'"_id":"a","_rev":"1-' + b"x" * 129 + b'"', "bad_request"),
        (b'"_id":"a","_rev":null', "doc_validation"),
        (b'"_id":"a","_rev":1', "doc_validation"),
        (b'"_id":"a","_rev":"1-a","_unknown":1', "doc_validation"),
        (b'"_id":"a","_rev":"1-a","_":1', "doc_validation"),
        (b'"_id":"a","_rev":"1-a","_deleted":"yes"', "doc_validation"),
        (b'"_id":"a","_rev":"1-a","_deleted":null', "doc_validation"),
        (b'"_id":"a","_revisions":null', "doc_validation"),
        (b'"_id":"a","_revisions":[]', "doc_validation"),
        (b'"_id":"a","_revisions":{}', "doc_validation"),
        (b'"_id":"a","_revisions":{"start":1}', "doc_validation"),
        (b'"_id":"a","_revisions":{"start":1,"ids":[]}', "doc_validation"),
        (b'"_id":"a","_revisions":{"start":1,"ids":["b","a"]}', "doc_validation"),
        (b'"_id":"a","_revisions":{"start":"1","ids":["a"]}', "doc_validation"),
        (b'"_id":"a","_revisions":{"start":1.5,"ids":["a"]}', "doc_validation"),
        (b'"_id":"a","_revisions":{"start":2,"ids":["b",""]}', "doc_validation"),
        (b'"_id":"a","_revisions":{"start":2,"ids":["b",1]}', "doc_validation"),
        (b'"_id":"a","_revisions":{"start":-1,"ids":["a"]}', "doc_validation"),
        (b'"_id":"a","_revisions":{"start":' + b"9" * 400 + b',"ids":["a"]}', "doc_validation"),
        (b'"_id":"a","_rev":"1-b","_revisions":{"start":1,"ids":["a"]}', "doc_validation"),
        (b'"_id":"a","_rev":"1-a","_attachments":null', "doc_validation"),
        (b'"_id":"a","_rev":"1-a","_attachments":{"f":1}', "doc_validation"),
        (b'"_id":"a","_rev":"1-a","_attachments":{"f":{}}', "doc_validation"),
        (b'"_id":"a","_rev":"1-a","_attachments":{"f":{"data":"?"}}', "doc_validation"),
        (b'"_id":"a","_rev":"1-a","_attachments":{"f":{"data":"\xc3\xa9"}}', "doc_validation"),
        (b'"_id":"a","_rev":"1-a","_attachments":{"f":{"follows":true,"length":1}}', "doc_validation"),
        (b'"_id":"a","_rev":"1-a","_attachments":{"_f":{"data":""}}', "bad_request"),
    ],
)
def test_a_malformed_member_refuses_its_document(members: bytes, error: str) -> None:
    assert refusal(b'{"x":1,' + members + b"}")[0] == error


def test_members_that_servers_derive_are_dropped() -> None:
    sent = b'{"_id":"a","_rev":"1-a","_conflicts":["1-b"],"_revs_info":[],"_local_seq":1,"x":1}'
    edit = between(sent).edit
    assert edit is not None
    assert edit.body == b'{"x":1}'


def test_the_last_of_two_equal_members_counts() -> None:
    judged = between(b'{"_id":"a","_id":"b","_rev":"1-a","x":1,"x":2,"y":{"z":1,"z":2}}')
    assert judged.edit is not None
    assert (judged.id, judged.edit.body) == ("b", b'{"x":2,"y":{"z":1,"z":2}}')


def test_a_nul_character_is_stored_as_it_was_sent() -> None:
    judged = between(b'{"_id":"a\\u0000b","_rev":"1-a","x":"\\u0000"}')
    assert judged.edit is not None
    assert (judged.id, judged.edit.body, judged.notes) == ("a\x00b", b'{"x":"\\u0000"}', ())


def test_the_id_of_the_url_holds() -> None:
    judged = decode_document(b'{"_id":"other","x":1}', doc_id="session:url")
    assert judged.edit is not None
    assert judged.id == judged.edit.id == "session:url"


def test_a_document_without_an_id_is_named_only_where_it_is_new() -> None:
    named = decode_bulk_docs(b'{"docs":[{"x":1},{"_id":""}]}', new_id=lambda: "fresh")
    assert [doc.id for doc in named.docs] == ["fresh", ""]
    assert [doc.refusal is None for doc in named.docs] == [True, False]
    replicated = decode_bulk_docs(bulk(b'{"_rev":"1-a","x":1}'), new_id=lambda: "fresh")
    assert [doc.refusal is None for doc in replicated.docs] == [False]


def test_an_attachment_is_described_by_its_data() -> None:
    edit = between(
        b'{"_id":"a","_rev":"2-a","_attachments":{"f":{"content_type":"text/plain","data":"aGk="}}}'
    ).edit
    assert edit is not None
    kept = edit.attachments["f"]
    assert (kept.data, kept.length, kept.digest) == (b"hi", 2, "md5-SfaKXIST7CwL9ImCHCH8Ow==")


def test_refused_document_with_a_lone_surrogate_in_its_id_costs_its_neighbours_nothing() -> None:
    deep = b'{"_id":"session:\\ud800","_rev":"1-a","x":' + b"[" * 600 + b"]" * 600 + b"}"
    good = b'{"_id":"session:1","_rev":"1-a"}'
    bad, beside = decode_bulk_docs(b'{"new_edits":false,"docs":[' + deep + b"," + good + b"]}").docs
    assert (bad.id, bad.rev) == ("session:\ufffd", "1-a")
    assert bad.refusal is not None
    assert beside.edit is not None
