"""Finding sessions, reading one with its scores, and its trials."""

import pytest
from sqlalchemy import Engine, text

from reporting.tables import quality_flags, task_runs, trial_rows
from tests.api.calls import Api
from tests.api.rows import NOON, put, put_sessions, put_task_run, session

HOSTILE = ["' OR '1'='1", "lima'; DROP TABLE sessions; --", '" OR ""="', "%", "_", "\\", "{site}", "$1", "%s"]


async def test_list_without_filters_has_all_sessions_latest_first(api: Api, engine: Engine) -> None:
    put_sessions(
        engine,
        session("quito", "b"),
        session("lima", "c"),
        session("lima", "a"),
        session("lima", "old", started_at=NOON.replace(year=2015)),
        session("lima", "new", started_at=NOON.replace(year=2017)),
    )
    answer = await api.get("/api/sessions")
    assert answer.status == 200
    assert [(row["site"], row["id"]) for row in answer.body["data"]] == [
        ("lima", "new"),
        ("lima", "a"),
        ("lima", "c"),
        ("quito", "b"),
        ("lima", "old"),
    ]
    assert answer.body["pagination"] == {"page": 1, "per_page": 50, "total": 5, "pages": 1}


async def test_empty_list_has_no_pages(api: Api) -> None:
    answer = await api.get("/api/sessions")
    assert answer.body == {
        "data": [],
        "pagination": {"page": 1, "per_page": 50, "total": 0, "pages": 0},
        "complete_through": {},
    }


async def test_listed_session_has_its_columns_with_times_in_utc(api: Api, engine: Engine) -> None:
    put_sessions(engine, session("lima", "a", ended_at=NOON, device_model="SM-T510", battery_version=1))
    (row,) = (await api.get("/api/sessions")).body["data"]
    assert row.pop("projected_at").endswith("Z")
    assert row == {
        "site": "lima",
        "id": "a",
        "study": "SRO",
        "participant": "s012",
        "visit": "baseline",
        "status": "completed",
        "started_at": "2016-07-22T12:00:00Z",
        "ended_at": "2016-07-22T12:00:00Z",
        "utc_offset_minutes": None,
        "language": None,
        "battery_id": None,
        "battery_version": 1,
        "device_id": None,
        "device_model": "SM-T510",
        "device_os": None,
        "app_version": None,
        "rev": "1-a",
        "received_at": None,
        "source_missing_at": None,
    }


@pytest.mark.parametrize("name", ["study", "site", "participant", "visit", "status"])
async def test_filter_selects_equal_sessions_only(api: Api, engine: Engine, name: str) -> None:
    wanted = {"study": "X", "site": "quito", "participant": "X", "visit": "X", "status": "abandoned"}[name]
    put_sessions(engine, session("lima", "a"), session("lima", "b"), session("lima", "c", visit=None))
    put_sessions(engine, session("quito", "hit", **({name: wanted} if name != "site" else {})))
    assert (await api.get("/api/sessions", **{name: wanted})).ids == ["hit"]


async def test_filters_combine(api: Api, engine: Engine) -> None:
    put_sessions(
        engine,
        session("lima", "a", participant="s1", visit="retest"),
        session("lima", "b", participant="s1"),
        session("quito", "c", participant="s1", visit="retest"),
    )
    assert (await api.get("/api/sessions", participant="s1", visit="retest", site="lima")).ids == ["a"]


BOUNDS: list[tuple[dict[str, str], list[str]]] = [
    ({"from": "2016-07-22"}, ["noon", "late"]),
    ({"to": "2016-07-21"}, ["early"]),
    ({"to": "2016-07-22"}, ["early", "noon", "late"]),
    ({"from": "2016-07-22", "to": "2016-07-22"}, ["noon", "late"]),
    ({"from": "2016-07-22T12:00:00Z"}, ["noon", "late"]),
    ({"from": "2016-07-22T12:00:00.000001Z"}, ["late"]),
    ({"to": "2016-07-22T12:00:00Z"}, ["early", "noon"]),
    ({"from": "2016-07-22T07:00:00-05:00", "to": "2016-07-22T14:00:00+02:00"}, ["noon"]),
    ({"from": "9999-12-31"}, []),
    ({"to": "0001-01-01"}, []),
]


async def test_from_and_to_bound_the_start_and_are_included(api: Api, engine: Engine) -> None:
    put_sessions(
        engine,
        session("lima", "early", started_at=NOON.replace(day=21, hour=23, minute=59)),
        session("lima", "noon"),
        session("lima", "late", started_at=NOON.replace(hour=23, minute=59, second=59, microsecond=999999)),
    )
    for params, found in BOUNDS:
        assert (await api.get("/api/sessions", **params)).ids == found[::-1], params


async def test_offset_whose_plus_was_not_encoded_is_understood(api: Api, engine: Engine) -> None:
    put_sessions(engine, session("lima", "noon"))
    path = "/api/sessions?from=2016-07-22T14:00:00+02:00&to=2016-07-22T14:00:00+02:00"
    assert (await api.call("GET", path)).ids == ["noon"]


async def test_pages_cover_the_list_without_gap_or_repetition(api: Api, engine: Engine) -> None:
    put_sessions(engine, *(session(site, f"s{n}") for n in range(5) for site in ("lima", "quito")))
    pages = [await api.get("/api/sessions", page=str(n), per_page="4") for n in (1, 2, 3, 4)]
    assert [len(page.ids) for page in pages] == [4, 4, 2, 0]
    assert len({(row["site"], row["id"]) for page in pages for row in page.body["data"]}) == 10
    assert pages[3].body["pagination"] == {"page": 4, "per_page": 4, "total": 10, "pages": 3}


REFUSED_QUERIES: list[tuple[str, dict[str, object]]] = [
    ("participants=s1&sites=lima", {"unknown": ["participants", "sites"]}),
    ("site=lima&site=quito", {"repeated": ["site"]}),
    ("page=0", {"parameter": "page"}),
    ("page=x", {"parameter": "page"}),
    ("page=1.5", {"parameter": "page"}),
    ("page=99999999999999999999", {"parameter": "page"}),
    ("per_page=501", {"parameter": "per_page"}),
    ("status=done", {"parameter": "status"}),
    ("site=", {"parameter": "site"}),
    ("site=a%00b", {"parameter": "site"}),
    ("site=" + "x" * 1001, {"parameter": "site"}),
    ("from=yesterday", {"parameter": "from"}),
    ("to=2016-13-01", {"parameter": "to"}),
    ("to=2016-07-22T12:00:00", {"parameter": "to"}),
    ("from=2016-W29-5", {"parameter": "from"}),
]


async def test_query_that_is_not_understood_is_refused_by_name(api: Api) -> None:
    for query, details in REFUSED_QUERIES:
        answer = await api.call("GET", f"/api/sessions?{query}")
        assert answer.error == (422, "invalid_request"), query
        assert answer.details == details


async def test_bytes_that_are_no_utf8_find_nothing_or_are_refused(api: Api, engine: Engine) -> None:
    put_sessions(engine, session("lima", "a"))
    for query in ("site=%ff", "site=%ed%a0%80"):
        answer = await api.call("GET", f"/api/sessions?{query}")
        assert answer.status in (200, 422)
        assert answer.body.get("data", []) == []


@pytest.mark.parametrize("name", ["study", "site", "participant", "visit"])
async def test_hostile_filter_is_only_compared(api: Api, engine: Engine, name: str) -> None:
    put_sessions(engine, session("lima", "a"))
    put_sessions(engine, *(session("lima", hostile) | {name: hostile} for hostile in HOSTILE))
    for hostile in HOSTILE:
        assert (await api.get("/api/sessions", **{name: hostile})).ids == [hostile]
    assert (await api.get("/api/sessions")).body["pagination"]["total"] == 1 + len(HOSTILE)


async def test_one_session_has_task_runs_scores_and_flags(api: Api, engine: Engine) -> None:
    put_sessions(engine, session("lima", "a"), session("lima", "other"))
    put_task_run(engine, "lima", "a", "stroop", 1, n_trials=3)
    put_task_run(engine, "lima", "a", "simon", 2, n_trials=2)
    put_task_run(engine, "lima", "other", "simon", 1, n_trials=2)
    flag = {"site": "lima", "session_id": "a", "code": "summary_differs", "detail": {"n": 1}}
    put(engine, quality_flags, {**flag, "task": "simon", "run": 2})
    put(engine, quality_flags, {**flag, "code": "unknown_study"})
    answer = await api.get("/api/sessions/a")
    assert answer.status == 200
    assert (answer.body["site"], answer.body["id"], answer.body["participant"]) == ("lima", "a", "s012")
    assert [(run["task"], run["run"], run["n_trials"]) for run in answer.body["task_runs"]] == [
        ("simon", 2, 2),
        ("stroop", 1, 3),
    ]
    assert answer.body["task_runs"][0]["summary"] == {"mean_rt": 512.4}
    assert answer.body["task_runs"][0]["params"] is None
    assert answer.body["scores"] == [
        {"task": "simon", "run": 2, "name": "n_trials", "value": 2.0, "scoring_version": 1},
        {"task": "stroop", "run": 1, "name": "n_trials", "value": 3.0, "scoring_version": 1},
    ]
    assert answer.body["flags"] == [
        {
            "task": None,
            "run": None,
            "trial_index": None,
            "code": "unknown_study",
            "detail": {"n": 1},
            "rule_version": 1,
        },
        {
            "task": "simon",
            "run": 2,
            "trial_index": None,
            "code": "summary_differs",
            "detail": {"n": 1},
            "rule_version": 1,
        },
    ]


async def test_id_in_two_sites_needs_the_site(api: Api, engine: Engine) -> None:
    put_sessions(engine, session("quito", "a", participant="q"), session("lima", "a", participant="l"))
    put_task_run(engine, "quito", "a", "simon", 1, n_trials=2)
    for path in ("/api/sessions/a", "/api/sessions/a/trials"):
        answer = await api.get(path)
        assert answer.error == (409, "ambiguous")
        assert answer.details == {"sites": ["lima", "quito"]}
    assert (await api.get("/api/sessions/a", site="lima")).body["participant"] == "l"
    assert (await api.get("/api/sessions/a", site="quito")).body["participant"] == "q"
    assert (await api.get("/api/sessions/a/trials", site="lima")).body["data"] == []
    assert len((await api.get("/api/sessions/a/trials", site="quito")).body["data"]) == 2


async def test_session_that_does_not_exist_is_not_found(api: Api, engine: Engine) -> None:
    put_sessions(engine, session("lima", "a"))
    for session_id in ("b", "a%00", "%ff", "%ed%a0%80", "session:a", "a'--", "%2e%2e"):
        for path in (f"/api/sessions/{session_id}", f"/api/sessions/{session_id}/trials"):
            assert (await api.call("GET", path)).error == (404, "not_found")


async def test_session_of_another_site_is_not_found(api: Api, engine: Engine) -> None:
    put_sessions(engine, session("lima", "a"))
    assert (await api.get("/api/sessions/a", site="quito")).error == (404, "not_found")


async def test_session_id_with_a_slash_is_found_percent_encoded(api: Api, engine: Engine) -> None:
    put_sessions(engine, session("lima", "a/b?c"))
    assert (await api.call("GET", "/api/sessions/a%2Fb%3Fc")).body["id"] == "a/b?c"


async def test_trials_are_ordered_and_filtered(api: Api, engine: Engine) -> None:
    put_sessions(engine, session("lima", "a"))
    put_task_run(engine, "lima", "a", "stroop", 1, n_trials=4)
    put_task_run(engine, "lima", "a", "simon", 2, n_trials=4)
    put_task_run(engine, "lima", "a", "simon", 1, n_trials=4)

    async def keys(**params: str) -> list[tuple[str, int, int]]:
        answer = await api.get("/api/sessions/a/trials", **params)
        assert answer.body["pagination"]["total"] == len(answer.body["data"])
        return [(row["task"], row["run"], row["trial_index"]) for row in answer.body["data"]]

    everything = [("simon", 1, n) for n in range(4)] + [("simon", 2, n) for n in range(4)]
    everything += [("stroop", 1, n) for n in range(4)]
    assert await keys() == everything
    assert await keys(task="simon") == everything[:8]
    assert await keys(task="simon", run="2") == everything[4:8]
    assert await keys(task="stroop", stage="test") == [("stroop", 1, 0), ("stroop", 1, 2)]
    assert await keys(task="stroop' OR 1=1") == []
    assert await keys(run="7") == []


async def test_trial_has_its_columns(api: Api, engine: Engine) -> None:
    put_sessions(engine, session("lima", "a"))
    put_task_run(engine, "lima", "a", "simon", 1, n_trials=1)
    (row,) = (await api.get("/api/sessions/a/trials")).body["data"]
    assert row == {
        "task": "simon",
        "run": 1,
        "trial_index": 0,
        "stage": "test",
        "rt_ms": 400.0,
        "correct": True,
        "response": {"key": 0},
        "condition": None,
        "time_elapsed_ms": None,
        "extra": {"stimulus": "x"},
    }


_SET_EXTRA = text("UPDATE trial_extras SET extras = jsonb_build_object('0', CAST(:sent AS jsonb))")


async def test_numbers_beyond_any_decoder_come_out_as_they_were_sent(api: Api, engine: Engine) -> None:
    put_sessions(engine, session("lima", "a"))
    put_task_run(engine, "lima", "a", "simon", 1, n_trials=1)
    sent = '{"n": 123456789012345678901234567890.10}'
    with engine.begin() as connection:
        connection.execute(_SET_EXTRA, {"sent": sent})
        connection.execute(text("UPDATE task_runs SET params = CAST(:sent AS jsonb)"), {"sent": sent})
    async with api.client.get("/api/sessions/a/trials", headers=api.headers) as response:
        assert sent in await response.text()
    async with api.client.get("/api/sessions/a", headers=api.headers) as response:
        assert sent in await response.text()


async def test_trials_come_in_pages_of_up_to_5000(api: Api, engine: Engine) -> None:
    put_sessions(engine, session("lima", "a"))
    put_task_run(engine, "lima", "a", "simon", 1, n_trials=5001)
    first = await api.get("/api/sessions/a/trials", per_page="5000")
    second = await api.get("/api/sessions/a/trials", per_page="5000", page="2")
    assert (len(first.body["data"]), len(second.body["data"])) == (5000, 1)
    assert first.body["pagination"] == {"page": 1, "per_page": 5000, "total": 5001, "pages": 2}
    assert (await api.get("/api/sessions/a/trials", per_page="5001")).error == (422, "invalid_request")
    assert (await api.get("/api/sessions/a/trials", run="3000000000")).error == (422, "invalid_request")


async def test_session_replaced_while_it_is_read_is_seen_whole(api: Api, engine: Engine) -> None:
    put_sessions(engine, session("lima", "a"))
    put_task_run(engine, "lima", "a", "simon", 1, n_trials=2)
    with engine.begin() as connection:
        connection.execute(task_runs.delete())
        connection.execute(trial_rows.delete())
        answer = await api.get("/api/sessions/a")
    assert len(answer.body["task_runs"]) == len(answer.body["scores"]) == 1
