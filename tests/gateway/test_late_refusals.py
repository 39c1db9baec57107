"""Documents that the policy lets through and the store then refuses: on record, beside their receipts."""

from tests.gateway.conftest import SITE
from tests.gateway.gateway import Gateway, session
from tests.gateway.test_missing_stubs import INLINE, STUB, edited

SAYS_NO = """
function (after) {
  if (after.bad) { throw({forbidden: 'no bad ones'}); }
  if (after.worse) { after.x.y(); }
}
"""


async def guard(gateway: Gateway, database: str) -> None:
    answer = await gateway.call(
        "PUT", f"/{database}/_design/v", token=gateway.service, body={"validate_doc_update": SAYS_NO}
    )
    assert answer.status == 201


async def test_a_design_document_has_its_say_about_what_tablets_push(
    gateway: Gateway, lima: str, tablet: str
) -> None:
    await guard(gateway, lima)
    docs = (session("one"), session("two", bad=True), session("three", worse=True), session("four"))
    rows = await gateway.push(lima, *docs, token=tablet)
    # Always `forbidden`: PouchDB gives up at any other error.
    assert [(row["id"], row["error"]) for row in rows] == [
        ("session:two", "forbidden"), ("session:three", "forbidden"),
    ]  # fmt: skip
    assert await gateway.stored(lima) == ["_design/v", "session:four", "session:one"]
    assert [(one.doc_id, one.outcome) for one in gateway.receipts(SITE) if one.outcome == "refused"] == [
        ("session:three", "refused"), ("session:two", "refused"),
    ]  # fmt: skip
    reasons = {one.doc_id: one.reason for one in gateway.receipts(SITE) if one.outcome == "refused"}
    assert reasons["session:two"] == "no bad ones"
    assert (reasons["session:three"] or "").startswith("TypeError")


async def test_what_is_taken_later_has_both_entries(gateway: Gateway, lima: str, tablet: str) -> None:
    await guard(gateway, lima)
    await gateway.push(lima, session("one", bad=True), token=tablet)
    rev = (await gateway.call("GET", f"/{lima}/_design/v", token=gateway.service)).json["_rev"]
    await gateway.call("DELETE", f"/{lima}/_design/v", query={"rev": rev}, token=gateway.service)
    assert await gateway.push(lima, session("one", bad=True), token=tablet) == []
    assert await gateway.stored(lima) == ["session:one"]
    assert [one.outcome for one in gateway.receipts(SITE)] == ["received", "refused"]


async def test_a_stub_whose_ancestor_was_refused_is_on_record_as_refused(
    gateway: Gateway, lima: str, tablet: str
) -> None:
    await guard(gateway, lima)
    first = session("x", bad=True, _attachments={"signature.png": INLINE})
    stub = {key: value for key, value in STUB.items() if key != "digest"}
    rows = await gateway.push(lima, first, edited("x", stub), session("y"), token=tablet)
    assert [(row["rev"], row["error"]) for row in rows] == [("1-aa", "forbidden"), ("2-bb", "forbidden")]
    assert await gateway.stored(lima) == ["_design/v", "session:y"]
    (entry,) = [one for one in gateway.receipts(SITE) if (one.rev, one.outcome) == ("2-bb", "refused")]
    assert "missing_stub" in (entry.reason or "")


async def test_a_single_replicated_document_is_a_push_like_any_other(
    gateway: Gateway, lima: str, tablet: str, hub: str
) -> None:
    """CouchDB's replicator and PouchDB send a document with attachments so."""
    for name, token in (("one", tablet), ("two", hub)):
        path = f"/{lima}/session:{name}"
        refused = await gateway.call("PUT", path, token=token, body=session(name))
        assert refused.error == (403, "forbidden")
        taken = await gateway.call("PUT", path, token=token, query={"new_edits": "false"}, body=session(name))
        assert (taken.status, taken.json["rev"]) == (201, "1-aa")
    other = await gateway.call(
        "PUT",
        f"/{lima}/battery:b",
        token=tablet,
        query={"new_edits": "false"},
        body={"_id": "battery:b", "_rev": "1-aa"},
    )
    assert other.error == (403, "forbidden")
    assert await gateway.stored(lima) == ["session:one", "session:two"]
    assert [one.outcome for one in gateway.receipts(SITE)] == ["refused", "received", "received"]
