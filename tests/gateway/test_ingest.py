"""What is on record of what arrived: before it is stored, once, refusals and original bytes too."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import msgspec
import psycopg
import pytest
from pytest_aiohttp.plugin import AiohttpClient

from reporting.documents.text import MAX_KEY_CHARACTERS, key_text
from reporting.ingest import MAX_REASON_CHARACTERS
from sync_server import lifespan
from sync_server.app import build_app
from sync_server.gateway import access
from sync_server.identity.device_credentials import DeviceCredential
from sync_server.identity.signing_key_file import load_or_create_signing_key
from sync_server.settings import Settings
from tests.embedded.supervised import SupervisedSystem
from tests.gateway.conftest import SITE
from tests.gateway.gateway import Gateway, session
from tests.identity.outage import postgres_away


async def test_a_document_is_on_record_with_who_sent_it_and_when_the_first_time(
    gateway: Gateway, lima: str, tablet: str, hub: str
) -> None:
    await gateway.push(lima, session("one"), token=tablet, **{"X-Request-ID": "first"})
    await gateway.push(lima, session("one"), token=tablet, **{"X-Request-ID": "again"})
    await gateway.push(lima, session("one"), token=hub, **{"X-Request-ID": "by the hub"})
    (receipt,) = gateway.receipts(SITE)
    assert receipt[:6] == ("session:one", "1-aa", "received", "tab-1", "tablet", "first")
    assert (receipt.reason, receipt.original) == (None, None)


async def test_every_revision_has_its_own_entry(gateway: Gateway, lima: str, tablet: str) -> None:
    revisions = {"start": 2, "ids": ["bb", "aa"]}
    for document in (session("one"), session("one", "2-bb", _revisions=revisions), session("one", "1-cc")):
        await gateway.push(lima, document, token=tablet)
    assert [receipt.rev for receipt in gateway.receipts(SITE)] == ["1-aa", "1-cc", "2-bb"]


async def test_a_refusal_is_on_record_beside_a_later_receipt(
    gateway: Gateway, lima: str, tablet: str
) -> None:
    device = {"_id": "device:tab-2", "_rev": "1-aa"}
    (row,) = await gateway.push(lima, device, token=tablet)
    other = await gateway.enrol(SITE, "tab-2")
    assert await gateway.push(lima, device, token=other) == []
    received, refused = gateway.receipts(SITE)
    assert (received.outcome, received.device) == ("received", "tab-2")
    assert (refused.outcome, refused.device, refused.reason) == ("refused", "tab-1", row["reason"])


async def test_what_the_server_writes_itself_was_received_from_nobody(gateway: Gateway, lima: str) -> None:
    await gateway.push(lima, {"_id": "visit:1", "_rev": "1-aa"}, token=gateway.service)
    assert gateway.receipts(SITE) == []


async def test_the_bytes_as_sent_are_kept_where_they_had_to_be_changed(
    gateway: Gateway, lima: str, tablet: str
) -> None:
    sent = [
        b'{"_id":"session:a","_rev":"1-aa","said":"\\ud83d"}',
        b'{"_id":"session:b","_rev":"1-aa","rt":1e999}',
        b'{ "_id" : "session:c","_rev":"1-aa","said":"\\u0000"}',
        b'{"_id":"study:d","_rev":"1-aa","rt":1e999}',
    ]
    body = b'{"new_edits":false,"docs":[' + b",".join(sent) + b"]}"
    answer = await gateway.call("POST", f"/{lima}/_bulk_docs", token=tablet, data=body)
    assert [row["id"] for row in answer.json] == ["study:d"]
    receipts = {receipt.doc_id: receipt for receipt in gateway.receipts(SITE)}
    assert [receipts[f"session:{name}"].original for name in "abc"] == [sent[0], sent[1], None]
    assert "surrogate" in str(receipts["session:a"].reason)
    assert "float64" in str(receipts["session:b"].reason)
    assert (receipts["study:d"].outcome, receipts["study:d"].original) == ("refused", sent[3])


async def test_ids_that_postgres_cannot_hold_are_spelled_as_rows_spell_them(
    gateway: Gateway, lima: str, tablet: str
) -> None:
    long = "session:" + "é" * MAX_KEY_CHARACTERS
    documents: list[dict[str, Any]] = [
        session("nul\x00"),
        {"_id": long, "_rev": "1-aa"},
        {"_id": "x\x00" * 200, "_rev": "1-aa"},
    ]
    rows = await gateway.push(lima, *documents, token=tablet)
    assert [row["id"] for row in rows] == ["x\x00" * 200]
    assert {receipt.doc_id for receipt in gateway.receipts(SITE)} == {
        key_text(str(document["_id"])) for document in documents
    }
    assert await gateway.stored(lima) == sorted(["session:nul\x00", long])


async def test_a_reason_never_grows_with_what_was_sent(gateway: Gateway, lima: str, tablet: str) -> None:
    monsters: list[dict[str, Any]] = [
        {"_id": "x" * 300_000, "_rev": "1-aa"},
        {"_id": "session:x", "_rev": "y" * 300_000},
        {"_id": "session:x", "_rev": "1-aa", "_" + "z" * 300_000: 1},
    ]
    rows = await gateway.push(lima, session("before"), *monsters, session("after"), token=tablet)
    assert [row["error"] for row in rows] == ["forbidden"] * 3
    reasons = [receipt.reason for receipt in gateway.receipts(SITE) if receipt.reason is not None]
    assert len(reasons) == 3
    assert max(map(len, reasons)) <= MAX_REASON_CHARACTERS
    assert await gateway.stored(lima) == ["session:after", "session:before"]


async def test_a_batch_of_500_is_on_record_as_a_whole_from_two_senders_at_once(
    gateway: Gateway, lima: str, tablet: str, hub: str
) -> None:
    documents = [session(f"s{n:03}") for n in range(500)]
    await asyncio.gather(
        gateway.push(lima, *documents, token=tablet),
        gateway.push(lima, *reversed(documents), token=hub),
    )
    assert [receipt.doc_id for receipt in gateway.receipts(SITE)] == [doc["_id"] for doc in documents]
    assert len(await gateway.stored(lima)) == 500


async def test_while_postgres_is_away_nothing_is_acknowledged_or_stored(
    gateway: Gateway, lima: str, tablet: str, postgres_server: SupervisedSystem, settings: Settings
) -> None:
    documents = [session("one"), {"_id": "study:x", "_rev": "1-aa"}]
    body = {"new_edits": False, "docs": documents}
    with postgres_away(postgres_server.superuser_url, settings.database_url):
        answer = await gateway.call("POST", f"/{lima}/_bulk_docs", token=tablet, body=body)
        assert answer.error == (503, "service_unavailable")
        assert int(answer.headers["Retry-After"]) > 0
        assert await gateway.stored(lima) == []
        reading = await gateway.call("GET", f"/{lima}/_changes", token=tablet)
        assert reading.status == 200
    assert [row["id"] for row in await gateway.push(lima, *documents, token=tablet)] == ["study:x"]
    assert await gateway.stored(lima) == ["session:one"]


async def test_a_postgres_that_does_not_answer_is_not_waited_for_for_ever(
    gateway: Gateway, lima: str, tablet: str, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(access, "RECORD_SECONDS", 0.2)
    body = {"new_edits": False, "docs": [session("one")]}
    with psycopg.connect(settings.database_url) as holder:
        holder.execute("LOCK TABLE ingest_log IN EXCLUSIVE MODE")
        answer = await gateway.call("POST", f"/{lima}/_bulk_docs", token=tablet, body=body)
        assert answer.error == (503, "service_unavailable")
        assert await gateway.stored(lima) == []
    monkeypatch.undo()
    assert await gateway.push(lima, session("one"), token=tablet) == []


async def test_without_postgres_at_the_start_tablets_are_told_to_come_again(
    settings: Settings, aiohttp_client: AiohttpClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lifespan, "FIRST_READING_SECONDS", 0.1)
    away = msgspec.structs.replace(
        settings,
        database_url="postgresql://nobody@127.0.0.1:1/none",
        admin_email="a@b.example",
        admin_password="correct horse battery",
    )
    credential = DeviceCredential(device="tab-1", site=SITE, role="tablet", id="x")
    token = load_or_create_signing_key(away.data_dir).sign(credential, now=datetime.now(UTC))
    app = build_app(away)
    gateway = Gateway(app, await aiohttp_client(app))
    answer = await gateway.call("GET", "/site-lima", token=token)
    assert answer.error == (503, "service_unavailable")
    assert answer.headers["Retry-After"]
