"""A host's turn: all workers together keep one rate, and leave a host alone that fails or has banned us.

Each request waits for its turn, which Postgres gives: any number of processes share it, and a process that
dies with a turn has wasted a fraction of a second. See `reporting.redcap.hosts`.

| the turn is | then |
|---|---|
| within patience | it is waited for |
| later, or the breaker is open | NoTurn: the sessions are postponed |
| nobody's: the host has banned us | NoTurn; told once by `redcap.banned`, lifted by a person |
"""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Final

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from reporting.redcap.faults import Banned, Fault, UnknownOutcome
from reporting.redcap.hosts import (
    HostState,
    ban,
    know_host,
    note_answer,
    note_failure,
    select_host,
    take_turn,
)
from reporting.webhooks.events import Event, announce

PATIENCE: Final = timedelta(seconds=10)
BAN_LOOK: Final = timedelta(hours=1)
"""After which a session of a banned host looks again whether the ban was lifted."""

log = structlog.get_logger()


class NoTurn(Exception):
    """The host is not to be asked now. `why` is for people; `delay`: when to look again."""

    def __init__(self, why: str, delay: timedelta) -> None:
        super().__init__(why)
        self.why = why
        self.delay = delay


class Throttle:
    """Turns at one host."""

    def __init__(
        self,
        engine: AsyncEngine,
        host: str,
        *,
        per_minute: int,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._engine = engine
        self._host = host
        self._spacing = timedelta(minutes=1) / per_minute
        # A job has to come further than its first request, however slow the rate is.
        self._patience = max(PATIENCE, 3 * self._spacing)
        self._sleep = sleep
        self._failures = 0

    async def turn(self) -> None:
        """Wait for it. Raises NoTurn."""
        async with self._engine.begin() as connection:
            taking = take_turn(self._host, spacing=self._spacing, patience=self._patience)
            taken = (await connection.execute(taking)).one_or_none()
            if taken is None:
                await connection.execute(know_host(self._host))
                taken = (await connection.execute(taking)).one_or_none()
            if taken is None:
                state = HostState(*(await connection.execute(select_host(self._host))).one())
        if taken is None:
            raise self._no_turn(state)
        wait_s, self._failures = taken
        if wait_s > 0:
            await self._sleep(wait_s)

    def _no_turn(self, state: HostState) -> NoTurn:
        if state.banned:
            return NoTurn(f"{self._host} has banned this server: a person has to lift it.", BAN_LOOK)
        if state.open_s > 0:
            why = f"{self._host} fails: it is left alone for a while."
            return NoTurn(why, timedelta(seconds=state.open_s))
        return NoTurn(f"{self._host} is busy with other sessions.", timedelta(seconds=state.wait_s))

    async def note(self, fault: Fault | None) -> None:
        """What became of the request."""
        if fault is None and not self._failures:
            return
        async with self._engine.begin() as connection:
            if isinstance(fault, Banned):
                at = (await connection.execute(ban(self._host, fault.text))).scalar_one_or_none()
                if at is not None:
                    log.error("redcap banned", host=self._host, text=fault.text)
                    event = Event(
                        name="redcap.banned",
                        occurrence=f"{self._host}/{at.isoformat()}",
                        data={"host": self._host, "at": at.isoformat()},
                    )
                    await connection.execute(announce(event))
            elif isinstance(fault, UnknownOutcome):
                if (await connection.execute(note_failure(self._host))).scalar_one_or_none():
                    log.warning("redcap breaker open", host=self._host, text=fault.text)
            else:
                await connection.execute(note_answer(self._host))
