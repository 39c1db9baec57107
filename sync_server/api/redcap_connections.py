"""`/api/redcap/connections`: which REDCap project a study's sessions go to, and with which token.

A token is taken and never shown. It is given for one URL: whoever changes the URL gives the token again, so
that it is sent to nobody it was not given for.

| what happens | answer |
|---|---|
| the study, or that site of it, has one | 409 `taken` |
| the study does not run at the site | 422 |
| another URL without a token | 422 |
| sessions are in another project of the study, and would be in this one too | 409 `not_possible` |
| another token | all sessions are entered again, all records looked at: it may be another project |
| REDCap does not answer when it is tested | 200, `works` false and why: the test is what was asked for |
"""

from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from reporting.redcap.connection_rows import (
    ConnectionRow,
    delete_connection,
    insert_connection,
    look_at_all,
    select_connections,
    select_in_another_project,
    select_running_at,
    select_sealed,
    update_connection,
)
from reporting.redcap.projects import select_mapping
from reporting.redcap.requests import resync
from reporting.tables import redcap_connections
from sync_server.api.call import Call, ListQuery, Nothing, PageOf
from sync_server.api.names import SiteCode, StudyCode
from sync_server.api.parameters import Text
from sync_server.api.redcap_parts import redcaps_of
from sync_server.api.route import Route, delete, get, patch, post
from sync_server.api.study_rows import require_study
from sync_server.errors import InvalidRequest, NotFound, NotPossible, Taken
from sync_server.keys import SEALER, SETTINGS
from sync_server.policy import Right
from sync_server.redcap.connections import Chosen, reach_of
from sync_server.redcap.given_connection import ApiUrl, Refused, Token, api_url
from sync_server.redcap.study_connections import ask_about

_c = redcap_connections.c


class ConnectionQuery(ListQuery, frozen=True, kw_only=True):
    """Of one study."""

    study: Text | None = None


class NewConnection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`site`: the connection is this site's own; without it, of all sites that have none."""

    study: StudyCode
    url: ApiUrl
    token: Token
    site: SiteCode | None = None


class ConnectionChanges(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is given is changed. Another `url` takes the `token` with it."""

    url: ApiUrl | UnsetType = UNSET
    token: Token | UnsetType = UNSET


class ConnectionTest(msgspec.Struct, frozen=True, kw_only=True):
    """What the project is; `problem` where that could not be told."""

    works: bool
    problem: str | None = None
    title: str | None = None
    redcap_version: str | None = None
    record_id: str | None = None
    forms: list[str] = []
    fields: int | None = None
    events: list[str] = []
    repeats: list[str] = []


async def list_connections(call: Call[ConnectionQuery, Nothing]) -> PageOf[ConnectionRow]:
    """Connections to REDCap, without their tokens. Sorted by `id`, `study` or `site`."""
    matching = select_connections(call.caller.scope("redcap.read"), study=call.query.study)
    sortable = {name: _c[name] for name in ("id", "study", "site")}
    return await call.page(ConnectionRow, matching, sortable=sortable, key=[_c.id])


async def create_connection(call: Call[Nothing, NewConnection]) -> ConnectionRow:
    """Connect a study, or one site of it, with a REDCap project. The token is kept sealed."""
    body = call.body
    call.caller.require("redcap.manage", body.study, body.site)
    await require_study(call, body.study)
    if body.site is not None and not await call.connection.scalar(select_running_at(body.study, body.site)):
        raise InvalidRequest(f"{body.study} does not run at {body.site}.", details={"path": "$.site"})
    there = await call.connection.scalar(select_in_another_project(body.study, body.site).limit(1))
    if there is not None:
        raise NotPossible(
            f"Sessions are in {there}: by this connection they would be in REDCap twice.",
            details={"path": "$.site"},
        )
    made = (
        await call.connection.execute(
            insert_connection(
                {
                    "study": body.study,
                    "site": body.site,
                    "url": _url(call, body.url),
                    "token": call.request.app[SEALER].seal(body.token),
                    "created_by": call.caller.person.email,
                }
            )
        )
    ).one_or_none()
    if made is None:
        whose = body.study if body.site is None else f"{body.site} in {body.study}"
        raise Taken(f"{whose} has a connection already: change that one.")
    row = ConnectionRow(*made)
    await _record(call, "redcap_connection.create", row, after=_told(row))
    return row


async def get_connection(call: Call[Nothing, Nothing]) -> ConnectionRow:
    """One connection."""
    return await _connection(call, "redcap.read")


async def change_connection(call: Call[Nothing, ConnectionChanges]) -> ConnectionRow:
    """Change its token; or its URL, with the token for it."""
    before = await _connection(call, "redcap.manage", lock=True)
    call.match(before.row_version)
    body = call.body
    changes: dict[str, Any] = {}
    if body.url is not UNSET:
        url = _url(call, body.url)
        if url != before.url:
            changes["url"] = url
            if body.token is UNSET:
                raise InvalidRequest(
                    "token: It was given for another URL: give it again.", details={"path": "$.token"}
                )
    if body.token is not UNSET:
        changes["token"] = call.request.app[SEALER].seal(body.token)
    if not changes:
        return before
    after = ConnectionRow(*(await call.connection.execute(update_connection(before.id, changes))).one())
    # A token is one project's: it may be another one, or one that was restored.
    await call.connection.execute(look_at_all(before.study, before.site))
    if await call.connection.scalar(select_mapping(before.study)) is not None:
        await call.connection.execute(resync(before.study, site=before.site))
    told = {**_told(after), "token_changed": "token" in changes}
    await _record(call, "redcap_connection.update", after, before=_told(before), after=told)
    return after


async def remove_connection(call: Call[Nothing, Nothing]) -> None:
    """Delete a connection. What is in REDCap stays, and so does the ledger of it."""
    before = await _connection(call, "redcap.manage", lock=True)
    call.match(before.row_version)
    await call.connection.execute(delete_connection(before.id))
    await _record(call, "redcap_connection.delete", before, before=_told(before))


async def try_connection(call: Call[Nothing, Nothing]) -> ConnectionTest:
    """Ask REDCap what the project is, with the token: nothing is written there.

    Whether the token's user may import is not told by REDCap beforehand: the first push says so.
    """
    row = await _connection(call, "redcap.manage")
    sealed = (await call.connection.execute(select_sealed(row.id))).scalar_one()
    await call.connection.rollback()
    about = await ask_about(Chosen(row.url, row.site, sealed=sealed), redcaps_of(call))
    works = not isinstance(about, str)
    await _record(call, "redcap_connection.test", row, after={"works": works})
    await call.connection.commit()
    if isinstance(about, str):
        return ConnectionTest(works=False, problem=about)
    dictionary = about.dictionary
    return ConnectionTest(
        works=True,
        title=about.title,
        redcap_version=about.version,
        record_id=dictionary.record_id,
        forms=list(dictionary.forms),
        fields=len(dictionary.fields),
        events=[event.name for event in dictionary.events],
        repeats=sorted({each.form or each.event for each in dictionary.repeats}),
    )


async def _connection(call: Call[Any, Any], right: Right, *, lock: bool = False) -> ConnectionRow:
    statement = select_connections(call.caller.scope(right)).where(_c.id == call.number("id"))
    row = (await call.connection.execute(statement.with_for_update() if lock else statement)).one_or_none()
    if row is None:
        raise NotFound(f"There is no connection {call.path('id')[:40]}.")
    return ConnectionRow(*row)


def _url(call: Call[Any, Any], given: str) -> str:
    try:
        return api_url(given, reach_of(call.request.app[SETTINGS]))
    except Refused as error:
        raise InvalidRequest(f"url: {error}", details={"path": "$.url"}) from error


def _told(row: ConnectionRow) -> dict[str, Any]:
    return {"url": row.url, "site": row.site}


async def _record(call: Call[Any, Any], action: str, row: ConnectionRow, **about: Any) -> None:
    await call.record(action, "redcap_connection", str(row.id), study=row.study, site=row.site, **about)


_PATH = "/api/redcap/connections"

ROUTES: list[Route] = [
    get(_PATH, list_connections, right="redcap.read"),
    post(_PATH, create_connection, right="redcap.manage", status=201, errors=(409,)),
    get(f"{_PATH}/{{id}}", get_connection, right="redcap.read"),
    patch(f"{_PATH}/{{id}}", change_connection, right="redcap.manage", errors=(412, 428)),
    post(f"{_PATH}/{{id}}/test", try_connection, right="redcap.manage", transaction=False),
    delete(f"{_PATH}/{{id}}", remove_connection, right="redcap.manage", status=204, errors=(412, 428)),
]
