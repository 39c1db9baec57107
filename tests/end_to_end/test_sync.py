"""What a tablet, a researcher and an operator can rely on, on a running system."""

import asyncio
import itertools
import json
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import psycopg
import pytest

from sync_server.demo.generate import generate_sessions
from tests.end_to_end import proof
from tests.end_to_end.system import ADMIN, System, wait_until, with_login
from tests.interop.pouchdb import run_tablet

COUNTS = {
    "sessions": "SELECT count(*) FROM sessions WHERE site = %s AND id = %s",
    "task_runs": "SELECT count(*) FROM task_runs WHERE site = %s AND session_id = %s",
    "trials": "SELECT count(*) FROM trials WHERE site = %s AND session_id = %s",
}

_seeds = itertools.count(1000)


def _sessions(count: int, site: str, *, trials: int = 12) -> list[dict[str, Any]]:
    return list(generate_sessions(count, site=site, seed=next(_seeds), trials_per_task=trials))


def _rows(system: System, table: str, session: dict[str, Any], site: str) -> int:
    session_id = session["_id"].removeprefix("session:")
    return int(system.value(COUNTS[table], site, session_id))


def _n_trials(session: dict[str, Any]) -> int:
    return sum(len(run["trials"]) for run in session["tasks"])


def _wait_for_rows(system: System, table: str, session: dict[str, Any], site: str, count: int) -> None:
    wait_until(lambda: _rows(system, table, session, site) == count, 30)


@pytest.fixture
def site() -> str:
    """A site of the test's own."""
    return f"s{next(_seeds)}"


def test_one_session_id_in_two_sites_is_two_sessions_with_their_own_trials(
    system: System, node_executable: str
) -> None:
    (short,) = _sessions(1, "accra", trials=5)
    (long,) = _sessions(1, "bogota", trials=9)
    long["_id"] = short["_id"]
    for session in (short, long):
        url = with_login(system.enrol(session["site"], "tab-1"))
        asyncio.run(run_tablet(node_executable, {"url": url, "docs": [session]}))
    for session in (short, long):
        _wait_for_rows(system, "sessions", session, session["site"], 1)
        assert _rows(system, "trials", session, session["site"]) == _n_trials(session)


def test_the_same_documents_again_change_no_row(system: System, site: str, node_executable: str) -> None:
    sessions = _sessions(5, site)
    url = with_login(system.enrol(site, "tab-1"))
    first = asyncio.run(run_tablet(node_executable, {"url": url, "docs": sessions}))
    for session in sessions:
        _wait_for_rows(system, "sessions", session, site, 1)
    before = proof.fingerprint(system)
    again = asyncio.run(run_tablet(node_executable, {"url": url, "docs": sessions}))
    assert again["revs"] == first["revs"]
    _wait_until_nothing_is_pending(system)
    assert proof.fingerprint(system) == before


def test_one_more_task_on_the_tablet_updates_the_rows(
    system: System, site: str, node_executable: str
) -> None:
    (session,) = _sessions(1, site)
    whole = dict(session)
    session["tasks"], session["status"] = whole["tasks"][:1], "in_progress"
    url = with_login(system.enrol(site, "tab-1"))
    job = {"url": url, "docs": [session], "later": [whole], "steps": ["push", "save", "push"]}
    asyncio.run(run_tablet(node_executable, job))
    _wait_for_rows(system, "task_runs", session, site, len(whole["tasks"]))
    assert _rows(system, "trials", session, site) == _n_trials(whole)
    assert system.value("SELECT status FROM sessions WHERE site = %s", site) == whole["status"]


def test_a_live_tablet_receives_what_is_published_and_nothing_collected(
    system: System, site: str, node_executable: str
) -> None:
    (session,) = _sessions(1, site)
    enrolment = system.enrol(site, "tab-1")
    asyncio.run(run_tablet(node_executable, {"url": with_login(enrolment), "docs": [session]}))
    battery = {"_id": "battery:memory@1", "type": "battery", "schema": 1, "tasks": ["digit_span"]}
    asyncio.run(_publish(system, enrolment["database"], battery))
    other = with_login(system.enrol(site, "tab-2"))
    pulled = asyncio.run(run_tablet(node_executable, {"url": other, "steps": ["pull"]}))
    assert list(pulled["revs"]) == ["battery:memory@1"]


async def _publish(system: System, database: str, document: dict[str, Any]) -> None:
    headers = system.service_headers()
    url = f"{system.base_url}/db/{database}/{document['_id']}"
    async with aiohttp.ClientSession(headers=headers) as http, http.put(url, json=document) as answer:
        assert answer.status == 201


def test_a_refused_document_is_told_to_the_tablet_and_by_receipts_and_the_others_go_on(
    system: System, site: str, node_executable: str
) -> None:
    first, last = _sessions(2, site)
    forbidden = {"_id": "battery:mine@1", "type": "battery", "schema": 1}
    enrolment = system.enrol(site, "tab-1")
    job = {"url": with_login(enrolment), "docs": [first, forbidden, last]}
    result = asyncio.run(run_tablet(node_executable, job))
    assert [refused["id"] for refused in result["denied"]] == ["battery:mine@1"]
    for session in (first, last):
        _wait_for_rows(system, "sessions", session, site, 1)
    receipts = asyncio.run(_receipts(system, enrolment, result["revs"]))
    assert receipts[first["_id"]]["state"] == receipts[last["_id"]]["state"] == "projected"
    assert receipts["battery:mine@1"]["state"] == "refused"
    assert "may not write" in receipts["battery:mine@1"]["reason"]


async def _receipts(
    system: System, enrolment: dict[str, str], revs: dict[str, str]
) -> dict[str, dict[str, Any]]:
    asked = {"docs": [{"id": doc_id, "rev": rev} for doc_id, rev in revs.items()]}
    headers = {"Authorization": f"Bearer {enrolment['token']}"}
    url = f"{system.base_url}/api/sync/receipts"
    async with aiohttp.ClientSession(headers=headers) as http, http.post(url, json=asked) as answer:
        assert answer.status == 200, await answer.text()
        return {row["id"]: row for row in (await answer.json())["data"]}


def test_a_request_id_follows_a_document_from_the_gateway_to_its_projection(
    system: System, site: str
) -> None:
    (session,) = _sessions(1, site)
    enrolment = system.enrol(site, "tab-1")
    asyncio.run(_push_raw(enrolment, [{**session, "_rev": "1-abc"}], request_id="field-trip-7"))
    _wait_for_rows(system, "sessions", session, site, 1)
    mine = [line for line in system.log_lines() if line.get("request_id") == "field-trip-7"]
    events = [(line["process"], line["event"]) for line in mine if line.get("id") == session["_id"]]
    assert events == [("serve", "document received"), ("project", "document projected")]


async def _push_raw(
    enrolment: dict[str, str], docs: list[dict[str, Any]], *, request_id: str = "test"
) -> list[dict[str, Any]]:
    headers = {"Authorization": f"Bearer {enrolment['token']}", "X-Request-ID": request_id}
    body = {"new_edits": False, "docs": docs}
    url = enrolment["url"] + "/_bulk_docs"
    async with aiohttp.ClientSession(headers=headers) as http, http.post(url, json=body) as answer:
        assert answer.status == 201, await answer.text()
        rows: list[dict[str, Any]] = await answer.json()
        return rows


def test_load_pushes_files_tells_what_was_refused_and_sends_nothing_twice(
    system: System, site: str, tmp_path: Path
) -> None:
    sessions = _sessions(4, site)
    lines = [msgspec.json.encode(session) for session in sessions]
    file = tmp_path / "sessions.ndjson"
    file.write_bytes(b"\n".join([*lines, b'{"_id":"study:mine","type":"study"}', b"not json"]) + b"\n")
    enrolment = system.enrol(site, "tab-1")
    login = ("--url", enrolment["url"], "--user", "tab-1", "--password", enrolment["password"])
    counts = {"documents": 6, "stored": 4, "known": 0, "refused": 1, "unreadable": 1}
    first = json.loads(system.run("load", str(file), *login, "--json", check=False))
    assert {name: first[name] for name in counts} == counts
    assert sorted(problem["where"] for problem in first["problems"]) == ["sessions.ndjson:6", "study:mine"]
    second = json.loads(system.run("load", str(file), *login, "--json", check=False))
    assert (second["stored"], second["known"]) == (0, 4)
    for session in sessions:
        _wait_for_rows(system, "trials", session, site, _n_trials(session))


def test_a_researcher_logs_in_and_reads_a_session_with_its_scores_and_trials(
    system: System, site: str
) -> None:
    (session,) = _sessions(1, site)
    asyncio.run(_push_raw(system.enrol(site, "tab-1"), [{**session, "_rev": "1-abc"}]))
    _wait_for_rows(system, "sessions", session, site, 1)
    listed, shown, trials, health = asyncio.run(_read(system, site, session["_id"].removeprefix("session:")))
    assert listed["pagination"]["total"] == 1
    assert {run["task"] for run in shown["task_runs"]} == {run["task"] for run in session["tasks"]}
    assert trials["pagination"]["total"] == _n_trials(session)
    assert health["status"] == "ok"


async def _read(system: System, site: str, session_id: str) -> list[dict[str, Any]]:
    async with aiohttp.ClientSession() as http:
        form = {"username": ADMIN[0], "password": ADMIN[1]}
        async with http.post(f"{system.base_url}/api/auth/login", data=form) as answer:
            token = (await answer.json())["access_token"]
        http.headers["Authorization"] = f"Bearer {token}"
        answers = []
        for path in (
            f"/api/sessions?site={site}",
            f"/api/sessions/{session_id}?site={site}",
            f"/api/sessions/{session_id}/trials?site={site}",
            "/api/health/detailed",
        ):
            async with http.get(system.base_url + path) as answer:
                assert answer.status == 200, await answer.text()
                answers.append(await answer.json())
        return answers


def test_dsn_prints_a_url_that_opens_postgres_as_neither_superuser_nor_owner(system: System) -> None:
    url = system.run("dsn", "--data-dir", str(system.data_dir)).strip()
    with psycopg.connect(url) as connection:
        row = connection.execute("SELECT rolsuper FROM pg_roles WHERE rolname = current_user").fetchone()
        assert row == (False,)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("DROP TABLE trial_rows")


def test_a_credential_opens_its_own_database_until_it_is_revoked(system: System, site: str) -> None:
    enrolment = json.loads(
        system.run(
            *("devices", "enrol", "--site", site, "--device", "tab-1"),
            *("--data-dir", str(system.data_dir), "--json"),
        )
    )
    other = system.enrol(f"{site}x", "tab-1")
    token = {"Authorization": f"Bearer {enrolment['token']}"}
    assert asyncio.run(_status(enrolment["url"], {})) == 401
    assert asyncio.run(_status(enrolment["url"], {"Authorization": "Bearer nonsense"})) == 401
    assert asyncio.run(_status(other["url"], token)) == 403
    assert asyncio.run(_status(enrolment["url"] + "/_all_docs", token)) == 403
    assert asyncio.run(_status(enrolment["url"], token)) == 200
    system.run("devices", "revoke", "--site", site, "--device", "tab-1", "--data-dir", str(system.data_dir))
    wait_until(lambda: asyncio.run(_status(enrolment["url"], token)) == 401, 5)


async def _status(url: str, headers: dict[str, str]) -> int:
    async with aiohttp.ClientSession(headers=headers) as http, http.get(url) as answer:
        assert answer.status == 200 or (await answer.json()).keys() == {"error", "reason"}
        return answer.status


def _wait_until_nothing_is_pending(system: System) -> None:
    def is_done() -> bool:
        return all(
            asyncio.run(_pending(system, database, since)) == 0
            for database, since in _checkpoints(system).items()
        )

    wait_until(is_done, 30)


def _checkpoints(system: System) -> dict[str, str]:
    with system.connect() as connection:
        return dict(connection.execute("SELECT database, since FROM checkpoints").fetchall())


async def _pending(system: System, database: str, since: str) -> int:
    headers = system.service_headers()
    url = f"{system.base_url}/db/{database}/_changes"
    async with (
        aiohttp.ClientSession(headers=headers) as http,
        http.get(url, params={"since": since, "limit": "1"}) as answer,
    ):
        page = await answer.json()
        return len(page["results"]) + int(page["pending"])
