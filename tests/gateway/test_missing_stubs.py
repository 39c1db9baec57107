"""A pushed document whose attachment stub has no data here: refused, on record, and nothing else stops."""

from typing import Any

from tests.gateway.conftest import SITE
from tests.gateway.gateway import Gateway, session

STUB = {"stub": True, "content_type": "image/png", "digest": "md5-AAAAAAAAAAAAAAAAAAAAAA==", "revpos": 1}
INLINE = {"content_type": "image/png", "data": "aGVsbG8="}


def edited(name: str, attachment: dict[str, Any]) -> dict[str, Any]:
    """The second revision of a session."""
    revisions = {"start": 2, "ids": ["bb", "aa"]}
    return session(name, "2-bb", _revisions=revisions, _attachments={"signature.png": attachment})


async def test_a_stub_without_data_is_refused_as_forbidden_and_the_batch_goes_on(
    gateway: Gateway, lima: str, tablet: str
) -> None:
    rows = await gateway.push(lima, session("one"), edited("x", STUB), session("two"), token=tablet)
    assert [(row["id"], row["error"]) for row in rows] == [("session:x", "forbidden")]
    assert "missing_stub" in rows[0]["reason"]
    assert await gateway.stored(lima) == ["session:one", "session:two"]


async def test_its_refusal_is_on_record_and_told_by_receipts(
    gateway: Gateway, lima: str, tablet: str
) -> None:
    await gateway.push(lima, edited("x", STUB), token=tablet)
    (receipt,) = gateway.receipts(SITE)
    assert (receipt.doc_id, receipt.rev, receipt.outcome) == ("session:x", "2-bb", "refused")
    assert "missing_stub" in (receipt.reason or "")


async def test_it_is_stored_when_it_is_pushed_again_with_the_data(
    gateway: Gateway, lima: str, tablet: str
) -> None:
    await gateway.push(lima, edited("x", STUB), token=tablet)
    assert await gateway.push(lima, edited("x", INLINE), token=tablet) == []
    assert await gateway.stored(lima) == ["session:x"]
    assert [receipt.outcome for receipt in gateway.receipts(SITE)] == ["received", "refused"]


async def test_a_stub_is_good_whose_ancestor_comes_in_the_same_batch_or_is_here(
    gateway: Gateway, lima: str, tablet: str
) -> None:
    first = session("x", _attachments={"signature.png": INLINE})
    stub = {key: value for key, value in STUB.items() if key != "digest"}
    assert await gateway.push(lima, first, edited("x", stub), token=tablet) == []
    assert await gateway.push(lima, session("y", _attachments={"signature.png": INLINE}), token=tablet) == []
    assert await gateway.push(lima, edited("y", stub), token=tablet) == []
    for name in ("x", "y"):
        answer = await gateway.call("GET", f"/{lima}/session:{name}/signature.png", token=gateway.service)
        assert (answer.status, answer.body) == (200, b"hello")


async def test_a_revision_that_is_here_already_is_fine_whatever_its_stubs_say(
    gateway: Gateway, lima: str, tablet: str
) -> None:
    await gateway.push(lima, edited("x", INLINE), token=tablet)
    assert await gateway.push(lima, edited("x", STUB), token=tablet) == []


async def test_an_ancestor_of_the_batch_that_has_no_such_attachment_does_not_help(
    gateway: Gateway, lima: str, tablet: str
) -> None:
    rows = await gateway.push(lima, session("x"), edited("x", STUB), session("two"), token=tablet)
    assert [(row["id"], row["error"]) for row in rows] == [("session:x", "forbidden")]
    assert await gateway.stored(lima) == ["session:two", "session:x"]
    outcomes = {(receipt.doc_id, receipt.rev): receipt.outcome for receipt in gateway.receipts(SITE)}
    assert outcomes["session:x", "1-aa"] == "received"
    assert outcomes["session:x", "2-bb"] == "refused"


async def test_a_tablet_reads_no_attachment_of_a_session_in_any_form(
    gateway: Gateway, lima: str, tablet: str
) -> None:
    await gateway.push(lima, session("x", _attachments={"signature.png": INLINE}), token=tablet)
    for accept in ("multipart/mixed", "multipart/related", "application/json"):
        headers = {"Accept": accept}
        for query in ("attachments=true", "open_revs=all", "atts_since=[]"):
            answer = await gateway.call("GET", f"/{lima}/session:x?{query}", token=tablet, headers=headers)
            assert answer.status == 403
        asked = {"docs": [{"id": "session:x", "rev": "1-aa"}]}
        answer = await gateway.call("POST", f"/{lima}/_bulk_get", token=tablet, body=asked, headers=headers)
        assert (answer.status, b"aGVsbG8" in answer.body, b"hello" in answer.body) == (200, False, False)
        assert b"forbidden" in answer.body
