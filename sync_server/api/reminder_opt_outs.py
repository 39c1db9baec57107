"""Who wants no reminders: as the team notes it, and as participants say by the link in their mails.

The link opens a page that asks; nothing is changed by looking at it, since mail programs and their guards
do. A POST ends reminders: the page's, or the mail program's own (`List-Unsubscribe=One-Click`, RFC 8058).
What was planned is cancelled in the same transaction; what is being sent at that moment may still arrive.

| what happens | answer |
|---|---|
| a token that is none of ours | 404 |
| the participant was erased meanwhile | 404 |
| a POST of another body, or none | the reminder's channel ends |
| said again | the same answer; who said so first counts |
"""

from datetime import UTC, datetime
from typing import Annotated, Any, Final, Literal

import msgspec
from aiohttp import web
from msgspec import Meta
from sqlalchemy.ext.asyncio import AsyncConnection

from reporting.audit import AuditEntry, record_entry
from reporting.reminders.planning import replanned
from reporting.reminders.rows import (
    OPT_OUT_KEY,
    OPT_OUT_SORTABLE,
    OptOutRow,
    opt_in,
    opt_out,
    select_opt_outs,
    select_recipient,
)
from reporting.reminders.schedule import CHANNELS
from reporting.scope import EVERYTHING
from reporting.steps import perform
from reporting.tables import reminder_opt_outs
from reporting.visits.listing import select_of_participant
from reporting.visits.statements import lock_participants
from sync_server.api.acts import Reason
from sync_server.api.bodies import read_loose_form
from sync_server.api.call import Call, ListQuery, Nothing, PageOf
from sync_server.api.parameters import Text, read_query
from sync_server.api.reminder_rules import require_seen
from sync_server.api.route import Route, delete, get, plain, put
from sync_server.caller_address import caller_address
from sync_server.errors import InvalidRequest, NotFound
from sync_server.keys import ENGINE, SEALER
from sync_server.opt_out_links import PATH, is_token_of, named_reminder
from sync_server.request_ids import REQUEST_ID

FORM_LIMIT: Final = 4096

_HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; "
    "frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}

_PAGE: Final = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
<title>Reminders</title>
<style>body {{ font: 1.1em sans-serif; max-width: 36em; margin: 2em auto; padding: 0 1em }}
button {{ font: inherit; padding: .5em 1em }}</style>
{content}
</html>
"""
_ASK: Final = """<h1>No more reminders?</h1>
<p>You will not be reminded of your visits any more.
<p lang="fr">Vous ne recevrez plus de rappels de vos visites.
<form method="post">
<input type="hidden" name="channel" value="all">
<button>No more reminders · <span lang="fr">Plus de rappels</span></button>
</form>"""
_DONE: Final = """<h1>Done</h1>
<p>You will get no more reminders. If you change your mind, tell your study team.
<p lang="fr">Vous ne recevrez plus de rappels. Si vous changez d'avis, dites-le à votre équipe d'étude."""


class OptOutsQuery(ListQuery, frozen=True, kw_only=True):
    """Of one participant, or of all."""

    participant: Text | None = None


class OptOutQuery(msgspec.Struct, frozen=True, kw_only=True):
    """The token of the link."""

    token: Annotated[str, Meta(min_length=1, max_length=200)]


class OptOutForm(msgspec.Struct, frozen=True, kw_only=True, rename={"one_click": "List-Unsubscribe"}):
    """`channel`: `all`; without it only that of the reminder."""

    channel: Literal["all"] | None = None
    one_click: Annotated[str, Meta(max_length=100)] | None = None


class OptingIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Why they are to be reminded again: participants' own words count."""

    reason: Reason


async def list_opt_outs(call: Call[OptOutsQuery, Nothing]) -> PageOf[OptOutRow]:
    """Participants of a study who want no reminders, by which channel, and who said so."""
    matching = select_opt_outs(require_seen(call), call.caller.scope("visits.read"), call.query.participant)
    return await call.page(OptOutRow, matching, sortable=OPT_OUT_SORTABLE, key=OPT_OUT_KEY)


async def put_opt_out(call: Call[Nothing, Nothing]) -> OptOutRow:
    """Note that a participant wants no reminders by a channel, or by `all`; what was planned is cancelled."""
    study, participant, channel, site = await _named(call)
    await call.connection.execute(opt_out(study, participant, channel, call.caller.person.email))
    await _follow(call.connection, study, participant)
    about = f"{study}/{participant}"
    await call.record(
        "reminder.opt_out", "participant", about, study=study, site=site, after={"channel": channel}
    )
    out = reminder_opt_outs.c
    found = select_opt_outs(study, EVERYTHING).where(out.participant == participant, out.channel == channel)
    return OptOutRow(*(await call.connection.execute(found)).one())


async def delete_opt_out(call: Call[Nothing, OptingIn]) -> None:
    """Remind a participant again, who has asked for it."""
    study, participant, channel, site = await _named(call)
    said_by = await call.connection.scalar(opt_in(study, participant, channel))
    if said_by is None:
        raise NotFound(f"{participant} has not opted out of {channel}.")
    await _follow(call.connection, study, participant)
    await call.record(
        "reminder.opt_in",
        "participant",
        f"{study}/{participant}",
        study=study,
        site=site,
        reason=call.body.reason,
        before={"channel": channel, "by_whom": said_by},
    )


async def show_opt_out(request: web.Request) -> web.Response:
    """The page behind the link in a reminder: it asks whether to end them, and changes nothing."""
    async with request.app[ENGINE].connect() as connection:
        await _of_link(connection, request)
    return _page(_ASK)


async def take_opt_out(request: web.Request) -> web.Response:
    """End reminders, as a participant says by the link in one of theirs. Needs no login."""
    # Mail programs send a form in parts, or URL-encoded: whatever it is, somebody wants no reminders.
    is_all = ("channel", "all") in await read_loose_form(request, limit=FORM_LIMIT)
    async with request.app[ENGINE].begin() as connection:
        study, participant, *_ = await _of_link(connection, request)
        await connection.execute(lock_participants([(study, participant)]))
        # They may have been erased, or moved, until the lock was there.
        study, participant, own_channel, site = await _of_link(connection, request)
        channel = "all" if is_all else own_channel
        said = await connection.scalar(opt_out(study, participant, channel, "participant"))
        if said is None:
            # Said already, however often the link is followed: nothing is left to do or to record.
            return _page(_DONE)
        await _follow(connection, study, participant)
        entry = AuditEntry(
            actor="reminder link",
            actor_kind="process",
            action="reminder.opt_out",
            entity="participant",
            entity_id=f"{study}/{participant}",
            study=study,
            site=site,
            after={"channel": channel},
            request_id=request[REQUEST_ID],
            address=caller_address(request),
        )
        await connection.execute(record_entry(entry))
    return _page(_DONE)


async def _of_link(connection: AsyncConnection, request: web.Request) -> tuple[str, str, str, str | None]:
    """Study, participant, channel and site of the reminder whose link this is. Raises NotFound."""
    token = read_query(request, OptOutQuery).token
    number = named_reminder(token)
    row = (await connection.execute(select_recipient(number))).one_or_none()
    if row is None or number is None or not is_token_of(request.app[SEALER], token, number, *row[:2]):
        raise NotFound("There is no such link.")
    study, participant, channel, site = row
    return study, participant, channel, site


def _page(content: str) -> web.Response:
    return web.Response(text=_PAGE.format(content=content), content_type="text/html", headers=_HEADERS)


async def _named(call: Call[Any, Any]) -> tuple[str, str, str, str | None]:
    """Study, participant, channel and the participant's site; they are locked. Raises NotFound, NotAllowed,
    InvalidRequest.
    """
    study, participant, channel = (call.path(name) for name in ("study", "participant", "channel"))
    await call.connection.execute(lock_participants([(study, participant)]))
    person = (await call.connection.execute(select_of_participant(study, participant))).one_or_none()
    if person is None or not call.caller.scope("participants.read").covers(study, person[0]):
        raise NotFound(f"There is no participant {participant} in {study}.")
    call.caller.require("participants.write", study, person[0])
    if channel not in (*CHANNELS, "all"):
        known = ", ".join((*CHANNELS, "all"))
        raise InvalidRequest(f"A channel is one of {known}.", details={"path": "channel"})
    return study, participant, channel, person[0]


async def _follow(connection: AsyncConnection, study: str, participant: str) -> None:
    await connection.run_sync(perform, replanned(study, [participant], datetime.now(UTC)))


_LIST = "/api/schedules/reminders/{study}/opt-outs"
_ONE = f"{_LIST}/{{participant}}/{{channel}}"
_FORM = "application/x-www-form-urlencoded"

ROUTES: list[Route] = [
    plain("GET", PATH, show_opt_out, right="public", query=OptOutQuery, produces="text/html"),
    plain(
        "POST",
        PATH,
        take_opt_out,
        right="public",
        query=OptOutQuery,
        body=OptOutForm,
        consumes=_FORM,
        produces="text/html",
        limit=FORM_LIMIT,
        repeatable=True,
    ),
    get(_LIST, list_opt_outs, right="visits.read"),
    put(_ONE, put_opt_out, right="participants.write"),
    delete(_ONE, delete_opt_out, right="participants.write", status=204),
]
