"""Who comes to a site, and who closes it, at the same moment: either sees what the other did."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import psycopg
import pytest

from sync_server.keys import SETTINGS
from tests.administration.office import Member, Office
from tests.api.calls import Answer

ENROLLED = {"study": "SRO", "code": "s1", "site": "lima", "status": "enrolled"}
WANTED = {"site": "lima", "device": "tab-1"}
ARCHIVED = "UPDATE sites SET status = 'archived' WHERE code = 'lima'"
LEFT = "DELETE FROM study_sites WHERE site = 'lima'"


@pytest.fixture
async def lima(office: Office) -> Office:
    office.study("SRO", "lima", "cusco")
    await office.gateway.open_site("lima")
    return office


@asynccontextmanager
async def meanwhile(
    office: Office, statement: str, asked: Coroutine[Any, Any, Answer]
) -> AsyncIterator[asyncio.Task[Answer]]:
    """`asked` while somebody has done `statement`, and commits when it has come to wait for that."""
    dsn = office.gateway.app[SETTINGS].database_url.replace("+psycopg", "")
    async with await psycopg.AsyncConnection.connect(dsn) as other:
        await other.execute(statement.encode())
        task = asyncio.create_task(asked)
        while not task.done() and not office.rows("SELECT 1 FROM pg_locks WHERE NOT granted"):  # noqa: ASYNC110 (no event says so)
            await asyncio.sleep(0.01)
    yield task


@pytest.mark.parametrize(
    ("statement", "error"), [(ARCHIVED, (409, "not_possible")), (LEFT, (422, "invalid_request"))]
)
async def test_nobody_is_enrolled_where_the_study_leaves_or_the_site_closes_meanwhile(
    lima: Office, statement: str, error: tuple[int, str]
) -> None:
    team = lima.as_("coordinator", study="SRO")
    asked = team.post("/api/participants", ENROLLED)
    async with meanwhile(lima, statement, asked) as task:
        assert (await task).error == error
    row = "code,site,status\ns2,lima,enrolled\n"
    sender = lima.api.sending(**team.api.headers, **{"Content-Type": "text/csv"})
    imported = await sender.call("POST", "/api/participants/import?study=SRO", data=row)
    assert (imported.status, imported.body["counts"]["refused"]) == (200, 1)
    assert lima.rows("SELECT count(*) FROM participants") == [(0,)]


async def test_who_was_withdrawn_takes_part_again_only_where_the_study_still_runs(lima: Office) -> None:
    team = lima.as_("coordinator", study="SRO")
    assert (await team.post("/api/participants", ENROLLED)).status == 201
    path, back = "/api/participants/SRO/s1", {"status": "enrolled", "reason": "by mistake"}
    gone = await team.patch(path, {"status": "withdrawn", "reason": "moved away"}, If_Match="*")
    assert gone.status == 200
    lima.rows(LEFT)
    assert (await team.patch(path, back, If_Match="*")).error == (422, "invalid_request")
    moved = await team.patch(path, {**back, "site": "cusco"}, If_Match="*")
    assert (moved.status, moved.body["site"]) == (200, "cusco")


async def test_no_code_is_made_or_redeemed_at_a_site_that_closes_meanwhile(lima: Office) -> None:
    team = lima.as_("coordinator", study="SRO")
    code = (await team.post("/api/sync/enrolments", WANTED)).body["code"]
    nobody = Member(lima.api.sending(), "")
    redeeming = nobody.post("/api/sync/enrol", {"code": code, "installation": "i" * 16})
    async with meanwhile(lima, ARCHIVED, redeeming) as task:
        assert (await task).error == (403, "not_allowed")
    lima.rows("UPDATE sites SET status = 'open'")
    async with meanwhile(lima, ARCHIVED, team.post("/api/sync/enrolments", WANTED)) as task:
        assert (await task).error == (409, "not_possible")
    assert lima.rows("SELECT count(*) FROM devices WHERE device = 'tab-1'") == [(0,)]


async def test_revoked_at_the_desk_or_by_archiving_the_same_is_told(lima: Office) -> None:
    for device in ("tab-1", "tab-2"):
        await lima.gateway.enrol("lima", device)
    admin = lima.as_("admin")
    answer = await admin.post("/api/sync/devices/lima/tab-1/revoke", {"reason": "lost in a taxi"})
    assert answer.status == 200
    answer = await admin.post("/api/sites/lima/archive", {"reason": "closed", "force": True})
    assert answer.status == 200, answer.body
    told = lima.rows("SELECT payload -> 'data' FROM outbox WHERE key LIKE 'device.revoked:%%' ORDER BY id")
    assert [data for (data,) in told] == [{"site": "lima", "device": name} for name in ("tab-1", "tab-2")]
