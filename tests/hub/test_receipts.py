"""What a hub says of a revision by itself, and what only the centre can say."""

import pytest

from sync_server.hub import receipts
from sync_server.hub.centre import FetchedReceipt
from sync_server.hub.parts import now
from sync_server.hub.receipts import Kept, Receipt, resolve
from tests.hub.rig import RunningHub, session, token

TABLET = token("tab-1")
REVISION = ("session:a", "1-aa")


@pytest.mark.parametrize(
    ("kept", "stored", "state"),
    [
        (Kept("projected", None, "then"), True, "projected"),
        (Kept("projected", None, "then"), False, "projected"),
        (Kept("quarantined", "why", "then"), True, "quarantined"),
        (Kept("refused", "why", "then"), True, "refused"),
        (Kept("stored", None, "then"), True, "stored"),
        (Kept("stored", None, "then"), False, "unknown"),
        (Kept("unknown", None, "then"), True, "stored"),
        (Kept(), True, "stored"),
        (Kept(), False, "unknown"),
        (Kept(refusal="why"), False, "refused"),
        (Kept(refusal="why"), True, "stored"),
    ],
)
def test_a_receipt_is_the_centres_word_where_there_is_one_else_what_the_store_has(
    kept: Kept, stored: bool, state: str
) -> None:
    found = resolve(REVISION, kept, stored=stored, erased=False)
    assert found.state == state
    assert (found.as_of is not None) == (kept.state == state and state not in ("stored", "unknown"))
    assert resolve(REVISION, kept, stored=stored, erased=True).state == "refused"
    assert isinstance(found, Receipt)


async def test_stored_is_what_the_store_has_and_projected_what_the_centre_said(hub: RunningHub) -> None:
    await hub.push(TABLET, session("a"), {"_id": "study:x", "_rev": "1-a"})
    second = session("a", "2-bb", _revisions={"start": 2, "ids": ["bb", "aa"]})
    await hub.push(TABLET, second)
    asked = (("session:a", "1-aa"), ("session:a", "2-bb"), ("session:b", "1-aa"), ("session:a", "no rev"))
    states = [state for state, _ in await hub.receipts(TABLET, *asked)]
    assert states == ["stored", "stored", "unknown", "unknown"]
    [(refused, reason)] = await hub.receipts(TABLET, ("study:x", "1-a"))
    assert (refused, reason is not None and "may not write" in reason) == ("refused", True)

    told = [
        FetchedReceipt("session:a", "2-bb", "projected"),
        FetchedReceipt("session:b", "1-aa", "projected"),
    ]
    await hub.hub.records.do(lambda c: receipts.save(c, told, now()))
    states = [state for state, _ in await hub.receipts(TABLET, *asked)]
    # Of what no tablet ever pushed here the hub keeps nothing, whatever it is told.
    assert states == ["stored", "projected", "unknown", "unknown"]


async def test_the_centre_is_asked_for_what_was_pushed_or_asked_for_until_it_is_projected(
    hub: RunningHub,
) -> None:
    await hub.push(TABLET, session("b", "2-bb", _revisions={"start": 2, "ids": ["bb", "aa"]}), session("a"))
    await hub.push(TABLET, session("a", "2-bb", _revisions={"start": 2, "ids": ["bb", "aa"]}))
    wanted = await hub.hub.records.do(lambda c: receipts.wanted(c, now()))
    assert sorted(wanted) == [("session:a", "1-aa"), ("session:a", "2-bb"), ("session:b", "2-bb")]
    told = [
        FetchedReceipt("session:a", "1-aa", "projected"),
        FetchedReceipt("session:a", "2-bb", "quarantined", "why"),
        FetchedReceipt("session:b", "2-bb", "stored"),
    ]
    at = now()
    await hub.hub.records.do(lambda c: receipts.save(c, told, at))
    assert await hub.hub.records.do(lambda c: receipts.wanted(c, at)) == [("session:b", "2-bb")]
    later = at + 2 * receipts.ASK_AGAIN
    wanted = await hub.hub.records.do(lambda c: receipts.wanted(c, later))
    assert sorted(wanted) == [("session:a", "2-bb"), ("session:b", "2-bb")]
    # The hub's clock was set back: what seems to be of tomorrow may be of last year.
    earlier = at - 2 * receipts.ASK_AGAIN
    wanted = await hub.hub.records.do(lambda c: receipts.wanted(c, earlier))
    assert sorted(wanted) == [("session:a", "2-bb"), ("session:b", "2-bb")]


@pytest.mark.parametrize(
    ("body", "status"), [({"docs": [{"id": 1}]}, 422), ({"docs": None}, 422), ([], 422), (None, 400)]
)
async def test_a_question_in_another_shape_is_refused_in_words(
    hub: RunningHub, body: object, status: int
) -> None:
    found, told = await hub.call("POST", "/api/sync/receipts", by=TABLET, body=body)
    assert (found, set(told["error"])) == (status, {"code", "message", "details"})
    assert (await hub.call("POST", "/api/sync/receipts", body=body))[0] == 401


async def test_a_hub_enrols_nobody_and_says_who_does(hub: RunningHub) -> None:
    status, told = await hub.call("POST", "/api/sync/enrol", body={"code": "x", "installation": "y" * 16})
    assert status == 409
    assert told["error"]["details"] == {"centre": hub.hub.settings.centre}
