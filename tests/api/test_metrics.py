"""Metrics: each site's numbers for whoever watches, without an account and without participants."""

from datetime import UTC, datetime, timedelta

from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import Engine

from reporting.tables import checkpoints, conflicts, proofs, quarantine, replays, waivers
from sync_server.api.metrics import GAUGES, OUTBOX_GAUGES, REPLICATION_GAUGES
from tests.api.calls import Api
from tests.api.rows import log_receipt, put
from tests.api.test_health import checkpoint
from tests.embedded.supervised import SupervisedSystem
from tests.identity.outage import postgres_away


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
    families = list(text_string_to_metric_families(answer.body))
    assert {family.name for family in families} == {
        name for name, _ in (*GAUGES.values(), *OUTBOX_GAUGES.values(), *REPLICATION_GAUGES.values())
    }
    return {
        family.name.removeprefix("metricis_"): {
            s.labels.get("site") or s.labels["kind"]: s.value for s in family.samples
        }
        for family in families
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


async def test_without_postgres_a_scrape_fails(
    api: Api, postgres_server: SupervisedSystem, database_url: str
) -> None:
    with postgres_away(postgres_server.superuser_url, database_url):
        assert (await api.sending().get("/api/metrics")).status == 503
