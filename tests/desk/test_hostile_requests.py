"""What nobody in their right mind sends to the desk is answered with a reason, and never with a 500."""

from typing import Any
from urllib.parse import quote

import pytest
from yarl import URL

from tests.desk.desk import Desk
from tests.documents.examples import a_session, a_task_run, a_trial

RESOLVE = {"reason": "why", "rev": "1-b", "accept": "union"}


async def test_deep_patch_is_refused(desk: Desk) -> None:
    await desk.save(a_session("s1", status="lost"), "1-a")
    await desk.project()
    head = '{"site": "lima", "doc_id": "session:s1", "rev": "1-a", "reason": "why", "patch": '
    sent = desk.api.sending(Authorization=f"Bearer {desk.tokens['coordinator']}")
    # Near the depth at which a decoder gives up, what comes after it may give up earlier.
    for depth in (101, 500, *range(900, 1001, 2), 100_000):
        deep = '{"a":' * depth + "1" + "}" * depth
        answer = await sent.call("POST", "/api/quarantine/patch", data=head + deep + "}")
        assert answer.error == (422, "invalid_request"), depth


async def test_nul_in_a_reason_is_kept_as_a_replacement(desk: Desk) -> None:
    await desk.save(a_session("s1", status="lost"), "1-a")
    await desk.save(a_session("s2", status="lost"), "1-a")
    await desk.project()
    problem = {"site": "lima", "doc_id": "session:s1", "code": "unknown_value", "path": "$.status"}
    for act in ("waive", "unwaive", "waive", "retry"):
        members = {"site": "lima", "code": "unknown_value"} if act == "retry" else problem
        answer = await desk.post(f"/api/quarantine/{act}", {**members, "reason": "a\0b"})
        assert answer.status in (200, 202), answer.body
    patch = {"site": "lima", "doc_id": "session:s2", "rev": "1-a", "patch": {"status": "completed"}}
    await desk.project()
    assert (await desk.post("/api/quarantine/patch", {**patch, "reason": "a\0b"})).status == 201
    await desk.project()
    assert {row[0] for row in desk.rows("SELECT reason FROM audit_log")} == {"a\ufffdb"}
    assert desk.rows("SELECT reason FROM waivers UNION SELECT reason FROM corrections") == [("a\ufffdb",)]


@pytest.mark.parametrize("name", ["a/b", "a b?c#d%2Fe", "a:1", "..a", "é\u4e2d", 'q"\\', "a" * 137, "%00"])
async def test_session_of_an_odd_name_is_patched_and_resolved(desk: Desk, name: str) -> None:
    await desk.save({**a_session(status="lost"), "_id": f"session:{name}"}, "1-a")
    await desk.project()
    patch = {"site": "lima", "doc_id": f"session:{name}", "rev": "1-a", "patch": {"status": "completed"}}
    assert (await desk.post("/api/quarantine/patch", {**patch, "reason": "why"})).status == 201
    await desk.save({**a_session(visit="v"), "_id": f"session:{name}"}, "1-b")
    await desk.project()
    url = f"/api/conflicts/{quote(name, safe='')}"
    assert (await desk.get(url)).body["session"] == name
    answer = await desk.post(f"{url}/resolve", RESOLVE)
    assert answer.status == 201, answer.body
    await desk.project()
    assert desk.state(f"session:{name}") == "projected"
    assert (await desk.get(f"/api/sessions/{quote(name, safe='')}")).body["visit"] == "v"


@pytest.mark.parametrize("route", ["/api/conflicts/{}", "/api/sessions/{}", "/api/sites/{}"])
async def test_name_that_no_text_has_is_not_found(desk: Desk, route: str) -> None:
    for name in ("%00", "%FF", "%ED%A0%80", "a" * 7000, "%2F", "%0A"):
        url = URL(route.format(name), encoded=True)
        headers = {"Authorization": f"Bearer {desk.tokens['read-only']}"}
        async with desk.api.client.get(url, headers=headers) as answer:
            assert answer.status in (400, 404, 422), name


@pytest.mark.parametrize("route", ["/api/sessions", "/api/audit"])
async def test_every_moment_that_can_be_written_is_a_bound_or_is_refused(desk: Desk, route: str) -> None:
    for moment in (
        "2016-07-22T03:01:35+23:00",
        "2016-07-22T03:01:35-23:59",
        "0001-01-01T00:00:00+01:00",
        "0001-01-01T00:00:00Z",
        "0001-01-01",
        "9999-12-31",
        "9999-12-31T23:59:59-12:00",
    ):
        for bound in ("from", "to"):
            answer = await desk.get(route, role="coordinator", **{bound: moment})
            assert answer.status in (200, 422), (moment, answer.body)


@pytest.mark.parametrize(
    "members",
    [
        {"rev": 7},
        {"rev": "1-b", "choose": {"$.visit": None}},
        {"choose": {"\0": "winner"}},
        {"choose": {"$.visit": "\0"}},
        {"choose": {"$.visit": "winner"}, "leaves": [1]},
        {"choose": {"$.visit": "winner"}, "site": 1},
        {"choose": {"$.visit": "winner"}, "site": "\0"},
        {"accept": "all"},
        {"reason": " "},
    ],
    ids=str,
)
async def test_odd_decision_is_refused(desk: Desk, members: dict[str, Any]) -> None:
    for rev, visit in (("1-a", "baseline"), ("1-b", "followup")):
        await desk.save(a_session("s1", visit=visit), rev)
    await desk.project()
    answer = await desk.post("/api/conflicts/s1/resolve", {"reason": "why", "rev": "1-b", **members})
    assert answer.status in (404, 422), answer.body
    assert await desk.stored_corrections() == []


async def test_nul_in_what_a_patch_replaces_is_no_news_from_the_tablet(desk: Desk) -> None:
    runs = [{**a_task_run(), "trials": [a_trial(1, stimulus="\0"), a_trial(2, rt="fast")]}]
    await desk.save(a_session("s1", tasks=runs), "1-a")
    await desk.project()
    patch = {"tasks": [{**a_task_run(), "trials": [a_trial(1)]}]}
    asked = {"site": "lima", "doc_id": "session:s1", "rev": "1-a", "patch": patch, "reason": "why"}
    assert (await desk.post("/api/quarantine/patch", asked)).status == 201
    await desk.project()
    assert desk.state("session:s1") == "projected"
