"""A host's turns, its breaker and its ban; and what PyCap's requests may not do."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any, cast

import psycopg
import pytest
from aiohttp import web
from psycopg import sql
from sqlalchemy.ext.asyncio import AsyncEngine

from reporting.engine import async_engine
from reporting.redcap.faults import Banned, NoRights, UnknownOutcome
from reporting.redcap.hosts import FAILURES_TO_OPEN
from reporting.webhooks.addresses import Reach
from sync_server.redcap.client import Redcap, host_of
from sync_server.redcap.throttle import NoTurn, Throttle
from sync_server.redcap.transport import guard
from tests.redcap.pushed import FAST

HOST = "redcap.example.org:443"
TOKEN = "0123456789ABCDEF0123456789ABCDEF"


@pytest.fixture
async def engine(database_url: str) -> AsyncIterator[AsyncEngine]:
    engine = async_engine(database_url)
    yield engine
    await engine.dispose()


def ask(url: str, text: str) -> Any:
    with psycopg.connect(url, autocommit=True) as connection:
        cursor = connection.execute(sql.SQL(cast(Any, text)))
        return cursor.fetchall() if cursor.description else []


async def test_any_number_of_workers_keep_one_rate_and_who_would_wait_for_long_has_no_turn(
    engine: AsyncEngine, database_url: str
) -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    throttles = [Throttle(engine, HOST, per_minute=60, sleep=sleep) for _ in range(3)]
    before = ask(database_url, "SELECT now()")[0][0]
    await asyncio.gather(*(throttles[number % 3].turn() for number in range(10)))
    ((free_at,),) = ask(database_url, "SELECT free_at FROM redcap_hosts")
    assert free_at - before >= timedelta(seconds=10)
    assert len(slept) == 9
    assert all(later - former > 0.5 for former, later in zip(sorted(slept), sorted(slept)[1:], strict=False))
    ask(database_url, "UPDATE redcap_hosts SET free_at = now() + interval '1 minute'")
    with pytest.raises(NoTurn) as none:
        await throttles[0].turn()
    assert timedelta(seconds=50) < none.value.delay <= timedelta(minutes=1)
    slow = Throttle(engine, HOST, per_minute=1, sleep=sleep)
    await slow.turn()
    assert slept[-1] > 50


async def test_a_host_that_fails_is_left_alone_and_found_out_by_one_request(
    engine: AsyncEngine, database_url: str
) -> None:
    throttle = Throttle(engine, HOST, per_minute=FAST)
    for _ in range(FAILURES_TO_OPEN):
        await throttle.turn()
        await throttle.note(UnknownOutcome(text="503"))
    with pytest.raises(NoTurn, match="fails"):
        await throttle.turn()
    ask(database_url, "UPDATE redcap_hosts SET open_until = now() - interval '1 second'")
    await throttle.turn()
    with pytest.raises(NoTurn, match="fails"):
        await Throttle(engine, HOST, per_minute=FAST).turn()
    await throttle.note(UnknownOutcome(text="503"))
    ((longer,),) = ask(database_url, "SELECT open_until - now() > interval '45 s' FROM redcap_hosts")
    assert longer
    ask(database_url, "UPDATE redcap_hosts SET open_until = now() - interval '1 second'")
    await throttle.turn()
    await throttle.note(None)
    await Throttle(engine, HOST, per_minute=FAST).turn()
    assert ask(database_url, "SELECT failures, open_until FROM redcap_hosts") == [(0, None)]


async def test_a_ban_stops_all_and_is_told_once(engine: AsyncEngine, database_url: str) -> None:
    throttle = Throttle(engine, HOST, per_minute=FAST)
    await throttle.turn()
    for _ in range(2):
        await throttle.note(Banned(text="has been banned"))
    with pytest.raises(NoTurn, match="banned"):
        await Throttle(engine, HOST, per_minute=FAST).turn()
    assert ask(database_url, "SELECT payload -> 'data' ->> 'host' FROM outbox") == [(HOST,)]


async def _elsewhere(request: web.Request) -> web.Response:
    request.app["asked"].append(request.path)
    return web.Response(status=307, headers={"Location": "/other/api/"})


async def _echo(request: web.Request) -> web.Response:
    form = await request.post()
    return web.Response(
        status=403, text=f"<h1>{form.getone('token')!s} may not</h1>", content_type="text/html"
    )


@pytest.fixture
async def odd_host() -> AsyncIterator[tuple[str, list[str]]]:
    """Answers with a redirect at one path, and with the token at another."""
    app = web.Application()
    app["asked"] = []
    app.router.add_post("/redirects/api/", _elsewhere)
    app.router.add_post("/other/api/", _elsewhere)
    app.router.add_post("/echoes/api/", _echo)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}", app["asked"]
    await runner.cleanup()


@pytest.mark.filterwarnings("ignore::aiohttp.web_exceptions.NotAppKeyWarning")
async def test_a_token_goes_nowhere_else_and_is_told_nobody(
    engine: AsyncEngine, odd_host: tuple[str, list[str]]
) -> None:
    base, asked = odd_host
    guard(Reach(production=False))

    def client(path: str) -> Redcap:
        throttle = Throttle(engine, host_of(base), per_minute=FAST)
        return Redcap(f"{base}/{path}/api/", TOKEN, throttle, answer_seconds=5.0)

    redirected = await client("redirects").read_dictionary()
    assert isinstance(redirected, UnknownOutcome)
    assert asked == ["/redirects/api/"]
    echoed = await client("echoes").import_rows([{"record_id": "1"}])
    assert isinstance(echoed, NoRights)
    assert TOKEN not in repr(echoed)
    assert TOKEN not in repr(client("echoes"))
    guard(Reach(production=True))
    try:
        refused = await client("echoes").read_dictionary()
    finally:
        guard(Reach(production=False))
    assert isinstance(refused, UnknownOutcome)
    assert "no public address" in refused.text


async def test_a_clock_that_was_set_back_does_not_keep_a_host_from_being_asked(
    engine: AsyncEngine, database_url: str
) -> None:
    throttle = Throttle(engine, HOST, per_minute=FAST)
    await throttle.turn()
    ahead = "now() + interval '3 hours'"
    ask(database_url, f"UPDATE redcap_hosts SET free_at = {ahead}, open_until = {ahead}, failures = 9")  # noqa: S608
    await throttle.turn()
    ((is_near,),) = ask(database_url, "SELECT free_at < now() + interval '1 minute' FROM redcap_hosts")
    assert is_near
    # Its outcome is waited for, as of any host that has failed.
    with pytest.raises(NoTurn):
        await throttle.turn()
