"""Pushing sessions to REDCap: the handler's batch, one project after the other.

    entries ─▶ by study and site: mapping, connection, project ─▶ the project's lock ─▶ plan ─▶ withdraw
                                                                                   ─▶ open rows ─▶ bring about

| there is | its sessions |
|---|---|
| no mapping | are dropped: saving one enters them again |
| no connection, or one that cannot be used | wait |
| a pause | wait; resuming enters them again |
| no dictionary yet | it is read, and the mapping checked with it |
| another worker at the project | wait for two seconds |
| no turn at the host | wait until there may be one |
"""

import time
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from reporting.outbox.claims import Started
from reporting.outbox.policy import Dropped, Failed, Outcome, Postponed
from reporting.redcap.dictionary import Dictionary
from reporting.redcap.mapping import Mapping as StudyMapping
from reporting.redcap.projects import (
    project_row,
    read_mapping,
    select_mapping,
    select_project,
)
from sync_server.jobs.resources import Resources
from sync_server.redcap.batch import Batch, Halt
from sync_server.redcap.bringing_about import bring_about
from sync_server.redcap.client import ANSWER_SECONDS
from sync_server.redcap.connections import Unusable, choose, open_client, project_of
from sync_server.redcap.locking import LOOK_AGAIN, Busy, project_lock
from sync_server.redcap.planning import open_rows, plan
from sync_server.redcap.refusals import PAUSED_LOOK, learn
from sync_server.redcap.throttle import NoTurn
from sync_server.sealing import CannotOpen

WORK_SECONDS: Final = 20.0
"""After which a job sends nothing new; what it has begun it ends."""


async def push(
    entries: Sequence[Started],
    resources: Resources,
    *,
    work_seconds: float = WORK_SECONDS,
    answer_seconds: float = ANSWER_SECONDS,
) -> Mapping[int, Outcome]:
    """What came of each entry."""
    outcomes: dict[int, Outcome] = {}
    groups: dict[tuple[str, str], dict[int, tuple[str, str]]] = {}
    attempts = {entry.id: entry.attempts for entry in entries}
    for entry in entries:
        site, session = entry.payload.get("site"), entry.payload.get("session")
        if entry.study is None or not isinstance(site, str) or not isinstance(session, str):
            outcomes[entry.id] = Failed("It names no session of a study.", final=True)
        else:
            groups.setdefault((entry.study, site), {})[entry.id] = (site, session)
    for (study, site), sessions in groups.items():
        try:
            found = await _push_group(
                resources,
                study,
                site,
                sessions,
                attempts,
                work_seconds=work_seconds,
                answer_seconds=answer_seconds,
            )
        except Halt as stopped:
            found = dict.fromkeys(sessions, stopped.outcome)
        outcomes |= found
    return outcomes


async def _push_group(
    resources: Resources,
    study: str,
    site: str,
    sessions: Mapping[int, tuple[str, str]],
    attempts: Mapping[int, int],
    *,
    work_seconds: float,
    answer_seconds: float,
) -> Mapping[int, Outcome]:
    engine = resources.engine
    async with engine.connect() as connection:
        mapping = await _mapping(connection, study)
        chosen = await choose(connection, study, site, resources.settings.site_configs)
        if chosen is None:
            raise Halt(Postponed("The study has no REDCap connection at this site.", PAUSED_LOOK))
        project = project_of(chosen, mapping)
    try:
        client = open_client(
            chosen, resources.settings, engine, resources.sealer, answer_seconds=answer_seconds
        )
    except (Unusable, CannotOpen) as error:
        raise Halt(Postponed(f"The connection cannot be used. {error}", PAUSED_LOOK)) from error
    try:
        async with project_lock(engine, project) as still_held:
            async with engine.connect() as connection:
                dictionary = await _dictionary(connection, project)
            batch = Batch(
                engine,
                client,
                still_held,
                project=project,
                study=study,
                mapping=mapping,
                dictionary=dictionary or Dictionary(record_id="", fields=[], forms=[]),
                sessions=sessions,
                attempts=attempts,
                until=time.monotonic() + work_seconds,
            )
            try:
                if dictionary is None:
                    batch.dictionary = await learn(batch)
                await _push(batch)
            except Halt as stopped:
                batch.end(stopped.outcome)
            except NoTurn as none:
                batch.end(Postponed(none.why, none.delay))
            return batch.verdicts.outcomes()
    except Busy as busy:
        raise Halt(Postponed(str(busy), LOOK_AGAIN)) from busy


async def _push(batch: Batch) -> None:
    wanted = await plan(batch)
    batch.unopened = {each.entry for each in wanted}
    await bring_about(batch, batch.open_items(withdraws=True))
    in_the_way = {(item.entry, item.row.form) for item in batch.items if item.withdraws and not item.is_done}
    await open_rows(
        batch, [each for each in wanted if (each.entry, each.target.address.form) not in in_the_way]
    )
    batch.unopened = set()
    await bring_about(batch, batch.open_items(withdraws=False))


async def _mapping(connection: AsyncConnection, study: str) -> StudyMapping:
    definition = (await connection.execute(select_mapping(study))).scalar_one_or_none()
    if definition is None:
        raise Halt(Dropped("The study has no REDCap mapping."))
    try:
        return read_mapping(definition)
    except msgspec.ValidationError as error:
        raise Halt(Postponed(f"The mapping cannot be read: {error}", PAUSED_LOOK)) from error


async def _dictionary(connection: AsyncConnection, project: str) -> Dictionary | None:
    row = (await connection.execute(select_project(project))).one_or_none()
    if row is None:
        return None
    known = project_row(row)
    if known.is_paused:
        why = f"The project is paused ({known.paused_cause}): {known.paused_reason}"
        raise Halt(Postponed(why, PAUSED_LOOK))
    return known.dictionary
