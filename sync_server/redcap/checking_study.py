"""Checking a study's mapping with the live dictionary of each of its connections.

    mapping ──▶ for each connection: what it is now ──▶ problems, or the dictionary that is pinned

| what happens | outcome |
|---|---|
| a connection cannot be asked | that is told of it; the mapping cannot be saved before it can |
| two connections are of one project | each is asked |
| the dictionary is edited right after | the push finds another hash and checks again |
"""

from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from reporting.redcap.checking import problems
from reporting.redcap.known import Known
from reporting.redcap.known_rows import known_of, select_batteries, select_visits
from reporting.redcap.mapping import Mapping
from reporting.redcap.problem import Problem
from reporting.redcap.roster_checking import roster_problems
from sync_server.redcap.client import About
from sync_server.redcap.connections import Chosen, project_of
from sync_server.redcap.study_connections import Redcaps, ask_about


class Checked(msgspec.Struct, frozen=True):
    """A project that the mapping was checked with. `unreachable`: why it was not."""

    project: str
    site: str | None
    title: str
    problems: Sequence[Problem]
    unreachable: str | None = None

    @property
    def fits(self) -> bool:
        """Whether sessions may go there."""
        return not self.problems and self.unreachable is None


async def read_known(connection: AsyncConnection, study: str) -> Known:
    """What the mapping may speak of on our side."""
    of_batteries: Any = (await connection.execute(select_batteries())).all()
    return known_of(of_batteries, (await connection.scalars(select_visits(study))).all())


async def check(
    mapping: Mapping, chosen: Sequence[Chosen], known: Known, redcaps: Redcaps
) -> list[tuple[Checked, About | None]]:
    """Each connection's, in order, with what the project is where it could be asked."""
    found: list[tuple[Checked, About | None]] = []
    for each in chosen:
        project = project_of(each, mapping)
        about = await ask_about(each, redcaps)
        if isinstance(about, str):
            found.append((Checked(project, each.site, "", [], about), None))
            continue
        wrong = problems(mapping, about.dictionary, known=known)
        if mapping.participants is not None:
            wrong += roster_problems(mapping.participants, about.dictionary)
        found.append((Checked(project, each.site, about.title, wrong), about))
    return found
