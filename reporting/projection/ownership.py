"""Whose a site is: advisory locks, all on one connection of its own, so that they go when the process does.

The locks share out work and guarantee nothing: between losing them and noticing it, two projectors may work
on one site, and the checkpoint row lets one of them commit. What else is said of a site (its state, through
when it is complete while idle) goes through the same connection: who lost its sites cannot speak for them.

| what happens | outcome |
|---|---|
| the process is killed | Postgres closes the connection and frees the locks at once |
| its machine, or the network, vanishes | Postgres notices within 5 s, by keepalives; this side as well |
| the process is paused | after 6 s without a survey Postgres closes the connection |
| the connection is lost | OperationalError, and nothing is held until the next survey opens another one |
| two processes try for one lock | one has it; the other goes on with the next candidate |
| Postgres is behind a pooler that hands connections round | not supported: locks belong to a connection |
"""

import os
import socket
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from typing import Concatenate, LiteralString, NamedTuple, ParamSpec, TypeVar

import psycopg

from reporting.projection import site_statements as statements
from reporting.projection.connections import Lease, open_connection
from reporting.projection.sharing import Exchange
from reporting.projection.site_states import Standing
from reporting.projection.watermarks import Sighting, advance_idle

P = ParamSpec("P")
T = TypeVar("T")


class Survey(NamedTuple):
    """What a projector sees at a look. `mine` and `others` are the lock keys of sites that are held."""

    at: datetime
    """Postgres's clock."""
    member: int
    """A number that no other projector has now."""
    members: int
    mine: frozenset[int]
    others: frozenset[int]


class SiteLocks:
    """The locks of one projector. Every method but `close` raises OperationalError when they are lost."""

    def __init__(self, database_url: str) -> None:
        self._database_url = database_url
        self._connection: psycopg.Connection | None = None
        self._projector = f"{socket.gethostname()}:{os.getpid()}"

    async def survey(self) -> Survey:
        """Look round; the first time, and after a loss, as a new member without locks."""
        if self._connection is None:
            self._connection = await open_connection(self._database_url, kind="watchful")
            await self._run(_become_member)
        return await self._run(_survey)

    async def exchange(self, exchange: Exchange, *, busy: Collection[int]) -> frozenset[int]:
        """Give and take; the keys that are held to be used then. What is `busy` is given another time."""
        given = exchange.give.difference(busy)
        if given:
            await self._run(_unlock, sorted(given))
        taken: set[int] = set()
        candidates = list(exchange.candidates)
        while candidates and len(taken) < exchange.room:
            tried = candidates[: exchange.room - len(taken)]
            del candidates[: len(tried)]
            taken |= await self._run(_lock, tried)
        return exchange.keep | taken

    async def tell(self, standings: Mapping[str, Standing]) -> None:
        """Write the states of sites, by site."""
        if standings:
            await self._run(_write_states, standings, self._projector)

    async def forget(self, *, gone: Collection[str]) -> None:
        """Drop the states of sites that are no more."""
        if gone:
            await self._run(_of_sites, statements.FORGET_STATES, gone)

    async def forget_all_but(self, there: Collection[str]) -> None:
        """Drop the states of sites that went while no projector was there to see it."""
        await self._run(_of_sites, statements.FORGET_OTHER_STATES, there)

    async def advance_idle(self, sightings: Sequence[Sighting]) -> set[str]:
        """Note that the feeds had nothing more at these moments; the sites whose checkpoint is another."""
        return await self._run(advance_idle, sightings) if sightings else set()

    async def close(self) -> None:
        """Free all locks."""
        if self._connection is not None:
            await Lease(self._connection).run(psycopg.Connection.close)
            self._connection = None

    async def _run(
        self, blocking: Callable[Concatenate[psycopg.Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        if self._connection is None:
            raise psycopg.OperationalError("the connection that held the sites' locks is closed")
        try:
            return await Lease(self._connection).run(blocking, *args, **kwargs)
        except psycopg.OperationalError:
            # Whatever it was: with another connection it is known again what is held.
            await self.close()
            raise


def _become_member(connection: psycopg.Connection) -> None:
    connection.execute(statements.BECOME_MEMBER, {"members": statements.MEMBERS})


def _survey(connection: psycopg.Connection) -> Survey:
    classes = {"members": statements.MEMBERS, "sites": statements.SITES}
    ((at, member, members, mine, others),) = connection.execute(statements.SURVEY, classes)
    return Survey(at, member, members, frozenset(mine), frozenset(others))


def _lock(connection: psycopg.Connection, keys: Sequence[int]) -> set[int]:
    parameters = {"sites": statements.SITES, "keys": list(keys)}
    return {key for (key,) in connection.execute(statements.LOCK, parameters)}


def _unlock(connection: psycopg.Connection, keys: Sequence[int]) -> None:
    connection.execute(statements.UNLOCK, {"sites": statements.SITES, "keys": list(keys)})


def _of_sites(connection: psycopg.Connection, statement: LiteralString, sites: Collection[str]) -> None:
    connection.execute(statement, {"sites": sorted(sites)})


def _write_states(connection: psycopg.Connection, standings: Mapping[str, Standing], projector: str) -> None:
    # In one order, so that two projectors cannot wait for each other.
    sites = sorted(standings)
    states, failures, errors, next_tries = zip(*(standings[site] for site in sites), strict=True)
    connection.execute(
        statements.WRITE_STATES,
        {
            "sites": sites,
            "states": [str(state) for state in states],
            "failures": list(failures),
            "errors": list(errors),
            "next_tries": list(next_tries),
            "projector": projector,
        },
    )
