"""`/api/exports`: datasets of a study as a file, made by a job.

    POST   /api/exports                    what is wanted: 202, and where to look
    GET    /api/exports, /api/exports/{id} how far it is
    GET    /api/exports/{id}/download      the zip, for a week
    DELETE /api/exports/{id}               not wanted any more

De-identified as the study's policy says; `identified` takes the right to it. Everything is on record, but
for what conditions ask for.
"""

from typing import Annotated

from msgspec import Meta

from reporting.research.audience import Audience, Wanted
from reporting.research.datasets import DATASETS
from reporting.research.file_watermark import select_sites
from reporting.research.files import NewFile
from reporting.research.filters import NoSuchFilter
from reporting.research.query import Dates, Question, refuse_hidden, select_dates
from sync_server.api.call import Call, Nothing
from sync_server.api.names import StudyCode
from sync_server.api.research_files import FileTold, Sites, ask, file_routes, reached_sites, require_all
from sync_server.api.route import Route, post
from sync_server.api.study_rows import require_study
from sync_server.errors import InvalidRequest
from sync_server.exports.request import DoesNotGo, ExportRequest, asked_of, check, on_record

_PATH = "/api/exports"
KIND = "export"


class NewExport(ExportRequest, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An export of a study. `sites` absent: all that you may export; `identified`: codes and dates as they
    are.
    """

    study: StudyCode
    sites: Annotated[Sites | None, Meta(description="absent: all that you may export")] = None
    identified: bool = False


async def create_export(call: Call[Nothing, NewExport]) -> FileTold:
    """Have datasets exported: a data file each, with codebook and manifest, in one zip.

    The same request on the same data is the same file, byte by byte.
    """
    body, caller = call.body, call.caller
    sites = reached_sites(caller, "research.export", body.study, body.sites)
    if body.identified:
        require_all(caller, "research.identified", body.study, sites)
    await require_study(call, body.study)
    request = ExportRequest(**{name: getattr(body, name) for name in ExportRequest.__struct_fields__})
    if body.sites is not None:
        there = set(await call.connection.scalars(select_sites(body.study)))
        if unknown := sorted(set(body.sites) - there):
            message = f"{body.study} does not run at {', '.join(unknown)}, and has no sessions from there."
            raise InvalidRequest(message, details={"path": "$.sites", "unknown": unknown})
    try:
        check(request)
        if not body.identified:
            await _check_dates(call, request)
    except DoesNotGo as error:
        raise InvalidRequest(str(error), details={"path": "$.datasets"}) from error
    except NoSuchFilter as error:
        where = "$.columns" if error.details.get("parameter") == "columns" else "$.where"
        raise InvalidRequest(str(error), details={**error.details, "path": where}) from error
    new = NewFile(
        kind=KIND,
        study=body.study,
        sites=sites,
        identified=body.identified,
        request=request.as_json(),
        person=caller.person.id,
        asked_by=caller.person.email,
    )
    return await ask(call, new, path=_PATH, recorded=on_record(new.request))


async def _check_dates(call: Call[Nothing, NewExport], request: ExportRequest) -> None:
    """Whether the study shows what conditions are on. Raises NoSuchFilter."""
    row = (await call.connection.execute(select_dates(call.body.study))).one_or_none()
    dates = None if row is None else Dates(*row).dates
    for name, asked in asked_of(request).items():
        rows = Wanted(call.body.study)
        refuse_hidden(Question(DATASETS[name], Audience.DEIDENTIFIED, rows, asked.filters), dates)


ROUTES: list[Route] = [
    post(
        _PATH,
        create_export,
        right="research.export",
        status=202,
        errors=(409,),
        location=f"{_PATH}/{{id}}",
    ),
    *file_routes(_PATH, (KIND,), "export"),
]
