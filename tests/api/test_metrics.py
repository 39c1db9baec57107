"""Metrics: each site's numbers for whoever watches, without an account and without participants."""

from datetime import UTC, datetime, timedelta

from aiohttp import web
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample
from pytest_aiohttp.plugin import AiohttpClient
from sqlalchemy import Engine

from reporting.tables import checkpoints, conflicts, proofs, quarantine, replays, waivers
from sync_server.api.metrics import GAUGES, OUTBOX_GAUGES, REDCAP_GAUGES, REMINDER_GAUGES, REPLICATION_GAUGES
from sync_server.traffic import Traffic
from tests.api.calls import Api
from tests.api.rows import log_receipt, put
from tests.api.test_health import checkpoint
from tests.embedded.supervised import SupervisedSystem
from tests.identity.outage import postgres_away

OF_THE_PROCESS = {
    "metricis_postgres_up",
    "metricis_requests",
    "metricis_request_seconds",
    "metricis_feeds_open",
    "metricis_pushed_documents",
}


def proof(site: str, *, age: timedelta, missing: int, **counts: int) -> dict[str, object]:
    at = datetime.now(UTC) - age
    found = {"double": 0, "incomplete": 0, "gone": 0, **counts}
    return {
        "site": site,
        "kind": "full",
        "started_at": at,
        "finished_at": at,
        "epoch": "e1",
        "update_seq": "7",
        "counts": found,
        "missing": missing,
        "repaired": 0,
    }


def entry(code: str) -> dict[str, str]:
    return {
        "site": "lima",
        "doc_id": f"session:{code}",
        "rev": "1-a",
        "code": code,
        "path": "$",
        "message": "secret-participant",
    }


def conflict(path: str, state: str) -> dict[str, str]:
    key = {"site": "lima", "session_id": "s1", "path": path, "winner_rev": "2-b", "other_rev": "2-a"}
    return {**key, "state": state}


async def scrape(api: Api) -> dict[str, dict[str, float]]:
    answer = await api.sending().get("/api/metrics")
    assert answer.status == 200
    assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    assert "secret" not in answer.body
    families = {family.name: family.samples for family in text_string_to_metric_families(answer.body)}
    asked_of_postgres = [
        name for name, _ in (*GAUGES.values(), *OUTBOX_GAUGES.values(), *REPLICATION_GAUGES.values())
    ]
    of_others = [name for name, _ in (*REDCAP_GAUGES.values(), *REMINDER_GAUGES.values())]
    assert families.keys() == {*asked_of_postgres, *of_others, *OF_THE_PROCESS}
    return {
        name.removeprefix("metricis_"): {
            s.labels.get("site") or s.labels["kind"]: s.value for s in families[name]
        }
        for name in asked_of_postgres
    }


async def test_every_gauge_is_there_when_no_site_is(api: Api) -> None:
    assert set(map(len, (await scrape(api)).values())) == {0}


async def test_each_site_has_its_numbers_and_none_where_it_has_none(api: Api, engine: Engine) -> None:
    now = datetime.now(UTC)
    lima = {
        **checkpoint("lima", advanced_at=now - timedelta(seconds=50)),
        "complete_through": now - timedelta(seconds=90),
    }
    put(engine, checkpoints, lima)
    put(engine, checkpoints, checkpoint("nairobi", advanced_at=now))
    log_receipt(engine, "lima", "session:x", "1-a", received_at=now - timedelta(seconds=30))
    put(engine, quarantine, entry("a"), entry("b"))
    accepted = {"site": "lima", "doc_id": "session:b", "code": "b", "path": "$"}
    put(engine, waivers, {**accepted, "reason": "known", "waived_by": "c"})
    put(engine, conflicts, conflict("$.a", "open"), conflict("$.b", "outdated"), conflict("$.c", "resolved"))
    put(engine, replays, {"site": "lima", "doc_id": "session:x", "cause": "retry", "requested_by": "c"})
    put(engine, proofs, proof("lima", age=timedelta(hours=5), missing=9))
    put(engine, proofs, proof("lima", age=timedelta(hours=1), missing=2, double=3, incomplete=4, gone=5))
    found = await scrape(api)
    assert found["projection_pending"] == {"lima": 5, "nairobi": 5}
    assert 30 <= found["projection_lag_seconds"]["lima"] < 600
    assert found["projection_lag_seconds"]["nairobi"] == 0
    assert found["complete_through_age_seconds"].keys() == {"lima"}
    assert 90 <= found["complete_through_age_seconds"]["lima"] < 600
    assert found["quarantine_open"] == {"lima": 1, "nairobi": 0}
    assert found["conflicts_open"] == {"lima": 2, "nairobi": 0}
    assert found["replays_waiting"] == {"lima": 1, "nairobi": 0}
    assert 3600 <= found["proof_age_seconds"]["lima"] < 4200
    by_kind = {kind: found[f"proof_{kind}"] for kind in ("missing", "double", "incomplete", "gone")}
    assert by_kind == {
        "missing": {"lima": 2},
        "double": {"lima": 3},
        "incomplete": {"lima": 4},
        "gone": {"lima": 5},
    }


async def test_health_tells_the_last_proof(api: Api, engine: Engine) -> None:
    put(engine, checkpoints, checkpoint("lima", advanced_at=datetime.now(UTC)))
    (before,) = (await api.get("/api/health/detailed")).body["projection"]
    assert (before["proved_at"], before["missing"]) == (None, None)
    put(engine, proofs, proof("lima", age=timedelta(hours=5), missing=9))
    put(engine, proofs, proof("lima", age=timedelta(hours=1), missing=2))
    (after,) = (await api.get("/api/health/detailed")).body["projection"]
    assert after["missing"] == 2
    assert datetime.now(UTC) - datetime.fromisoformat(after["proved_at"]) < timedelta(hours=2)


async def test_without_postgres_the_process_tells_what_it_knows_itself(
    api: Api, postgres_server: SupervisedSystem, database_url: str
) -> None:
    assert (await families(api))["metricis_postgres_up"][0].value == 1
    with postgres_away(postgres_server.superuser_url, database_url):
        found = await families(api)
    assert found["metricis_postgres_up"][0].value == 0
    assert found["metricis_projection_pending"] == []
    assert found["metricis_requests"]


async def test_requests_are_counted_by_route_and_not_by_what_a_caller_makes_up(api: Api) -> None:
    await api.get("/api/sessions/s1")
    await api.get("/api/sessions/s2")
    await api.sending().call("PROPFIND", "/api/made-up")
    await api.get("/api/made-up/too")
    counted = {
        tuple(sorted(sample.labels.items())): sample.value
        for sample in (await families(api))["metricis_requests"]
        if sample.name == "metricis_requests_total"
    }
    by_route = {
        (labels["route"], labels["method"], labels["status"]): value
        for labels, value in ((dict(items), value) for items, value in counted.items())
    }
    assert by_route["/api/sessions/{id}", "GET", "404"] == 2
    assert by_route["none", "other", "404"] == 1
    assert by_route["none", "GET", "404"] == 1


async def test_only_what_is_below_db_counts_as_replication(aiohttp_client: AiohttpClient) -> None:
    traffic = Traffic()
    app = web.Application()
    traffic.install(app)
    client = await aiohttp_client(app)
    for path in ("/db", "/db/", "/db/site-lima/_all_docs", "/dbs", "/db.php", "/api/db", "/"):
        await client.get(path)
    counted = {
        area: traffic.registry.get_sample_value("metricis_request_seconds_count", {"area": area})
        for area in ("db", "api")
    }
    assert counted == {"db": 3, "api": 4}


async def families(api: Api) -> dict[str, list[Sample]]:
    answer = await api.sending().get("/api/metrics")
    assert answer.status == 200
    return {family.name: family.samples for family in text_string_to_metric_families(answer.body)}
