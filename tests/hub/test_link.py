"""A contact with the centre, step by step; the centre is a stand-in that answers as agreed."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from reporting.erasure.names import REASON
from sync_server.hub import site_list
from sync_server.hub.contact import Step
from sync_server.hub.link import Link
from sync_server.hub.status import documents_waiting
from sync_server.hub.upkeep import compact_if_due
from tests.hub.rig import (
    DATABASE,
    FakeCentre,
    RunningHub,
    fetched_list,
    ids_in,
    linked,
    running_hub,
    session,
    token,
)

TABLET = token("tab-1")
NEWS = ["status", "site", "erasures", "journal"]


@pytest.fixture
async def hub(tmp_path: Path, centre_url: str) -> AsyncIterator[RunningHub]:
    async with running_hub(tmp_path / "hub", centre_url) as running:
        running.hub.site_list.replace(fetched_list(version="0"))
        yield running


@pytest.fixture
async def link(hub: RunningHub) -> AsyncIterator[Link]:
    async with linked(hub) as made:
        yield made


async def test_a_contact_brings_everything_across_in_order(
    hub: RunningHub, link: Link, centre: FakeCentre
) -> None:
    await hub.push(TABLET, session("a"), session("b"), {"_id": "device:tab-1", "_rev": "1-d"})
    await hub.push(token("tab-2"), session("c"))
    centre.receipts["session:a"] = ("projected", None)
    assert await documents_waiting(hub.hub) == 4
    await link.contact()
    assert centre.calls == [*NEWS, "receipts"]
    assert await ids_in(centre.registry) == ["device:tab-1", "session:a", "session:b", "session:c"]
    assert [(e["doc_id"], e["device"], e["credential"]) for e in centre.entries[-2:]] == [
        ("device:tab-1", "tab-1", "id-of-tab-1"),
        ("session:c", "tab-2", "id-of-tab-2"),
    ]
    assert set(centre.entries[0]) == {"doc_id", "rev", "device", "role", "credential", "received_at"}
    assert [told for *_, told in await hub.journal()] == [1, 1, 1, 1]
    assert await documents_waiting(hub.hub) == 0
    assert await hub.receipts(TABLET, ("session:a", "1-aa")) == [("projected", None)]
    report = centre.reports[0]
    assert (report["documents_waiting"], report["urls"]) == (4, ["https://hub.lima:8443"])
    assert sorted(tablet["device"] for tablet in report["tablets"]) == ["tab-1", "tab-2"]
    assert hub.hub.state.up

    centre.calls.clear()
    await link.contact()
    assert centre.calls == ["status", "site", "erasures", "receipts"]
    assert len(centre.entries) == 4


async def test_publications_come_and_are_not_sent_back(
    hub: RunningHub, link: Link, centre: FakeCentre, centre_url: str
) -> None:
    docs = [{"_id": "study:SRO", "_rev": "1-s"}, {"_id": "battery:b@1", "_rev": "1-b"}]
    async with hub.client.session.post(
        f"{centre_url}/db/{DATABASE}/_bulk_docs", json={"new_edits": False, "docs": docs}
    ) as answer:
        assert answer.status == 201
    await link.contact()
    assert await hub.ids() == ["battery:b@1", "study:SRO"]
    assert (await hub.call("GET", f"/db/{DATABASE}/study:SRO", by=TABLET))[0] == 200
    # Gone at the centre, without a trace that would replicate: what the hub still has stays here.
    purge = f"{centre_url}/db/{DATABASE}/_purge"
    async with hub.client.session.post(purge, json={"study:SRO": ["1-s"]}) as answer:
        assert answer.status == 201
    await hub.push(TABLET, session("a"))
    await link.contact()
    assert await ids_in(centre.registry) == ["battery:b@1", "session:a"]


async def kept_revocations(hub: RunningHub) -> set[str]:
    """What a hub that starts now would know of, without a link."""
    kept = await hub.hub.records.do(site_list.load)
    return set() if kept is None else {each.id for each in kept.credentials if each.revoked}


async def test_a_revocation_takes_effect_at_the_next_contact_and_outlives_a_restart(
    hub: RunningHub, link: Link, centre: FakeCentre
) -> None:
    assert (await hub.call("GET", f"/db/{DATABASE}", by=TABLET))[0] == 200
    centre.listed = fetched_list("tab-1", version="2")
    await link.contact()
    assert (await hub.call("GET", f"/db/{DATABASE}", by=TABLET))[0] == 401
    assert (await kept_revocations(hub)) == {"id-of-tab-1"}


async def test_a_list_that_the_disk_did_not_take_counts_at_once_and_is_fetched_until_it_is_kept(
    hub: RunningHub, link: Link, centre: FakeCentre, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    centre.listed = fetched_list("tab-1", version="2")
    with monkeypatch.context() as broken:
        broken.setattr("sync_server.hub.site_list.save", full)
        await link.contact()
    assert (await hub.call("GET", f"/db/{DATABASE}", by=TABLET))[0] == 401
    assert Step.SITE_LIST.value in hub.hub.state.problems
    await link.contact()
    assert (await kept_revocations(hub)) == {"id-of-tab-1"}
    assert hub.hub.state.problems == {}


@pytest.mark.parametrize("status", [502, 503, 401])
async def test_a_centre_that_is_away_or_refuses_ends_the_contact(
    hub: RunningHub, link: Link, centre: FakeCentre, status: int
) -> None:
    await hub.push(TABLET, session("a"))
    centre.fails["journal"] = status
    await link.contact()
    assert centre.calls == NEWS
    assert (hub.hub.state.up, hub.hub.state.failures) == (False, 1)
    assert "Not now." in (hub.hub.state.last_error or "")
    assert await ids_in(centre.registry) == []
    assert await hub.receipts(TABLET, ("session:a", "1-aa")) == [("stored", None)]
    del centre.fails["journal"]
    await link.contact()
    assert hub.hub.state.up
    assert await ids_in(centre.registry) == ["session:a"]


async def test_a_centre_that_cannot_answer_a_question_gets_the_documents_all_the_same(
    hub: RunningHub, link: Link, centre: FakeCentre
) -> None:
    centre.fails |= {"status": 404, "site": 500, "erasures": 404, "journal": 500}
    await hub.push(TABLET, session("a"))
    await link.contact()
    assert await ids_in(centre.registry) == ["session:a"]
    assert hub.hub.state.up
    assert set(hub.hub.state.problems) == {"status", "site list", "erasures", "journal"}


async def test_an_entry_that_the_centre_cannot_take_does_not_hold_up_the_others(
    hub: RunningHub, link: Link, centre: FakeCentre
) -> None:
    centre.rejects = {"session:3"}
    await hub.push(TABLET, *(session(str(number)) for number in range(7)))
    await link.contact()
    assert [entry["doc_id"] for entry in centre.entries] == [f"session:{n}" for n in range(7) if n != 3]
    assert [told for *_, told in await hub.journal()] == [1] * 7
    assert hub.hub.state.problems == {}


async def test_a_centre_that_was_put_back_is_told_everything_again(
    hub: RunningHub, link: Link, centre: FakeCentre, monkeypatch: pytest.MonkeyPatch
) -> None:
    await hub.push(TABLET, session("a"))
    centre.receipts["session:a"] = ("projected", None)
    await link.contact()
    await centre.registry.delete(DATABASE)
    await centre.registry.create(DATABASE)
    centre.receipts.clear()
    with monkeypatch.context() as slow:
        slow.setattr(link._replications, "push", asyncio.Event().wait)
        await link.contact()
        assert await documents_waiting(hub.hub) == 1
        await link.stop()
    await link.contact()
    assert await documents_waiting(hub.hub) == 0
    assert [entry["doc_id"] for entry in centre.entries] == ["session:a", "session:a"]
    assert await ids_in(centre.registry) == ["session:a"]
    assert await hub.receipts(TABLET, ("session:a", "1-aa")) == [("stored", None)]


async def test_an_erasure_takes_the_document_out_of_everything_and_keeps_it_out(
    tmp_path: Path, hub: RunningHub, link: Link, centre: FakeCentre
) -> None:
    branch = session("gone", "2-bb", _revisions={"start": 2, "ids": ["bb", "zz"]}, secret="Rosa")
    await hub.push(TABLET, session("gone", secret="Rosa"), branch, session("a"))
    centre.tasks = [{"id": "7", "documents": {"session:gone": [], "session:never-here": []}}]
    await link.contact()
    assert centre.done == ["7"]
    assert await hub.ids() == ["session:a"]
    assert await ids_in(centre.registry) == ["session:a"]
    assert [entry[0] for entry in await hub.journal()] == ["session:a"]
    for file in (tmp_path / "hub").rglob("*"):
        if file.is_file():
            content = file.read_bytes()
            assert b"Rosa" not in content, file
            assert b"session:gone" not in content, file
    assert [row["error"] for row in await hub.push(TABLET, branch)] == ["forbidden"]


async def test_an_erasure_is_done_only_with_all_that_the_centre_named_meanwhile(
    hub: RunningHub, link: Link, centre: FakeCentre
) -> None:
    await hub.push(TABLET, session("gone"), session("later"), session("a"))
    centre.tasks = [{"id": 7, "documents": {"session:gone": []}}]
    centre.named_meanwhile = {"session:later": []}
    await link.contact()
    assert (centre.done, hub.hub.state.problems) == ([], {})
    assert await hub.ids() == ["session:a", "session:later"]
    await link.contact()
    assert centre.done == ["7"]
    assert await hub.ids() == ["session:a"]


async def test_a_publication_that_was_on_its_way_when_it_was_erased_does_not_come_back(
    hub: RunningHub, link: Link, centre: FakeCentre, centre_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    docs = [{"_id": "participant:p1", "_rev": "1-a"}, {"_id": "study:SRO", "_rev": "1-s"}]
    async with hub.client.session.post(
        f"{centre_url}/db/{DATABASE}/_bulk_docs", json={"new_edits": False, "docs": docs}
    ) as answer:
        assert answer.status == 201
    fetched, go_on = asyncio.Event(), asyncio.Event()
    target = link._replications._here_peer
    write = target.write

    async def late(batch: Any) -> Any:
        fetched.set()
        await go_on.wait()
        return await write(batch)

    monkeypatch.setattr(target, "write", late)
    await link.contact()
    assert fetched.is_set()
    centre.tasks = [{"id": 7, "documents": {"participant:p1": ["1-a"]}}]
    purge = f"{centre_url}/db/{DATABASE}/_purge"
    async with hub.client.session.post(purge, json={"participant:p1": ["1-a"]}) as answer:
        assert answer.status == 201
    await link.contact()
    assert centre.done == ["7"]
    go_on.set()
    await link.contact()
    assert await hub.ids() == ["study:SRO"]


async def test_an_erasure_of_one_branch_takes_what_was_made_from_it_and_leaves_the_others(
    hub: RunningHub, link: Link, centre: FakeCentre
) -> None:
    theirs = session("a", "2-bb", _revisions={"start": 2, "ids": ["bb", "aa"]})
    other = session("a", "1-zz")
    await hub.push(TABLET, session("a"), theirs, other)
    centre.tasks = [{"id": 7, "documents": {"session:a": ["1-aa"]}}]
    await link.contact()
    assert [entry[1] for entry in await hub.journal()] == ["1-zz"]
    receipts = await hub.receipts(TABLET, ("session:a", "1-zz"), ("session:a", "2-bb"), ("session:a", "1-aa"))
    assert [state for state, _ in receipts] == ["stored", "unknown", "refused"]
    assert [row["rev"] for row in await hub.push(TABLET, session("a"), other)] == ["1-aa"]


async def test_a_new_document_of_somebody_erased_goes_when_the_centre_has_refused_it(
    hub: RunningHub, link: Link, centre: FakeCentre
) -> None:
    await hub.push(TABLET, session("late"), session("a"))
    centre.receipts["session:late"] = ("refused", REASON)
    await link.contact()
    assert await hub.ids() == ["session:a"]
    assert await hub.receipts(TABLET, ("session:late", "1-aa")) == [("refused", REASON)]


async def test_a_long_replication_does_not_hold_up_the_next_revocation(
    hub: RunningHub, link: Link, centre: FakeCentre, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()
    pull = link._replications.pull

    async def slow() -> Any:
        begun.set()
        await go_on.wait()
        return await pull()

    monkeypatch.setattr(link._replications, "pull", slow)
    await link.contact()
    assert begun.is_set()
    centre.listed = fetched_list("tab-1", version="2")
    await link.contact()
    assert not hub.hub.site_list.in_force("id-of-tab-1")
    go_on.set()
    await link.contact()
    assert Step.PULL.value not in hub.hub.state.problems


async def test_a_hub_gives_space_back_once_a_day_however_often_it_starts(tmp_path: Path) -> None:
    async with running_hub(tmp_path / "hub") as hub:
        assert await compact_if_due(hub.hub)
    async with running_hub(tmp_path / "hub") as hub:
        assert not await compact_if_due(hub.hub)
