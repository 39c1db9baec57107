"""The handler of `redcap_pull`: a project's participants into the roster.

| what happens | outcome |
|---|---|
| the mapping has no participants any more, no connection, it is paused | discarded: the duty asks again |
| another pull is at it, the host is not to be asked now | postponed |
| the token is refused | the project is paused (`rights`), and told |
| the project is not what the mapping was checked with | it is paused (`dictionary`), and told |
| any other fault | again later; nothing of the chunk was taken |
| the worker dies | the entry is begun again, at the old watermark |
"""

from datetime import timedelta
from typing import Final

import structlog

from reporting.outbox.claims import Started
from reporting.outbox.policy import Dropped, Failed, Outcome, Postponed
from reporting.participants.changing import CreatedMeanwhile, RecordTaken
from reporting.redcap.faults import DictionaryChanged, NoRights
from reporting.redcap.projects import Cause
from reporting.redcap.pulled import select_pull_state
from sync_server.jobs.resources import Resources
from sync_server.redcap.connections import Unusable
from sync_server.redcap.locking import Busy
from sync_server.redcap.pausing import pause_and_tell
from sync_server.redcap.pull_parts import Refused
from sync_server.redcap.pulling import CannotPull, SomebodyElse, pull
from sync_server.redcap.study_connections import Redcaps, told_fault
from sync_server.redcap.throttle import NoTurn
from sync_server.sealing import CannotOpen

SOON: Final = timedelta(seconds=30)

log = structlog.get_logger()


async def deliver_pull(entry: Started, resources: Resources) -> Outcome | None:
    """Pull the project that the entry names."""
    project = str(entry.payload.get("project"))
    redcaps = Redcaps(resources.settings, resources.engine, resources.sealer)
    try:
        report = await pull(project, redcaps)
    except (CannotPull, Unusable) as error:
        return Dropped(str(error))
    except (Busy, SomebodyElse) as error:
        return Postponed(str(error), SOON)
    except NoTurn as error:
        return Postponed(error.why, max(error.delay, SOON))
    except (CannotOpen, CreatedMeanwhile, RecordTaken) as error:
        return Failed(str(error))
    except Refused as error:
        return await _refused(project, error, redcaps)
    log.info(
        "redcap pulled",
        project=project,
        full=report.full,
        looked_at=report.looked_at,
        missing=len(report.missing),
        **report.counts,
    )
    return None


async def _refused(project: str, error: Refused, redcaps: Redcaps) -> Outcome:
    told = told_fault(error.fault)
    causes: dict[type, Cause] = {NoRights: "rights", DictionaryChanged: "dictionary"}
    cause = causes.get(type(error.fault))
    if cause is None:
        return Failed(told)
    async with redcaps.engine.begin() as connection:
        row = (await connection.execute(select_pull_state(project))).one_or_none()
        if row is not None:
            await pause_and_tell(connection, project, row.study, cause, told)
    return Dropped(told)
