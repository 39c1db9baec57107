"""`/api/reports`: PDF reports of a participant, a site or a study, made by a job.

    POST   /api/reports                    what is wanted: 202, and where to look
    GET    /api/reports, /api/reports/{id} how far it is
    GET    /api/reports/{id}/download      the PDF, for a week
    DELETE /api/reports/{id}               not wanted any more

De-identified as the study's policy says, and then a participant is asked for by their pseudonym; `identified`
takes the right to it. The same report of the same data is one file.

| what happens | answer |
|---|---|
| a participant's report without `participant`, a site's without `site`, or what another kind takes | 422 |
| nobody is seen under this name in the caller's sites | 404 |
| the site is none of the study's, and has no sessions of it | 202; the job fails with a sentence |
"""

from collections.abc import Mapping
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from reporting.reports.contents import Kind
from reporting.reports.naming import select_code
from reporting.reports.scope import Reach
from reporting.research.files import NewFile
from reporting.research.variables import Language
from sync_server.api.call import Call, Nothing
from sync_server.api.names import SiteCode, StudyCode
from sync_server.api.research_files import FileTold, ask, file_routes, reached_sites, require_all
from sync_server.api.route import Route, post
from sync_server.api.study_rows import require_study
from sync_server.errors import InvalidRequest, NotFound
from sync_server.reports.request import KINDS, ReportRequest, kind_of

_PATH: Final = "/api/reports"
_ABOUT: Final[Mapping[Kind, str | None]] = {"participant": "participant", "site": "site", "study": None}
"""What says whom or what a report is about."""


class NewReport(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A report. `participant`: their pseudonym as the API shows it, or with `identified` their code."""

    kind: Kind
    study: StudyCode
    participant: Annotated[str, Meta(min_length=1, max_length=200)] | None = None
    site: SiteCode | None = None
    language: Language = "en"
    identified: bool = False


async def create_report(call: Call[Nothing, NewReport]) -> FileTold:
    """Have a report made: a PDF of a participant, of a study at a site, or of a study at your sites."""
    body, caller = call.body, call.caller
    _check(body)
    sites = reached_sites(caller, "research.export", body.study, None if body.site is None else (body.site,))
    if body.kind == "participant":
        require_all(caller, "participants.read", body.study, sites)
    if body.identified:
        require_all(caller, "research.identified", body.study, sites)
    await require_study(call, body.study)
    if body.participant is not None:
        reach = Reach(body.study, sites, body.identified)
        if await call.connection.scalar(select_code(body.participant, reach)) is None:
            raise NotFound(f"No participant of {body.study} is seen under this name in your sites.")
    new = NewFile(
        kind=kind_of(body.kind),
        study=body.study,
        sites=sites,
        identified=body.identified,
        request=ReportRequest(language=body.language, participant=body.participant).as_json(),
        person=caller.person.id,
        asked_by=caller.person.email,
    )
    return await ask(call, new, path=_PATH)


def _check(body: NewReport) -> None:
    """Exactly what the kind is about. Raises InvalidRequest."""
    for name in ("participant", "site"):
        is_given, is_wanted = getattr(body, name) is not None, _ABOUT[body.kind] == name
        if is_given != is_wanted:
            needs = f"needs a {name}" if is_wanted else f"takes no {name}"
            raise InvalidRequest(f"A report of a {body.kind} {needs}.", details={"path": f"$.{name}"})


ROUTES: list[Route] = [
    post(
        _PATH,
        create_report,
        right="research.export",
        status=202,
        errors=(409,),
        location=f"{_PATH}/{{id}}",
    ),
    *file_routes(_PATH, KINDS, "report"),
]
