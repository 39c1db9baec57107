"""What the routes of studies share: reading one, holding one, telling its tablets."""

from collections.abc import Iterable
from typing import Any

from reporting.publication.requests import publish_documents, study_document
from reporting.studies.rows import (
    StudyRow,
    lock_study,
    select_sites_of_study,
    select_status,
    select_studies,
)
from reporting.studies.status import Status
from reporting.tables import studies
from sync_server.api.call import Call
from sync_server.errors import NotFound


async def read_study(call: Call[Any, Any], study: str) -> StudyRow:
    """The study. Raises NotFound."""
    found = (await call.connection.execute(select_studies().where(studies.c.code == study))).one_or_none()
    if found is None:
        raise NotFound(f"There is no study {study}.")
    return StudyRow(*found)


async def require_study(call: Call[Any, Any], study: str) -> Status:
    """The status of a study that there has to be. Raises NotFound."""
    status = await call.connection.scalar(select_status(study))
    if status is None:
        raise NotFound(f"There is no study {study}.")
    return status


async def lock(call: Call[Any, Any], study: str) -> Any:
    """The study's row, for a change. Raises NotFound."""
    row = (await call.connection.execute(lock_study(study))).one_or_none()
    if row is None:
        raise NotFound(f"There is no study {study}.")
    return row


async def publish_study(call: Call[Any, Any], study: str, also: Iterable[str] = ()) -> None:
    """Bring the study's document, and others, up to date at each of its sites."""
    sites = (await call.connection.scalars(select_sites_of_study(study))).all()
    documents = [study_document(study), *also]
    if sites:
        await call.connection.execute(
            publish_documents((site, document) for site in sites for document in documents)
        )
