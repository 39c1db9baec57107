"""A session document, step by step: started, task runs added, ended. Pure.

What comes out is what a tablet would have saved, revision by revision: `session`, schema 1. Each step is told
more than once without harm.

| step | of a document that | outcome |
|---|---|---|
| a task run | has none with its (task, run) | added at the end |
| | has the same one already | as it is |
| | has another one with its (task, run) | replaced: it was saved again, as a tablet does after each trial |
| any | is ended | Ended: what is collected does not change any more |
| the end | is ended the same way | as it is |
"""

import hashlib
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal

import msgspec

from reporting.documents.kinds import BatteryReference

Document = Mapping[str, Any]
EndStatus = Literal["completed", "abandoned"]

_encode = msgspec.json.Encoder(order="deterministic").encode


class Ended(Exception):
    """The session is ended: nothing can be added to it."""

    def __init__(self) -> None:
        super().__init__(self.__doc__)


class Start(msgspec.Struct, frozen=True, kw_only=True):
    """What a session begins with."""

    id: str
    study: str
    site: str
    participant: str
    device: str
    started_at: datetime
    visit: str | None = None
    battery: BatteryReference | None = None
    language: str | None = None
    utc_offset_minutes: int | None = None
    app: str | None = None
    os: str | None = None


def started(start: Start) -> Document:
    """The first revision's content."""
    device = {"id": start.device, "app": start.app, "os": start.os}
    optional = {
        "visit": start.visit,
        "battery": None if start.battery is None else msgspec.to_builtins(start.battery),
        "language": start.language,
        "utc_offset_minutes": start.utc_offset_minutes,
    }
    return {
        "_id": f"session:{start.id}",
        "type": "session",
        "schema": 1,
        "study": start.study,
        "site": start.site,
        "participant": start.participant,
        "device": {name: value for name, value in device.items() if value is not None},
        "started_at": moment(start.started_at),
        "status": "in_progress",
        "tasks": [],
        **{name: value for name, value in optional.items() if value is not None},
    }


def with_task_run(document: Document, task_run: Mapping[str, Any]) -> Document:
    """With this task run (`task`, `run`, `trials`, …). Raises Ended."""
    tasks = list(document.get("tasks", ()))
    key = (task_run["task"], task_run["run"])
    places = [n for n, each in enumerate(tasks) if (each.get("task"), each.get("run")) == key]
    if places and tasks[places[0]] == task_run:
        return document
    if document.get("status") != "in_progress":
        raise Ended
    if places:
        tasks[places[0]] = task_run
    else:
        tasks.append(task_run)
    return {**document, "tasks": tasks}


def ended(document: Document, status: EndStatus, at: datetime) -> Document:
    """Ended at that moment; where it is ended the same way already, the first one counts. Raises Ended."""
    if document.get("status") == status:
        return document
    if document.get("status") != "in_progress":
        raise Ended
    return {**document, "status": status, "ended_at": moment(at)}


def next_revision(document: Document, base: str | None) -> str:
    """`2-…`: of this content after the revision `base`; the same content gives the same revision."""
    number = 0 if base is None else int(base.partition("-")[0])
    content = {name: value for name, value in document.items() if not name.startswith("_rev")}
    digest = hashlib.md5(_encode([base, content]), usedforsecurity=False).hexdigest()
    return f"{number + 1}-{digest}"


def moment(at: datetime) -> str:
    """As documents write times: UTC, `Z`."""
    return str(msgspec.to_builtins(at)).replace("+00:00", "Z")
