"""The API's methods as one table: content and action → what is answered.

Pure but for the project, which imports, deletions and files change. `answer` is all that the HTTP shell
calls.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from tests.redcap_double import about_project, answers
from tests.redcap_double.answers import Answer
from tests.redcap_double.exporting import export_records
from tests.redcap_double.files import delete_file, export_file, import_file
from tests.redcap_double.importing import Write, import_records
from tests.redcap_double.parameters import Parameters
from tests.redcap_double.project import Project, User
from tests.redcap_double.records import Place
from tests.redcap_double.refusals import Refusal, missing_right, not_implemented

CONTENTS = (
    "metadata", "instrument", "user", "project", "event", "arm", "formEventMapping", "repeatingFormsEvents",
    "dag", "record", "version", "log", "file", "generateNextRecordName", "exportFieldNames",
)  # fmt: skip


@dataclass(frozen=True)
class Request:
    """One call whose token is known."""

    project: Project
    user: User
    parameters: Parameters
    now: datetime
    """Server time, without a zone."""
    upload: tuple[str, bytes] | None = None
    """File name and content."""
    version: str = "14.5.5"
    names_event: bool = False
    """Whether the lines of data errors have the event after the record's name."""
    on_write: Callable[[Project, Write], None] | None = None
    """Is told of every row that an import wrote."""


def answer(request: Request) -> Answer:
    """What the API answers; a refusal is an answer, too."""
    try:
        return _method(request.parameters)(request)
    except Refusal as refusal:
        return answers.refused(refusal, request.parameters.return_format)


def _method(parameters: Parameters) -> Callable[[Request], Answer]:
    if parameters.content not in CONTENTS:
        raise Refusal(400, 'The value of the parameter "content" is not valid')
    method = _METHODS.get((parameters.content, parameters.action))
    if method is None:
        raise not_implemented()
    return method


def _exports(read: Callable[[Project, User, Parameters], Any]) -> Callable[[Request], Answer]:
    def method(request: Request) -> Answer:
        form = request.parameters.format
        return answers.data(read(request.project, request.user, request.parameters), form)

    return method


def _import_records(request: Request) -> Answer:
    parameters = request.parameters
    wanted = parameters.choice("returnContent", ("count", "ids", "auto_ids", "nothing"))
    if wanted == "auto_ids" and not parameters.flag("forceAutoNumber"):
        wanted = "ids"
    imported = import_records(
        request.project, request.user, parameters, request.now, names_event=request.names_event
    )
    if request.on_write is not None:
        for write in imported.writes:
            request.on_write(request.project, write)
    form = parameters.return_format
    if wanted == "nothing":
        return answers.plain("", form)
    if wanted == "count":
        count = len(imported.names)
        return answers.data({"count": count}, form) if form != "csv" else answers.plain(str(count), form)
    found = imported.names if wanted == "ids" else [f"{new},{old}" for new, old in imported.renamed]
    if form == "json":
        return answers.plain(json.dumps(found), form)
    return answers.data([{"id": name} for name in found], form)


def _delete_records(request: Request) -> Answer:
    project, parameters = request.project, request.parameters
    if not request.user.api_import:
        raise missing_right("API Import/Update")
    if not request.user.record_delete:
        raise missing_right("Delete Record")
    names = parameters.listed("records")
    if not names:
        raise Refusal(400, 'The parameter "records" is missing')
    own = request.user.group
    seen = [name for name in project.records.names() if not own or project.records.groups.get(name) == own]
    if unknown := [name for name in names if name not in seen]:
        raise Refusal(
            400,
            "One or more of the records provided cannot be deleted because they do not exist in the project. "
            f"The following records do not exist: {', '.join(unknown)}",
        )
    event, instrument = parameters.text("event"), parameters.text("instrument")
    instance = parameters.text("repeat_instance")
    if instrument and instrument not in project.dictionary.forms:
        raise Refusal(400, f"The instrument '{instrument}' is not in the project")
    for name in names:
        places = [
            place
            for place in project.records.of(name)
            if event in ("", place.event)
            and (not instrument or instrument in project.forms_of_row(place.event, place.instrument))
            and (not instance or not place.instance or str(place.instance) == instance)
        ]
        if instrument:
            _blank(request, instrument, places)
        else:
            project.records.delete(name, places, at=request.now, username=request.user.username)
    return answers.plain(str(len(set(names))), parameters.return_format)


def _blank(request: Request, instrument: str, places: list[Place]) -> None:
    """Delete one form's values: a repeating form's row, or the form's columns of a shared row."""
    records, columns = request.project.records, request.project.dictionary.columns()
    for place in places:
        if place.instrument:
            records.delete(place.record, [place], at=request.now, username=request.user.username)
        else:
            blank = dict.fromkeys((name for name, column in columns.items() if column.form == instrument), "")
            records.write(place, blank, at=request.now, username=request.user.username)


def _version(request: Request) -> Answer:
    return Answer(200, request.version.encode(), "text/html; charset=utf-8")


def _next_name(request: Request) -> Answer:
    return Answer(200, request.project.next_record_name(request.user).encode(), "text/html; charset=utf-8")


def _export_file(request: Request) -> Answer:
    name, content = export_file(request.project, request.user, request.parameters)
    return Answer(200, content, f'application/octet-stream; name="{name}"')


def _import_file(request: Request) -> Answer:
    import_file(request.project, request.user, request.parameters, request.upload, request.now)
    return answers.plain("", request.parameters.return_format)


def _delete_file(request: Request) -> Answer:
    delete_file(request.project, request.user, request.parameters, request.now)
    return answers.plain("", request.parameters.return_format)


_METHODS: dict[tuple[str, str], Callable[[Request], Answer]] = {
    ("metadata", "export"): _exports(about_project.metadata),
    ("exportFieldNames", "export"): _exports(about_project.export_field_names),
    ("instrument", "export"): _exports(about_project.instruments),
    ("user", "export"): _exports(about_project.users),
    ("project", "export"): _exports(about_project.project_info),
    ("event", "export"): _exports(about_project.events),
    ("arm", "export"): _exports(about_project.arms),
    ("formEventMapping", "export"): _exports(about_project.form_event_mapping),
    ("repeatingFormsEvents", "export"): _exports(about_project.repeating_forms_events),
    ("dag", "export"): _exports(about_project.groups),
    ("log", "export"): _exports(about_project.log_rows),
    ("record", "export"): _exports(export_records),
    ("record", "import"): _import_records,
    ("record", "delete"): _delete_records,
    ("version", "export"): _version,
    ("generateNextRecordName", "export"): _next_name,
    ("file", "export"): _export_file,
    ("file", "import"): _import_file,
    ("file", "delete"): _delete_file,
}
