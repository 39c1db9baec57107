"""Exports and reports of a study: asked for, followed live, downloaded, removed.

A file is made by a job: the page shows how far it is, also after hours, and to whoever may see it.
"""

from typing import Any, Final, get_args

import msgspec

from sync_server.api.parameters import Text
from sync_server.exports.request import FORMATS, DatasetName
from sync_server.portal.asking import api
from sync_server.portal.forms import Field, Form, unreadable
from sync_server.portal.pages import Look, Page, Values
from sync_server.portal.research import BELOW
from sync_server.portal.study_pages import STUDY

EXPORTS = api("GET", "/api/exports")
REPORTS = api("GET", "/api/reports")

DATASETS: Final[tuple[str, ...]] = get_args(DatasetName)


def _datasets(values: dict[str, Any]) -> dict[str, Any]:
    chosen = [name for name in DATASETS if values.pop(name, False)]
    if not chosen:
        raise unreadable(DATASETS[0], "form.ask_export.sessions_wide_wrong")
    conditions = [line.strip() for line in values.pop("where", "").splitlines()]
    return {**_of_site(values), "datasets": chosen, "where": [each for each in conditions if each]}


def _of_site(values: dict[str, Any]) -> dict[str, Any]:
    site = values.pop("site", None)
    return values if site is None else {**values, "sites": [site]}


ASK_EXPORT = Form(
    name="ask_export",
    calls=api("POST", "/api/exports"),
    fields=(
        *(
            Field(name, "check", required=False, default="on" if name == "sessions_wide" else "")
            for name in DATASETS
        ),
        Field("format", "choice", choices=FORMATS, hint=True),
        Field("site", "pick", required=False),
        Field("where", "long", required=False, hint=True, max_length=20_000),
        Field("language", "choice", choices=("en", "fr")),
        Field("guard", "check", required=False, hint=True),
        Field("identified", "check", required=False, hint=True),
    ),
    fixed={"study": "study"},
    build=_datasets,
)
ASK_REPORT = Form(
    name="ask_report",
    calls=api("POST", "/api/reports"),
    fields=(
        Field("kind", "choice", choices=("study", "site", "participant")),
        Field("site", "pick", required=False, hint=True),
        Field("participant", required=False, hint=True, max_length=200),
        Field("language", "choice", choices=("en", "fr")),
        Field("identified", "check", required=False, hint=True),
    ),
    fixed={"study": "study"},
)
REMOVE_EXPORT = Form(name="remove_export", calls=api("DELETE", "/api/exports/{id}"), danger=True)
REMOVE_REPORT = Form(name="remove_report", calls=api("DELETE", "/api/reports/{id}"), danger=True)


class FileFilters(msgspec.Struct, frozen=True, kw_only=True):
    """As the routes take them."""

    state: Text | None = None
    page: Text = "1"


async def exports(look: Look) -> Values:
    """Exports that were asked for; one is asked for."""
    return await _files(look, EXPORTS, ASK_EXPORT)


async def reports(look: Look) -> Values:
    """Reports that were asked for; one is asked for."""
    return await _files(look, REPORTS, ASK_REPORT)


async def _files(look: Look, route: Any, ask: Form) -> Values:
    wanted: FileFilters = look.filters
    row = await look.ask(STUDY)
    listed = await look.ask(route, study=row.code, state=wanted.state, page=wanted.page)
    look.offer(ask, "site", [(code, code) for code in row.sites])
    look.fill(ask, language=look.texts.language, sessions_wide="on")
    return {"row": row, "files": listed, "datasets": DATASETS}


PAGES = [
    Page(
        name="exports",
        path=f"{BELOW}/exports",
        template="research/exports.html",
        view=exports,
        reads=(STUDY, EXPORTS),
        forms=(ASK_EXPORT, REMOVE_EXPORT),
        filters=FileFilters,
        live=("files",),
        area="research",
    ),
    Page(
        name="reports",
        path=f"{BELOW}/reports",
        template="research/reports.html",
        view=reports,
        reads=(STUDY, REPORTS),
        forms=(ASK_REPORT, REMOVE_REPORT),
        filters=FileFilters,
        live=("files",),
        area="research",
    ),
]
