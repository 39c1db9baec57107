"""`/api/redcap/sessions`: how far each session is on its way to REDCap, what was tried, and trying it again.

| what happens | answer |
|---|---|
| a session is tried again that is on its way | 200: what it is by then is brought about, once |
| … that is retired | 409 `not_possible`: it is not to be in REDCap, or is there as another record |
"""

from typing import Any

from reporting.redcap.desk_rows import (
    AttemptView,
    LedgerState,
    SessionView,
    select_sessions,
    select_tried,
)
from reporting.redcap.requests import push_again
from reporting.tables import redcap_attempts, redcap_ledger
from sync_server.api.call import Call, ListQuery, Nothing, PageOf
from sync_server.api.parameters import Text
from sync_server.api.route import Route, get, post
from sync_server.errors import NotFound, NotPossible
from sync_server.policy import Right

_l = redcap_ledger.c


class SessionQuery(ListQuery, frozen=True, kw_only=True):
    """`state` parked: a person has to look; `reason` says at what."""

    study: Text | None = None
    site: Text | None = None
    project: Text | None = None
    state: LedgerState | None = None
    participant: Text | None = None
    record: Text | None = None
    form: Text | None = None
    session: Text | None = None


async def list_sessions(call: Call[SessionQuery, Nothing]) -> PageOf[SessionView]:
    """Sessions in REDCap or on their way: state, reason, address there, and their jobs; newest first.

    Sorted by `id`, `record` or `updated_at`.
    """
    query = call.query
    matching = select_sessions(
        call.caller.scope("redcap.read"),
        study=query.study,
        site=query.site,
        project=query.project,
        state=query.state,
        participant=query.participant,
        record=query.record,
        form=query.form,
        session=query.session,
    )
    sortable = {name: _l[name] for name in ("id", "record", "updated_at")}
    return await call.page(SessionView, matching, sortable=sortable, key=[_l.id.desc()])


async def get_session(call: Call[Nothing, Nothing]) -> SessionView:
    """One of them."""
    return await _session(call, "redcap.read")


async def list_tried(call: Call[ListQuery, Nothing]) -> PageOf[AttemptView]:
    """What was tried for a session, newest first: what REDCap had, what was sent, what came back."""
    row = await _session(call, "redcap.read")
    a = redcap_attempts.c
    return await call.page(AttemptView, select_tried(row.id), sortable={"id": a.id}, key=[a.id.desc()])


async def retry_session(call: Call[Nothing, Nothing]) -> SessionView:
    """Have a session tried again now, as one does when the cause of its being parked is mended."""
    before = await _session(call, "redcap.manage")
    if before.state == "retired":
        raise NotPossible(f"It is retired: {before.reason or 'it is not to be in REDCap'}.")
    await call.connection.execute(push_again([(before.study, before.site, before.session)]))
    await call.record(
        "redcap_session.retry",
        "redcap_session",
        str(before.id),
        study=before.study,
        site=before.site,
        before={"session": before.session, "state": before.state, "reason": before.reason},
    )
    return await _session(call, "redcap.manage")


async def _session(call: Call[Any, Any], right: Right) -> SessionView:
    matching = select_sessions(call.caller.scope(right)).where(_l.id == call.number("id"))
    row = (await call.connection.execute(matching)).one_or_none()
    if row is None:
        raise NotFound(f"There is no session {call.path('id')[:40]} on its way to REDCap.")
    return SessionView(*row)


_PATH = "/api/redcap/sessions"

ROUTES: list[Route] = [
    get(_PATH, list_sessions, right="redcap.read"),
    get(f"{_PATH}/{{id}}", get_session, right="redcap.read"),
    get(f"{_PATH}/{{id}}/attempts", list_tried, right="redcap.read"),
    post(f"{_PATH}/{{id}}/retry", retry_session, right="redcap.manage", errors=(409,)),
]
