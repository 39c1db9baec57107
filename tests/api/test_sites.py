"""How sites stand, as the API tells it."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, update

from reporting.tables import (
    checkpoints,
    conflicts,
    device_status,
    devices,
    documents,
    replays,
    site_states,
    waivers,
)
from tests.api.calls import Api
from tests.api.rows import (
    NOON,
    log_receipt,
    put,
    put_document,
    put_quarantine,
    put_sessions,
    quarantined,
    session,
)


def checkpoint(site: str, **changes: Any) -> dict[str, Any]:
    return {
        "site": site,
        "database": f"site-{site}",
        "epoch": "e1",
        "batch": 3,
        "since": "17-x",
        "pending": 0,
        "rereading": False,
        "advanced_at": NOON,
        "changed_at": NOON,
        "complete_through": NOON,
        **changes,
    }


def device(name: str, **changes: Any) -> dict[str, Any]:
    nothing = {"outstanding": None, "source_missing_at": None}
    return {"site": "lima", "device": name, "rev": "1-a", **nothing, **changes}


async def test_site_says_how_it_stands(api: Api, engine: Engine) -> None:
    put(engine, checkpoints, checkpoint("lima", pending=4))
    put(
        engine,
        site_states,
        {
            "site": "lima",
            "state": "backing_off",
            "since": NOON,
            "failures": 3,
            "error": "FeedUnavailable: 503",
            "next_try_at": NOON,
            "projector": "p:1",
        },
    )
    put(
        engine,
        device_status,
        device("full", outstanding=5),
        device("fuller", outstanding=7),
        device("empty", outstanding=0),
        device("silent"),
        device("gone", outstanding=9, source_missing_at=NOON),
    )
    put_quarantine(
        engine,
        quarantined("lima", "session:a"),
        quarantined("lima", "session:b"),
        quarantined("lima", "session:b", "1-b", path="$.visit"),
        quarantined("cusco", "session:c"),
    )
    accepted = {"site": "lima", "doc_id": "session:b", "code": "missing", "path": "$.study"}
    put(engine, waivers, {**accepted, "reason": "known", "waived_by": "ada@example.org"})
    contradiction = {"site": "lima", "session_id": "a", "winner_rev": "2-a", "other_rev": "2-b"}
    put(
        engine,
        conflicts,
        *(
            {**contradiction, "path": f"$.{state}", "state": state}
            for state in ("open", "resolved", "outdated")
        ),
    )
    put(engine, replays, {"site": "lima", "doc_id": "session:a", "cause": "retry", "requested_by": "ada"})
    answer = await api.get("/api/sites")
    assert answer.body["pagination"] == {"page": 1, "per_page": 50, "total": 1, "pages": 1}
    assert answer.body["data"] == [
        {
            "site": "lima",
            "state": "backing_off",
            "state_since": "2016-07-22T12:00:00Z",
            "failures": 3,
            "error": "FeedUnavailable: 503",
            "next_try_at": "2016-07-22T12:00:00Z",
            "since": "17-x",
            "pending": 4,
            "advanced_at": "2016-07-22T12:00:00Z",
            "changed_at": "2016-07-22T12:00:00Z",
            "complete_through": "2016-07-22T12:00:00Z",
            "lag_seconds": 0.0,
            "devices_outstanding": 2,
            "documents_outstanding": 12,
            "quarantined": 2,
            "waived": 1,
            "conflicts": 2,
            "replays": 1,
            "name": None,
            "timezone": None,
            "status": None,
            "row_version": None,
        }
    ]


async def test_sites_are_those_that_are_projected_tried_or_have_a_device(api: Api, engine: Engine) -> None:
    put(engine, checkpoints, checkpoint("lima"))
    put(engine, site_states, {"site": "cusco", "state": "error", "since": NOON, "projector": "p:1"})
    enrolled = {"credential": "c", "device": "t", "site": "piura", "role": "tablet", "token_sha256": b"x"}
    put(engine, devices, enrolled, {**enrolled, "credential": "d", "site": "lima"})
    answer = await api.get("/api/sites", per_page="2")
    assert [row["site"] for row in answer.body["data"]] == ["cusco", "lima"]
    assert answer.body["pagination"]["total"] == 3
    named = await api.get("/api/sites", codes="cusco,lima,nowhere", fields="site")
    assert [each["site"] for each in named.body["data"]] == ["cusco", "lima"]
    found = await api.get("/api/sites", q="IUR", fields="site,name")
    assert (found.body["data"], found.body["pagination"]["total"]) == ([{"site": "piura", "name": None}], 1)
    assert (await api.get("/api/sites", q="%")).body["data"] == []
    answer = await api.get("/api/sites", per_page="2", page="2")
    (piura,) = answer.body["data"]
    assert (piura["site"], piura["state"], piura["since"], piura["lag_seconds"]) == (
        "piura",
        None,
        None,
        None,
    )


async def test_lag_is_the_age_of_the_oldest_document_that_is_not_judged(api: Api, engine: Engine) -> None:
    now = datetime.now(UTC)
    put(engine, checkpoints, checkpoint("lima", complete_through=now - timedelta(minutes=10)))

    async def lag() -> float | None:
        return (await api.get("/api/sites/lima")).body["lag_seconds"]  # type: ignore[no-any-return]

    log_receipt(engine, "lima", "session:before", "1-a", received_at=now - timedelta(minutes=11))
    log_receipt(engine, "lima", "session:refused", "1-a", received_at=now, outcome="refused")
    log_receipt(engine, "lima", "session:judged", "2-a", received_at=now - timedelta(minutes=8))
    put_document(engine, "lima", "session:judged", "projected", "3-a", projected_at=now)
    assert await lag() == 0
    log_receipt(engine, "lima", "session:waiting", "1-a", received_at=now - timedelta(minutes=5))
    log_receipt(engine, "lima", "session:judged", "4-a", received_at=now + timedelta(minutes=1))
    assert 300 <= (await lag() or 0) < 600
    with engine.begin() as connection:
        connection.execute(update(documents).values(projected_at=now - timedelta(hours=1)))
    assert 480 <= (await lag() or 0) < 600
    with engine.begin() as connection:
        connection.execute(update(checkpoints).values(complete_through=None))
    assert await lag() is None


async def test_one_site_shows_what_its_tablets_told(api: Api, engine: Engine) -> None:
    put(engine, checkpoints, checkpoint("lima"))
    put(
        engine,
        device_status,
        device("t2"),
    )
    put(
        engine,
        device_status,
        device(
            "t1",
            app_version="1.4.0",
            os="Android 14",
            free_bytes=12_000_000_000,
            battery_level=0.5,
            outstanding=3,
            clock_at=NOON,
            received_at=NOON,
        ),
    )
    put(engine, device_status, {**device("t3"), "site": "cusco"})
    answer = await api.get("/api/sites/lima")
    assert (answer.status, answer.body["site"]) == (200, "lima")
    assert [told["device"] for told in answer.body["devices"]] == ["t1", "t2"]
    assert answer.body["devices"][0] == {
        "device": "t1",
        "rev": "1-a",
        "app_version": "1.4.0",
        "os": "Android 14",
        "free_bytes": 12_000_000_000,
        "battery_level": 0.5,
        "outstanding": 3,
        "clock_at": "2016-07-22T12:00:00Z",
        "received_at": "2016-07-22T12:00:00Z",
        "source_missing_at": None,
    }


@pytest.mark.parametrize("name", ["nowhere", "%00", "' OR 1=1"])
async def test_unknown_site_is_not_found(api: Api, name: str) -> None:
    assert (await api.call("GET", f"/api/sites/{name}")).error == (404, "not_found")


@pytest.mark.parametrize("path", ["/api/sites?site=lima", "/api/sites?page=0", "/api/sites/lima?page=1"])
async def test_query_that_is_not_understood_is_refused(api: Api, path: str) -> None:
    assert (await api.call("GET", path)).error == (422, "invalid_request")


@pytest.mark.parametrize("path", ["/api/sites", "/api/sites/lima"])
async def test_who_is_not_logged_in_is_told_nothing(api: Api, path: str) -> None:
    assert (await api.sending().get(path)).status == 401


async def test_sessions_tell_through_when_each_site_that_could_have_any_is_complete(
    api: Api, engine: Engine
) -> None:
    put(engine, checkpoints, checkpoint("lima"), checkpoint("cusco", complete_through=None))
    put_sessions(engine, session("lima", "a"))
    answer = await api.get("/api/sessions", study="SRO")
    assert answer.ids == ["a"]
    assert answer.body["complete_through"] == {"cusco": None, "lima": "2016-07-22T12:00:00Z"}
    answer = await api.get("/api/sessions", site="lima")
    assert answer.body["complete_through"] == {"lima": "2016-07-22T12:00:00Z"}
    assert (await api.get("/api/sessions", site="nowhere")).body["complete_through"] == {}
