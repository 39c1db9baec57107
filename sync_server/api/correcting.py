"""Writing a correction: based on what rows and site database both say, or not at all.

A correction is a document in the site database, so no transaction holds it together with what the person has
looked at. Its number does: it is the next after all that rows know of, and the site database refuses a second
document of that id.

| what happens | outcome |
|---|---|
| the site database has a correction of the session that rows do not know yet | 409, nothing written |
| the session waits to be projected again | 409, nothing written |
| two people (or one, twice) at the same moment | one is written; the other is told 409 |
| the site database is away, or its answer is lost | 503; where it was stored after all, it is projected |
| the process dies, or Postgres goes away, after it was stored | the projector writes the audit entry |
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec
import sqlalchemy.exc
import structlog
from aiohttp import web

from reporting.audit import record_entry
from reporting.documents.corrections import correction_id
from reporting.documents.kinds import SCHEMA, Correction, Invalid
from reporting.documents.text import MAX_KEY_CHARACTERS, REPLACEMENT, key_text
from reporting.documents.validate import validate
from reporting.projection.correction_rows import audit_entry
from reporting.queries.corrections import next_number, read_corrections
from reporting.queries.snapshot import snapshot
from reporting.scope import Scope
from reporting.sites import database_of
from sync_server.caller_address import caller_address
from sync_server.errors import Changed, InvalidRequest
from sync_server.identity.access_tokens import Person
from sync_server.identity.callers import Caller
from sync_server.keys import CORRECTION_WRITER, ENGINE
from sync_server.policy import RIGHTS
from sync_server.request_ids import REQUEST_ID

log = structlog.get_logger()


class Standing(NamedTuple):
    """A session as rows and site database agree on it: what applies, and the next number."""

    site: str
    session: str
    corrections: list[Correction]
    number: int


class Written(msgspec.Struct, frozen=True):
    """A correction in the site database."""

    id: str
    rev: str


async def standing(request: web.Request, site: str, session: str) -> Standing:
    """What a new correction of the session is based on. Ask *before* reading what the person decides about:
    what is read afterwards is at least as new.

    Raises Changed, InvalidRequest, StoreUnreachable.
    """
    if REPLACEMENT in session or len(key_text(correction_id(session, 2**31 - 1))) > MAX_KEY_CHARACTERS - 1:
        raise InvalidRequest(f"Session {session} has an id that no correction can name.")
    stored = await request.app[CORRECTION_WRITER].corrections(database_of(site), session)
    async with snapshot(request.app[ENGINE]) as connection:
        number = await next_number(connection, site, session, stored)
        corrections = await read_corrections(connection, site, session)
    if number is None:
        raise Changed(
            f"Session {session} was corrected and is being projected again: look again in a moment."
        )
    return Standing(site, session, corrections, number)


def draft(
    request: web.Request, person: Person, based_on: Standing, *, reason: str, **members: Any
) -> tuple[dict[str, Any], Correction]:
    """The document of a new correction, and the correction that it is; `members` are those of its kind.

    Raises InvalidRequest for one that would be quarantined.
    """
    document: dict[str, Any] = {
        "_id": correction_id(based_on.session, based_on.number),
        "type": "correction",
        "schema": SCHEMA,
        "site": based_on.site,
        "session": based_on.session,
        "reason": reason,
        "author": person.email,
        "role": person.role,
        "made_at": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "request_id": request[REQUEST_ID],
    }
    try:
        document |= msgspec.to_builtins(members)
        body = msgspec.json.encode(document)
    except RecursionError as error:
        # What a decoder has just taken an encoder may not, further down the stack.
        raise InvalidRequest("It is nested too deeply to be stored.") from error
    found = validate(document["_id"], body, site=based_on.site)
    if isinstance(found, Correction):
        return document, found
    problem = found if isinstance(found, Invalid) else Invalid("type_mismatch", "$.type", "No correction.")
    raise InvalidRequest(problem.message, details={"code": problem.code, "path": problem.path})


def acting(caller: Caller, *, study: str | None, site: str) -> Person:
    """The caller, with the role by which they decide about results there. Raises NotAllowed, NotFound."""
    if study is None:
        caller.require_at_site("results.decide", site)
    else:
        caller.require("results.decide", study, site)
    for grant in caller.grants:
        own = Scope((grant.part,)) if grant.role in RIGHTS["results.decide"] else Scope(())
        if own.covers_site(site) if study is None else own.covers(study, site):
            return msgspec.structs.replace(caller.person, role=grant.role)
    return caller.person


async def write(
    request: web.Request,
    site: str,
    document: Mapping[str, Any],
    correction: Correction,
    *,
    study: str | None,
) -> Written:
    """Store a correction and record the act. Raises Changed, StoreUnreachable."""
    rev = await request.app[CORRECTION_WRITER].write(database_of(site), document)
    if rev is None:
        raise Changed(f"Session {correction.session} was corrected meanwhile: look again in a moment.")
    entry = msgspec.structs.replace(
        audit_entry(site, key_text(rev), correction, address=caller_address(request)), study=study
    )
    try:
        async with request.app[ENGINE].begin() as connection:
            await connection.execute(record_entry(entry))
    except sqlalchemy.exc.DBAPIError as error:
        log.warning("audit entry left to the projector", source=entry.source, error=str(error.orig))
    return Written(document["_id"], rev)
