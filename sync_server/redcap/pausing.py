"""Pausing a project for a fault, and telling: the log, and webhooks by `redcap.paused`."""

import structlog
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from reporting.redcap.projects import Cause, pause
from reporting.tables import redcap_projects
from reporting.webhooks.events import Event, announce

log = structlog.get_logger()


async def pause_and_tell(
    connection: AsyncConnection, project: str, study: str, cause: Cause, reason: str
) -> None:
    """Once: what is paused already stays as it is."""
    if (await connection.execute(pause(project, study, cause, reason))).first() is None:
        return
    p = redcap_projects.c
    at = await connection.scalar(select(p.paused_at).where(p.project == project))
    log.error("redcap paused", project=project, cause=cause, reason=reason)
    moment = "" if at is None else at.isoformat()
    event = Event(
        name="redcap.paused",
        occurrence=f"{project}/{moment}",
        study=study,
        data={"project": project, "cause": cause, "reason": reason, "at": moment},
    )
    await connection.execute(announce(event))
