"""Guessing is slow, counted in Postgres, and keeps no owner out."""

import asyncio

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from sync_server.identity.attempts import Blocked, begin_attempt, succeed, take_back
from sync_server.identity.logging_in import is_recorded
from sync_server.keys import ENGINE
from tests.administration.office import Office
from tests.administration.people import EMAIL, join, log_in, tokens


def blocked_for(office: Office, kind: str) -> int:
    """Seconds of the newest block."""
    [(seconds,)] = office.rows(
        "SELECT round(extract(epoch FROM blocked_until - last_at))::int FROM attempts WHERE kind = %s"
        " ORDER BY last_at DESC LIMIT 1",
        kind,
    )
    return int(seconds)


def wait_out(office: Office) -> None:
    """As when the block has passed."""
    office.rows("UPDATE attempts SET blocked_until = now() - interval '1 second'")


async def attempt(engine: AsyncEngine, email: str = EMAIL, address: str = "192.0.2.1") -> bool:
    """Whether it is looked at."""
    try:
        await begin_attempt(engine, email=email, address=address)
    except Blocked as error:
        return not 1 <= error.seconds <= 900
    return True


async def test_each_failure_from_the_fifth_blocks_twice_as_long_up_to_15_minutes(office: Office) -> None:
    engine = office.gateway.app[ENGINE]
    # A hundred at once, from as many addresses: as many are looked at as one after the other.
    looked_at = await asyncio.gather(*(attempt(engine, address=f"192.0.2.{n}") for n in range(100)))
    assert sum(looked_at) == 5
    blocks = [blocked_for(office, "account")]
    for number in range(9):
        wait_out(office)
        assert await attempt(engine, address=f"198.51.100.{number}")
        assert not await attempt(engine)
        blocks.append(blocked_for(office, "account"))
    assert blocks == [5, 10, 20, 40, 80, 160, 320, 640, 900, 900]
    # Other accounts are free, also from the same addresses; a day later this one is, too.
    assert await attempt(engine, "bob@example.org")
    office.rows("UPDATE attempts SET last_at = now() - interval '25 hours'")
    wait_out(office)
    for _ in range(5):
        assert await attempt(engine)
    assert not await attempt(engine)


async def test_an_address_is_blocked_from_the_thirtieth_failure_whatever_the_account(office: Office) -> None:
    engine = office.gateway.app[ENGINE]
    for number in range(30):
        assert await attempt(engine, f"{number}@example.org")
    assert not await attempt(engine, "another@example.org")
    assert blocked_for(office, "address") == 5
    assert await attempt(engine, "another@example.org", "192.0.2.2")
    # What counts for nothing any more is forgotten.
    office.rows("UPDATE attempts SET last_at = now() - interval '25 hours'")
    assert await attempt(engine, "new@example.org", "192.0.2.3")
    assert office.rows("SELECT count(*) FROM attempts") == [(2,)]


async def test_a_success_forgets_the_account_and_what_is_taken_back_counts_as_nothing(office: Office) -> None:
    engine = office.gateway.app[ENGINE]
    for _ in range(3):
        counted = await begin_attempt(engine, email=EMAIL, address="192.0.2.1")
    async with engine.begin() as connection:
        await take_back(connection, counted)
    assert office.rows("SELECT kind, failures FROM attempts ORDER BY 1") == [("account", 2), ("address", 2)]
    async with engine.begin() as connection:
        await succeed(connection, counted)
    assert office.rows("SELECT kind, failures FROM attempts") == [("address", 1)]


async def test_a_stranger_keeps_nobody_out_who_was_in_from_there(office: Office) -> None:
    join(office)
    await tokens(office.api)
    office.rows("UPDATE logins SET address = '127.0.0.1'")
    engine = office.gateway.app[ENGINE]
    for number in range(5):
        await attempt(engine, address=f"198.51.100.{number}")
    assert not await attempt(engine, address="198.51.100.9")
    await tokens(office.api)


@pytest.mark.parametrize("email", [EMAIL, "nobody@example.org"])
async def test_an_account_is_blocked_alike_whether_it_exists_or_not(office: Office, email: str) -> None:
    join(office)
    answers = [await log_in(office.api, "wrong password", email=email) for _ in range(6)]
    assert [answer.status for answer in answers] == [401] * 5 + [429]
    assert answers[-1].error == (429, "too_many_requests")
    assert 1 <= int(answers[-1].headers["Retry-After"]) <= 5
    failures = office.rows("SELECT actor, after->'failures' FROM audit_log WHERE action = 'login.failed'")
    assert failures == ([("unknown", 1), ("unknown", 2), ("unknown", 4)] if email == EMAIL else [])


def test_of_failures_in_a_row_ever_fewer_are_put_on_record() -> None:
    assert [number for number in range(1, 1000) if is_recorded(number)] == [2**n for n in range(10)]
