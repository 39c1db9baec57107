"""`/api/participants/import` and `/export`: the roster as a file.

| what happens | answer |
|---|---|
| the file is no table of participants | 422, with the line |
| some rows are not taken | 200, `complete` false, nothing is done; with `on_error=skip` the others are |
| somebody creates one of the codes meanwhile | 409 `changed`, nothing is done |
| the connection ends during an export | the file is cut: it has fewer rows |
| a contact cannot be opened during an export | the connection is cut |
"""

from typing import Annotated, Any, Literal

import msgspec
from aiohttp import web
from msgspec import Meta

from reporting.audit import record_entry
from reporting.participants.changing import CreatedMeanwhile, RecordTaken
from reporting.participants.exporting import MEDIA_TYPES, Format, export_lines
from reporting.participants.fates import Report
from reporting.participants.importing import Import, import_participants
from reporting.participants.table_file import CannotRead
from reporting.scope import Scope
from sync_server.api.acts import audited
from sync_server.api.bodies import read_text
from sync_server.api.call import Call, Nothing
from sync_server.api.parameters import Text
from sync_server.api.route import Route, get, post
from sync_server.api.study_rows import require_study
from sync_server.errors import Changed, InvalidRequest, NotAllowed, Unavailable
from sync_server.keys import ENGINE, ERASED, QUESTIONS, SEALER
from sync_server.sealing import CannotOpen

LIMIT = 10 * 1024 * 1024


class ImportQuery(msgspec.Struct, frozen=True, kw_only=True):
    """`reason` is on record with every row; withdrawals need one."""

    study: Text
    dry_run: bool = False
    on_error: Literal["stop", "skip"] = "stop"
    reason: Annotated[str, Meta(min_length=1, max_length=1000)] | None = None


class ExportQuery(msgspec.Struct, frozen=True, kw_only=True):
    """`contact=true` adds the contacts, for those who may read them."""

    study: Text
    format: Format = "csv"
    contact: bool = False


async def import_roster(call: Call[ImportQuery, Nothing]) -> Report:
    """Import a CSV file of participants: code, site, status, language, enrolled_on, redcap_id, contact_….

    Every row's fate is told. All rows are taken or none, unless `on_error=skip`; `dry_run=true` changes
    nothing and answers the same.
    """
    query, app = call.query, call.request.app
    scope = call.caller.scope("participants.write")
    if not scope.sees_study(query.study):
        call.caller.require("participants.write", query.study)
    await require_study(call, query.study)
    # A page has read its request: it gives the text.
    given: Any = call.body
    text = given if isinstance(given, str) else await read_text(call.request, "text/csv", limit=LIMIT)
    wanted = Import(
        study=query.study,
        text=text,
        reason=query.reason,
        dry_run=query.dry_run,
        skip=query.on_error == "skip",
        may_write=lambda site: scope.covers(query.study, site),
        is_erased=lambda code: app[ERASED].knows_subject(query.study, code),
        seal=app[SEALER].seal,
        unseal=app[SEALER].open,
    )

    def entry(**about: Any) -> Any:
        about |= {"entity": "participant", "reason": query.reason}
        return audited(call.request, call.caller.person, **about)

    try:
        told = await import_participants(call.connection, wanted, entry)
    except CannotRead as error:
        raise InvalidRequest(str(error)) from error
    except (CreatedMeanwhile, RecordTaken) as error:
        raise Changed("The roster was changed meanwhile: import it again.") from error
    except CannotOpen as error:
        raise Unavailable("Contacts were sealed with a key that this server does not have.") from error
    if told.complete and not told.dry_run:
        await call.record(
            "participants.import",
            "study",
            query.study,
            study=query.study,
            reason=query.reason,
            after=told.counts,
        )
    return told


async def export_roster(call: Call[ExportQuery, Nothing]) -> web.StreamResponse:
    """The roster of a study as CSV or NDJSON, streamed; on record. 429 while too many of yours are sent.

    In CSV a cell that a spreadsheet would take for a formula has an apostrophe before it; an import takes it
    away again.
    """
    query = call.query
    scope = call.caller.scope("participants.export")
    if not scope.sees_study(query.study):
        call.caller.require("participants.export", query.study)
    await require_study(call, query.study)
    if query.contact and not _may_read_contacts(call):
        raise NotAllowed("Your role does not allow reading all these contacts (participants.contact).")
    # It holds a connection for as long as its reader takes: who reads slowly must not come to hold them all.
    with call.request.app[QUESTIONS].at_work(call.caller.person.id):
        return await _send_roster(call, scope)


async def _send_roster(call: Call[ExportQuery, Nothing], scope: Scope) -> web.StreamResponse:
    query = call.query
    entry = audited(
        call.request,
        call.caller.person,
        action="participants.export",
        entity="study",
        entity_id=query.study,
        study=query.study,
        after={"format": query.format, "contact": query.contact},
    )
    async with call.request.app[ENGINE].begin() as connection:
        await connection.execute(record_entry(entry))
    response = web.StreamResponse(headers={"Content-Disposition": "attachment; filename=participants"})
    response.content_type, response.charset = MEDIA_TYPES[query.format], "utf-8"
    await response.prepare(call.request)
    unseal = call.request.app[SEALER].open if query.contact else None
    async for piece in export_lines(call.connection, query.study, scope, query.format, unseal):
        await response.write(piece.encode())
    await response.write_eof()
    return response


def _may_read_contacts(call: Call[ExportQuery, Nothing]) -> bool:
    """Whether the caller may read the contact of everybody that would be exported."""
    study = call.query.study
    reads = call.caller.scope("participants.contact")
    parts = [part for part in call.caller.scope("participants.export").parts if part.study in (None, study)]
    return all(reads.covers(study, part.site) for part in parts)


BULK_ROUTES: list[Route] = [
    post(
        "/api/participants/import",
        import_roster,
        right="participants.write",
        consumes="text/csv",
        limit=LIMIT,
        errors=(409, 415),
    ),
    get("/api/participants/export", export_roster, right="participants.export", produces="text/csv"),
]
