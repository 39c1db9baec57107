"""Receipts: what a tablet is told about what it pushed, and who may ask."""

import base64
from datetime import UTC, datetime

import jwt
import pytest
from aiohttp import web
from sqlalchemy import Engine

from sync_server.identity.device_credentials import DeviceCredential, SigningKey, mint_service_token
from sync_server.identity.devices import enrol, revoke
from sync_server.identity.revocations import KnownCredentials
from sync_server.keys import ENGINE, KNOWN_CREDENTIALS
from tests.api.calls import KEY, Answer, Api
from tests.api.rows import log_receipt, put_document, put_quarantine, quarantined
from tests.api.tree_store import TreeStore

URL = "/api/sync/receipts"
DEVICE = "lima-tab-2"


@pytest.fixture
def token(engine: Engine) -> str:
    """Of a tablet in Lima, enrolled."""
    return enrol_tablet(engine, "c1")


def enrol_tablet(engine: Engine, credential_id: str, *, site: str = "lima") -> str:
    with engine.begin() as connection:
        return enrol(
            connection,
            KEY,
            site=site,
            device=DEVICE,
            role="tablet",
            now=datetime.now(UTC),
            credential_id=credential_id,
        ).token


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


async def ask(api: Api, authorization: str, *revisions: tuple[str, str]) -> Answer:
    docs = [{"id": doc_id, "rev": rev} for doc_id, rev in revisions]
    return await api.sending(Authorization=authorization).call("POST", URL, json={"docs": docs})


async def states(api: Api, token: str, *revisions: tuple[str, str]) -> list[tuple[str, str | None]]:
    answer = await ask(api, f"Bearer {token}", *revisions)
    assert answer.status == 200, answer.body
    assert [(row["id"], row["rev"]) for row in answer.body["data"]] == list(revisions)
    return [(row["state"], row["reason"]) for row in answer.body["data"]]


async def test_states_that_postgres_knows_are_told_without_asking_the_store(
    api: Api, engine: Engine, token: str, store: TreeStore
) -> None:
    put_document(engine, "lima", "session:p", "projected", "1-a")
    put_document(engine, "lima", "session:c", "conflicted", "2-a", "2-b")
    put_document(engine, "lima", "session:q", "quarantined", "1-a")
    put_quarantine(engine, quarantined("lima", "session:q", message="study is required"))
    log_receipt(engine, "lima", "battery:r", "1-a", outcome="refused", reason="a tablet may not write it")
    told = await states(
        api,
        token,
        *((f"session:{n}", rev) for n, rev in (("p", "1-a"), ("c", "2-a"), ("q", "1-a"))),
        ("battery:r", "1-a"),
    )
    assert [state for state, _ in told] == ["projected", "conflicted", "quarantined", "refused"]
    reasons = [reason for _, reason in told]
    assert reasons[:2] == [None, None]
    assert "study is required" in str(reasons[2])
    assert reasons[3] == "a tablet may not write it"
    assert store.asked == []


async def test_revision_that_arrived_but_was_not_read_yet_is_stored(
    api: Api, engine: Engine, token: str, store: TreeStore
) -> None:
    log_receipt(engine, "lima", "session:a", "1-a")
    store.lineages["site-lima", "session:a"] = [["1-a"]]
    assert await states(api, token, ("session:a", "1-a")) == [("stored", None)]


async def test_revision_on_record_that_never_reached_the_store_is_unknown(
    api: Api, engine: Engine, token: str
) -> None:
    log_receipt(engine, "lima", "session:a", "1-a")
    assert await states(api, token, ("session:a", "1-a")) == [("unknown", None)]


@pytest.mark.parametrize("other", [[], ["2-b"]])
async def test_revision_let_through_and_refused_by_the_store_is_refused(
    api: Api, engine: Engine, token: str, store: TreeStore, other: list[str]
) -> None:
    log_receipt(engine, "lima", "session:a", "1-a")
    log_receipt(engine, "lima", "session:a", "1-a", outcome="refused", reason="no bad ones")
    if other:
        put_document(engine, "lima", "session:a", "projected", *other)
    assert await states(api, token, ("session:a", "1-a")) == [("refused", "no bad ones")]
    # Sent again after the rule was changed, it is there.
    store.lineages["site-lima", "session:a"] = [["1-a"]]
    assert await states(api, token, ("session:a", "1-a")) == [("stored", None)]


async def test_revision_that_nobody_knows_is_unknown(api: Api, token: str) -> None:
    asked = [("session:a", "1-a"), ("", ""), ("session:\x00", "x"), ("' OR 1=1 --", "1-a")]
    assert await states(api, token, *asked) == [("unknown", None)] * 4


async def test_text_that_is_no_revision_is_unknown_and_does_not_reach_the_store(
    api: Api, token: str, store: TreeStore
) -> None:
    # A store answers 400 to a question that holds one such text, whatever else was asked.
    store.lineages["site-lima", "session:a"] = [["1-a"]]
    asked = [("session:a", rev) for rev in ("", "x", "1-", "-a", "0-a", "1-a")]
    assert await states(api, token, *asked) == [("unknown", None)] * 5 + [("stored", None)]
    assert store.asked == [("session:a", "1-a")]


async def test_revision_that_only_the_store_knows_is_stored(api: Api, token: str, store: TreeStore) -> None:
    store.lineages["site-lima", "session:a"] = [["1-a", "2-b"]]
    assert await states(api, token, ("session:a", "1-a")) == [("stored", None)]


BECAME: list[tuple[list[list[str]], str]] = [
    ([["1-a", "2-b"]], "projected"),
    ([["1-a", "2-b"], ["1-a", "2-c"]], "projected"),
    ([["1-a", "2-b", "3-d"]], "stored"),
    ([["1-z", "2-b"], ["1-a", "2-x"]], "stored"),
    ([["1-z", "2-b"]], "unknown"),
    ([], "unknown"),
]


async def test_replaced_revision_is_as_far_as_the_leaf_that_it_became(
    api: Api, engine: Engine, token: str, store: TreeStore
) -> None:
    log_receipt(engine, "lima", "session:a", "1-a")
    log_receipt(engine, "lima", "session:a", "2-b")
    put_document(engine, "lima", "session:a", "projected", "2-b")
    for branches, state in BECAME:
        store.lineages["site-lima", "session:a"] = branches
        assert await states(api, token, ("session:a", "1-a")) == [(state, None)], branches


async def test_revision_replaced_by_a_quarantined_one_is_quarantined_with_its_reason(
    api: Api, engine: Engine, token: str, store: TreeStore
) -> None:
    log_receipt(engine, "lima", "session:a", "1-a")
    put_document(engine, "lima", "session:a", "quarantined", "2-b")
    put_quarantine(engine, quarantined("lima", "session:a", "2-b", message="study is required"))
    store.lineages["site-lima", "session:a"] = [["1-a", "2-b"]]
    ((state, reason),) = await states(api, token, ("session:a", "1-a"))
    assert state == "quarantined"
    assert "2-b" in str(reason)
    assert "study is required" in str(reason)


async def test_same_id_of_another_site_is_not_told_about(api: Api, engine: Engine, token: str) -> None:
    put_document(engine, "quito", "session:a", "projected", "1-a")
    assert await states(api, token, ("session:a", "1-a")) == [("unknown", None)]


async def test_ten_thousand_revisions_are_answered_in_order_and_one_more_refused(
    api: Api, engine: Engine, token: str
) -> None:
    put_document(engine, "lima", "session:9999", "projected", "1-a")
    asked = [(f"session:{n}", "1-a") for n in range(10_000)]
    told = await states(api, token, *asked)
    assert told[-1] == ("projected", None)
    answer = await ask(api, f"Bearer {token}", *asked, ("session:x", "1-a"))
    assert answer.error == (422, "invalid_request")
    assert answer.details == {"path": "$.docs"}


async def test_nothing_asked_is_nothing_answered(api: Api, token: str) -> None:
    assert await states(api, token) == []


REFUSED_BODIES: list[tuple[bytes, tuple[int, str], object]] = [
    (b"{", (400, "not_json"), None),
    (b"", (400, "not_json"), None),
    (b"\xff", (400, "not_json"), None),
    (b'{"docs":[{"id":"\\ud800","rev":"1-a"}]}', (400, "not_json"), None),
    (b"[]", (422, "invalid_request"), {"path": "$"}),
    (b"{}", (422, "invalid_request"), {"path": "$"}),
    (b'{"docs":[{"id":"a"}]}', (422, "invalid_request"), {"path": "$.docs[0]"}),
    (b'{"docs":[{"id":"a","rev":1}]}', (422, "invalid_request"), {"path": "$.docs[0].rev"}),
    (b'{"docs":[{"id":"a","rev":"1-a"},null]}', (422, "invalid_request"), {"path": "$.docs[1]"}),
    (b'{"x":' + b"[" * 100_000, (422, "invalid_request"), None),
]


async def test_body_of_another_shape_is_refused_with_its_path(api: Api, token: str) -> None:
    caller = api.sending(Authorization=f"Bearer {token}")
    for body, error, details in REFUSED_BODIES:
        answer = await caller.call("POST", URL, data=body)
        assert answer.error == error, body[:40]
        assert answer.details == details


async def test_store_that_is_away_is_unavailable_and_not_unknown(
    api: Api, token: str, store: TreeStore
) -> None:
    store.down = "connection refused"
    answer = await ask(api, f"Bearer {token}", ("session:a", "1-a"))
    assert answer.error == (503, "unavailable")
    assert answer.headers["Retry-After"] == "2"
    assert "refused" not in str(answer.body)


async def test_credential_works_as_bearer_and_as_the_devices_basic_password(api: Api, token: str) -> None:
    assert (await ask(api, f"Bearer {token}")).status == 200
    assert (await ask(api, basic(DEVICE, token))).status == 200
    assert (await ask(api, basic("lima-tab-3", token))).error == (401, "not_authenticated")
    assert (await ask(api, basic("", token))).error == (401, "not_authenticated")


async def test_revoked_credential_is_refused_and_a_new_one_works(
    api: Api, app: web.Application, engine: Engine, token: str
) -> None:
    assert (await ask(api, f"Bearer {token}")).status == 200
    with engine.begin() as connection:
        revoke(connection, site="lima", device=DEVICE)
    await app[KNOWN_CREDENTIALS].refresh()
    assert (await ask(api, f"Bearer {token}")).error == (401, "not_authenticated")
    assert (await ask(api, f"Bearer {enrol_tablet(engine, 'c2')}")).status == 200


async def test_credential_that_was_never_enrolled_is_refused(api: Api, other_key: SigningKey) -> None:
    credential = DeviceCredential(device=DEVICE, site="lima", role="tablet", id="c7")
    now = datetime.now(UTC)
    for key in (KEY, other_key):
        answer = await ask(api, f"Bearer {key.sign(credential, now=now)}")
        assert answer.error == (401, "not_authenticated")


async def test_forged_credentials_are_refused(api: Api, token: str) -> None:
    claims = jwt.decode(token, options={"verify_signature": False})
    kid = {"kid": KEY.verifier.key_id}
    unsigned = jwt.encode(claims, "", algorithm="none", headers=kid)
    people = api.headers["Authorization"].removeprefix("Bearer ")
    for forged in (unsigned, token[:-4] + "AAAA", people, "x"):
        assert (await ask(api, f"Bearer {forged}")).error == (401, "not_authenticated")
        assert (await ask(api, basic(DEVICE, forged))).error == (401, "not_authenticated")
    assert (await api.sending().call("POST", URL, json={"docs": []})).error == (401, "not_authenticated")


async def test_service_credential_has_no_site_to_ask_about(api: Api) -> None:
    now = datetime.now(UTC)
    service = mint_service_token(KEY, service="projector", now=now, credential_id="s1")
    assert (await ask(api, f"Bearer {service}")).error == (403, "not_allowed")


async def test_credentials_that_cannot_be_judged_yet_are_unavailable_and_not_refused(
    api: Api, app: web.Application, token: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    unread = KnownCredentials(app[ENGINE])
    monkeypatch.setattr(app[KNOWN_CREDENTIALS], "standing", unread.standing)
    assert (await ask(api, f"Bearer {token}")).error == (503, "unavailable")


async def test_people_are_told_what_became_of_each_revision_of_a_document_of_their_sites(
    api: Api, engine: Engine, store: TreeStore
) -> None:
    put_document(engine, "lima", "session:p", "projected", "1-a")
    log_receipt(engine, "lima", "session:p", "1-a", via="hub-1")
    log_receipt(engine, "lima", "session:p", "2-b", outcome="refused", reason="too deep")
    answer = await api.get(f"{URL}/lima", document="session:p")
    told = {
        row["rev"]: (row["state"], row["device"], row["via"], row["reason"])
        for row in answer.body["revisions"]
    }
    assert told == {
        "1-a": ("projected", DEVICE, "hub-1", None),
        "2-b": ("refused", DEVICE, None, "too deep"),
    }
    assert (await api.get(f"{URL}/lima", document="session:none")).error == (404, "not_found")
    assert (await api.get(f"{URL}/lima")).error == (422, "invalid_request")
