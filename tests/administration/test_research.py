"""`/api/research`: who sees what, in which kind of answer, and how complete it is."""

import asyncio
import base64
import csv
import io
import json
import re
import sys
from typing import Any
from urllib.parse import urlencode

import aiohttp
import msgspec
import pyarrow as pa
import pytest

from reporting.research.datasets import DATASETS, TRIALS
from sync_server.api.research_answers import JSON, kind_wanted
from sync_server.errors import NotAcceptable
from sync_server.settings import Settings
from tests.administration.office import Member, Office

TRIALS_EACH = 40
"""Trials a session."""

ROWS = """
INSERT INTO participants (study, code, site, enrolled_on) VALUES
    ('SRO', 'p1', 'lima', '2026-01-01'), ('SRO', 'p2', 'quito', '2026-01-01');
INSERT INTO sessions (site, id, study, participant, status, started_at, rev) VALUES
    ('lima', 's1', 'SRO', 'p1', 'completed', '2026-01-11 10:00+00', '1-a'),
    ('quito', 's2', 'SRO', 'p2', 'completed', '2026-01-12 10:00+00', '1-a'),
    ('cusco', 's3', 'ABC', 'p1', 'completed', '2026-01-12 10:00+00', '1-a');
INSERT INTO trial_rows (site, session_id, task, run, trial_index, stage, rt_ms, correct, response)
SELECT site, id, 'simon', 1, n, 'test', 400 + n, n % 2 = 0, '"left, \\"then\\" right"'
FROM sessions, generate_series(1, 40) AS n;
INSERT INTO checkpoints (site, database, epoch, batch, since, rereading, complete_through) VALUES
    ('lima', 'site-lima', 'e', 1, '1', false, '2026-01-20 10:00+00'),
    ('quito', 'site-quito', 'e', 1, '1', false, '2026-01-19 10:00+00');
INSERT INTO device_status (site, device, rev, outstanding) VALUES ('quito', 'tablet', '1-a', 7);
INSERT INTO quarantine (site, doc_id, rev, code, path, message) VALUES
    ('lima', 'session:q', '1-a', 'missing', '$', 'x'), ('lima', 'session:w', '1-a', 'missing', '$', 'x');
INSERT INTO waivers (site, doc_id, code, path, reason, waived_by) VALUES
    ('lima', 'session:w', 'missing', '$', 'x', 'x')
"""


@pytest.fixture
def statement_seconds() -> int:
    """After which a question is given up."""
    return 20


@pytest.fixture
def office_settings(office_settings: Settings, statement_seconds: int) -> Settings:
    return msgspec.structs.replace(office_settings, research_statement_seconds=statement_seconds)


@pytest.fixture
def research(office: Office) -> Office:
    """SRO runs at lima and quito, ABC at cusco."""
    office.study("SRO", "lima", "quito")
    office.study("ABC", "cusco")
    for statement in ROWS.split(";\n"):
        office.rows(statement.replace("%", "%%"))
    return office


async def read(who: Member, dataset: str = "trials", **params: str) -> dict[str, Any]:
    answer = await who.get(f"/api/research/{dataset}", **{"study": "SRO", **params})
    assert answer.status == 200, answer.body
    return dict(answer.body)


async def test_pages_follow_each_other_and_say_how_complete_they_are(research: Office) -> None:
    reader = research.as_("read-only", study="SRO")
    rows, cursor = [], None
    for _ in range(20):
        asked = {"limit": "30", "columns": "site,trial_index,rt_ms", "rt_ms.gt": "405"}
        page = await read(reader, **asked, **({} if cursor is None else {"cursor": str(cursor)}))
        rows += page["data"]
        cursor = page["next"]
        if cursor is None:
            break
        # A shorter key is in one of twenty sealed texts by chance.
        assert not any(site in base64.urlsafe_b64decode(cursor) for site in (b"lima", b"quito"))
    expected = [(site, n) for site in ("lima", "quito") for n in range(6, TRIALS_EACH + 1)]
    assert [(row["site"], row["trial_index"]) for row in rows] == expected
    assert rows[0] == {"site": "lima", "trial_index": 6, "rt_ms": 406.0}
    assert page["sites"] == [
        {
            "site": "lima",
            "complete_through": "2026-01-20T10:00:00Z",
            "devices_outstanding": 0,
            "documents_outstanding": 0,
            "quarantined": 1,
        },
        {
            "site": "quito",
            "complete_through": "2026-01-19T10:00:00Z",
            "devices_outstanding": 1,
            "documents_outstanding": 7,
            "quarantined": 0,
        },
    ]
    research.rows("DELETE FROM study_sites WHERE study = 'ABC'")
    elsewhere = await read(research.as_("admin"), study="ABC", limit="1")
    assert [site["site"] for site in elsewhere["sites"]] == ["cusco"]
    groups = await read(reader, group_by="site", aggregate="count,mean:rt_ms,mean:correct")
    assert groups["data"] == [
        {"site": site, "count": TRIALS_EACH, "mean_rt_ms": 420.5, "mean_correct": 0.5}
        for site in ("lima", "quito")
    ]


async def test_who_reads_of_one_site_sees_that_site_and_codes_only_who_may_on_record(
    research: Office,
) -> None:
    at_lima = research.as_("researcher", study="SRO", site="lima")
    for dataset in DATASETS:
        page = await read(at_lima, dataset)
        assert {row["site"] for row in page["data"]} <= {"lima"}, dataset
        assert [site["site"] for site in page["sites"]] == ["lima"]
    (row,) = (await read(at_lima, "sessions_wide"))["data"]
    assert re.fullmatch("P-[0-9A-F]{16}", row["participant"])
    assert row["started_day"] == 10
    (same,) = (await read(at_lima, "sessions_wide", participant=row["participant"]))["data"]
    assert same == row
    assert (await read(at_lima, "sessions_wide", participant="p1"))["data"] == []
    refused = await at_lima.get("/api/research/trials", study="SRO", identified="true")
    assert refused.error == (403, "not_allowed")
    assert (await at_lima.get("/api/research/trials", study="ABC")).error == (404, "not_found")

    coordinator = research.as_("coordinator", study="SRO", site="quito")
    (seen,) = (await read(coordinator, "sessions_wide", identified="true", participant="p2"))["data"]
    assert (seen["participant"], seen["started_at"]) == ("p2", "2026-01-12T10:00:00Z")
    recorded = research.rows("SELECT action, study, after FROM audit_log WHERE action LIKE 'research%%'")
    asked = {"dataset": "sessions_wide", "parameters": ["identified", "participant", "study"]}
    assert recorded == [("research.read_identified", "SRO", asked)]
    assert len(research.rows("SELECT secret FROM research_policies")) == 1, "of who has said nothing else"


async def test_of_no_site_or_no_study_nothing_is_read_and_nothing_is_on_record(research: Office) -> None:
    at_lima = research.as_("researcher", study="SRO", site="lima")
    for path, given, status in (
        ("statistics", {"study": "ABC", "sites": ","}, 422),
        ("statistics", {"study": "ABC"}, 404),
        ("statistics/stroop_acc/participants/p1", {"study": "ABC", "sites": ",", "identified": "true"}, 422),
        ("statistics/stroop_acc/participants/p1", {"study": "SRO", "identified": "true"}, 403),
    ):
        assert (await at_lima.get(f"/api/research/{path}", **given)).status == status, (path, given)
    admin = research.as_("admin")
    none = await admin.get("/api/research/trials", study="none", identified="true")
    assert none.error == (404, "not_found")
    assert research.rows("SELECT entity_id FROM audit_log WHERE action = 'research.read_identified'") == []


async def test_a_mean_leaves_out_what_no_reaction_time_can_be(research: Office) -> None:
    research.rows(
        "INSERT INTO trial_rows (site, session_id, task, run, trial_index, stage, rt_ms) SELECT 'lima', 's1',"
        " 'simon', 1, 100 + n, 'test', rt FROM unnest('{1e308,1e308,-1e308,NaN,Infinity}'::float8[])"
        " WITH ORDINALITY AS of (rt, n)"
    )
    who = research.as_("read-only", study="SRO")
    asked = "count,mean:rt_ms,sum:rt_ms,sd:rt_ms,median:rt_ms,min:rt_ms"
    (found,) = (await read(who, site="lima", aggregate=asked))["data"]
    assert (found["count"], found["mean_rt_ms"], found["sum_rt_ms"]) == (TRIALS_EACH + 5, 420.5, 16820.0)
    assert (found["median_rt_ms"], found["min_rt_ms"]) == (420.5, -1e308)
    assert found["sd_rt_ms"] == pytest.approx(11.690452)


async def test_the_same_rows_come_as_ndjson_csv_and_arrow_with_the_rest_in_headers(research: Office) -> None:
    who = research.as_("coordinator", study="SRO")
    rows = (await read(who, identified="true", limit="45"))["data"]

    async def ask(accept: str) -> tuple[bytes, dict[str, str]]:
        path = f"/api/research/trials?{urlencode({'study': 'SRO', 'identified': 'true', 'limit': '45'})}"
        headers = {**who.api.headers, "Accept": accept}
        async with who.api.client.request("GET", path, headers=headers) as response:
            assert response.status == 200
            assert response.headers["Content-Type"].startswith(accept)
            return await response.read(), dict(response.headers)

    lines, _ = await ask("application/x-ndjson")
    assert [json.loads(line) for line in lines.splitlines()] == rows
    text, headers = await ask("text/csv")
    table = list(csv.DictReader(io.StringIO(text.decode(), newline="")))
    assert list(table[0]) == list(TRIALS.by_name)
    assert [(each["session_id"], float(each["rt_ms"]), each["correct"] == "true") for each in table] == [
        (each["session_id"], each["rt_ms"], each["correct"]) for each in rows
    ]
    assert json.loads(table[0]["response"]) == rows[0]["response"] == 'left, "then" right'
    assert headers["Complete-Through"] == "2026-01-19T10:00:00Z"
    assert (headers["Outstanding-Documents"], headers["Quarantined-Documents"]) == ("7", "1")
    assert headers["Research-Next"]
    stream, _ = await ask("application/vnd.apache.arrow.stream")
    arrow = pa.ipc.open_stream(stream).read_all()
    assert arrow.column_names == list(TRIALS.by_name)
    assert arrow["rt_ms"].to_pylist() == [each["rt_ms"] for each in rows]
    assert str(arrow.schema.field("correct").type) == "bool"


async def test_what_is_not_there_or_not_understood_is_said(
    research: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    who = research.as_("admin")
    for dataset, params, status, said in (
        ("nothing", {}, 404, "sessions_wide"),
        ("trials", {"study": "none"}, 404, "no study none"),
        ("trials", {"rt.gte": "1"}, 422, "has no column rt"),
        ("trials", {"columns": "task,rt"}, 422, "has no column rt"),
        ("trials", {"columns": "task,task"}, 422, "each column once"),
        ("trials", {"cursor": "gAAAA"}, 422, "begin without one"),
        ("trials", {"limit": "10001"}, 422, "limit"),
        ("trials", {"from": "yesterday"}, 422, "from"),
        ("trials", {"aggregate": "mode:rt_ms"}, 422, "no aggregate mode"),
    ):
        answer = await who.get(f"/api/research/{dataset}", **{"study": "SRO", **params})
        assert answer.status == status, answer.body
        assert said in answer.body["error"]["message"]
    wrong = await who.get("/api/research/trials", study="SRO", **{"rt.gte": "1"})
    assert "rt_ms" in wrong.details["columns"]
    research.rows("INSERT INTO research_policies (study, secret, dates) VALUES ('SRO', sha256('x'), 'days')")
    undated = await who.get("/api/research/trials", study="SRO", **{"from": "2026-01-01"})
    assert "started_day.gte" in undated.body["error"]["message"]
    page = await read(who, limit="5")
    other = await who.get("/api/research/trials", study="SRO", cursor=str(page["next"]), task="simon")
    assert other.error == (422, "invalid_request")
    research.rows("UPDATE research_policies SET row_version = row_version + 1")
    later = await who.get("/api/research/trials", study="SRO", cursor=str(page["next"]))
    assert "policy was changed" in later.body["error"]["message"]
    no_study = await who.get("/api/research/trials")
    assert no_study.error == (422, "invalid_request")

    async with aiohttp.ClientSession(headers=who.api.headers) as http:
        url = who.api.client.make_url("/api/research/trials?study=SRO")
        async with http.get(url, headers={"Accept": "image/png"}) as refused:
            assert (refused.status, (await refused.json())["error"]["code"]) == (406, "not_acceptable")
        monkeypatch.setitem(sys.modules, "pyarrow", None)
        async with http.get(url, headers={"Accept": "application/vnd.apache.arrow.stream"}) as refused:
            assert refused.status == 406
            assert "exports" in (await refused.json())["error"]["message"]


@pytest.mark.parametrize("statement_seconds", [1])
async def test_a_question_that_takes_too_long_is_given_up_with_a_sentence(research: Office) -> None:
    who = research.as_("read-only", study="SRO")
    with research.connection.transaction():
        research.rows("LOCK TABLE trial_rows")
        answer = await who.get("/api/research/trials", study="SRO", group_by="task")
    assert answer.error == (422, "too_expensive")
    assert answer.details == {"seconds": 1}


async def test_of_questions_that_are_asked_side_by_side_the_fifth_of_a_person_is_refused(
    research: Office,
) -> None:
    who, other = research.as_("read-only", study="SRO"), research.as_("researcher", study="SRO")
    waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'trial_rows'::regclass"
    with research.connection.transaction():
        research.rows("LOCK TABLE trial_rows")
        at_work = [asyncio.create_task(read(who, group_by="task")) for _ in range(4)]
        while research.rows(waiting) != [(4,)]:  # noqa: ASYNC110 (Postgres tells nobody)
            await asyncio.sleep(0.02)
        for path in ("trials", "statistics", "statistics/stroop_acc"):
            refused = await who.get(f"/api/research/{path}", study="SRO")
            assert refused.error == (429, "too_many_requests")
        assert (await other.get("/api/research/participants", study="SRO")).status == 200
    assert [len((await each)["data"]) for each in at_work] == [1] * 4
    assert len((await read(who, group_by="task"))["data"]) == 1


async def test_the_dictionary_tells_every_column_in_both_languages(research: Office) -> None:
    who = research.as_("read-only", study="SRO")
    for language, label in (("en", "Reaction time"), ("fr", "Temps de réaction")):
        told = (await who.get("/api/research", language=language)).body
        assert [dataset["name"] for dataset in told["datasets"]] == list(DATASETS)
        (trials,) = (dataset for dataset in told["datasets"] if dataset["name"] == "trials")
        by_name = {variable["name"]: variable for variable in trials["variables"]}
        assert list(by_name) == list(TRIALS.by_name)
        assert (by_name["rt_ms"]["label"], by_name["rt_ms"]["unit"]) == (label, "ms")
        assert by_name["extra"]["operators"] == ["null"]


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ([], JSON),
        (["*/*"], JSON),
        (["text/html, */*;q=0.8"], JSON),
        (["text/*"], "text/csv"),
        (["application/json;q=0.5, text/csv"], "text/csv"),
        (["application/json;q=0.5", "application/x-ndjson;q=0.7"], "application/x-ndjson"),
        (["TEXT/CSV; charset=utf-8"], "text/csv"),
        (["application/json;q=0, */*"], "application/x-ndjson"),
    ],
)
def test_the_kind_of_answer_that_is_preferred_is_given(accept: list[str], kind: str) -> None:
    assert kind_wanted(accept) == kind


@pytest.mark.parametrize("accept", ["image/png", "application/json;q=0", "text/csv;q=x", ",;,"])
def test_no_kind_of_answer_is_given_where_none_is_taken(accept: str) -> None:
    with pytest.raises(NotAcceptable):
        kind_wanted([accept])
