"""The maker of reports: read what one shows, draw it, put the PDF into the task's folder.

A report is cached by its content: the key of its file has a digest of all that it shows, so a study's new
title makes a new file, and a session of another site that it does not show makes none. Through when the data
are complete is part of it: where that has moved on, the report says so and is another file.

| what happens | what follows |
|---|---|
| the study, site or participant is not there, or not in reach | CannotMake; its sentence names nobody |
| the packages that draw are not installed here | CannotMake, with what to install |
"""

from collections.abc import Callable, Mapping
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final

import msgspec
from sqlalchemy import Connection

from reporting.reports.contents import ParticipantReport, SiteReport, StudyReport
from reporting.reports.participant import read_participant_report
from reporting.reports.scope import NotThere, Reach
from reporting.reports.site import read_site_report
from reporting.reports.study import read_study_report
from sync_server.reports.request import KINDS, ReportRequest
from sync_server.reports.texts import TEXTS
from sync_server.research_files.making import CannotMake, Json, Made, Maker, Task, Wanted

LAYOUT: Final = 1
"""Grows when the same content is to be drawn in another way."""

Report = ParticipantReport | SiteReport | StudyReport

_LIBRARIES: Final = (
    *("babel", "manimgx-fonts", "manimgx-fonts-cjk", "python-bidi", "reportlab", "uharfbuzz"),
)


def versions(wanted: Wanted) -> Json:
    """What besides the content decides the bytes: layout, texts, libraries and fonts."""
    del wanted
    texts = msgspec.json.encode({key: (text.en, text.fr) for key, text in TEXTS.items()})
    return {
        "layout": LAYOUT,
        "texts": sha256(texts).hexdigest(),
        "libraries": {name: _version(name) for name in _LIBRARIES},
    }


def name(wanted: Wanted) -> str:
    """How the download is called: no participant's code is in it."""
    parts = [wanted.study, *(wanted.sites or () if wanted.kind == "site_report" else ())]
    parts += [wanted.kind.replace("_", "-"), read_request(wanted).language]
    if wanted.identified:
        parts.append("identified")
    return "".join(
        one if one.isascii() and (one.isalnum() or one in "._-") else "_" for one in "-".join(parts)
    )


def content(connection: Connection, wanted: Wanted) -> str:
    """A digest of all that the report shows. Raises CannotMake."""
    return sha256(msgspec.json.encode(read_report(connection, wanted))).hexdigest()


def make(task: Task) -> Made:
    """Read and draw. Raises CannotMake, OSError, Cancelled."""
    task.tell(0, None, "reading")
    report = read_report(task.connection, task.wanted)
    task.tell(0, None, "drawing")
    path = task.folder / "report.pdf"
    path.write_bytes(draw_report(report, task.wanted))
    return Made(path, "application/pdf", rows=report.provenance.sessions)


MAKER: Final = Maker(make, versions, name, content)
"""Of all three kinds."""


def read_report(connection: Connection, wanted: Wanted) -> Report:
    """What it shows. Raises CannotMake."""
    reach = Reach(wanted.study, wanted.sites, wanted.identified)
    request = read_request(wanted)
    try:
        if wanted.kind == "participant_report":
            return read_participant_report(connection, reach, request.participant or "")
        if wanted.kind == "site_report":
            return read_site_report(connection, reach)
        return read_study_report(connection, reach)
    except NotThere as error:
        raise CannotMake(str(error)) from error


def draw_report(report: Report, wanted: Wanted) -> bytes:
    """The PDF file. Raises CannotMake where what draws is not installed."""
    language = read_request(wanted).language
    try:
        # They weigh more than the rest of the worker; fonts are looked for as they are needed.
        from sync_server.reports.participant import participant_pdf  # noqa: PLC0415 (heavy, an extra)
        from sync_server.reports.site import site_pdf  # noqa: PLC0415 (likewise)
        from sync_server.reports.study import study_pdf  # noqa: PLC0415 (likewise)

        drawing: Mapping[type[Any], Callable[[Any, Any], bytes]] = {
            ParticipantReport: participant_pdf,
            SiteReport: site_pdf,
            StudyReport: study_pdf,
        }
        return drawing[type(report)](report, language)
    except ModuleNotFoundError as error:
        raise CannotMake(f"{error.name} is not installed here: install metricis-sync[reports].") from error


def read_request(wanted: Wanted) -> ReportRequest:
    """The kind's own part of the request. Raises CannotMake where another release has written it."""
    if wanted.kind not in KINDS:
        raise CannotMake(f"This release makes no {wanted.kind}.")
    try:
        return msgspec.convert(wanted.request, ReportRequest)
    except msgspec.ValidationError as error:
        raise CannotMake(f"This release does not know such a report: {error}.") from error


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
