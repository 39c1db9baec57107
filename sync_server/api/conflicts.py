"""`/api/conflicts`: what leaves contradict each other in, and a person's decision. Coordinators and admins
decide; any person may read.

| asked to resolve | answer |
|---|---|
| contradictions | a `resolution` with all values that were seen |
| an outdated patch: `winner` keeps its value, `other` takes the tablet's | a `patch` against the latter |
| both at once | one of each; where the second fails, the first stands |
| `dry_run` | 200 and the values that would stand; nothing is written |
| another winner, or other leaves, than were looked at | 409 `changed` |
| nothing that is undecided | 409 `already_done` |
| a path that is not listed, or a choice without a value | 422 |
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal

import msgspec
from aiohttp import web
from msgspec import Meta
from sqlalchemy.ext.asyncio import AsyncConnection

from reporting.documents.kinds import Correction
from reporting.documents.merge import Contradiction
from reporting.documents.patches import base_of, patched_members, spell_path, value_at
from reporting.documents.resolutions import UnknownChoice, decide
from reporting.queries.conflicts import (
    UNDECIDED,
    ConflictFilter,
    ConflictRow,
    ConflictState,
    SessionConflicts,
    list_conflicts,
)
from reporting.queries.snapshot import Page, snapshot
from reporting.scope import Scope
from reporting.sites import database_of
from sync_server.api.acts import Name, Reason
from sync_server.api.answers import answer, page_of
from sync_server.api.bodies import read_json
from sync_server.api.call import Call, Nothing, PageOf
from sync_server.api.correcting import Standing, Written, acting, draft, standing, write
from sync_server.api.names import storable
from sync_server.api.parameters import PageQuery, Text
from sync_server.api.route import get, plain
from sync_server.errors import AlreadyDone, Ambiguous, Changed, InvalidRequest, NotFound
from sync_server.identity.callers import Caller
from sync_server.identity.principals import CALLER
from sync_server.keys import CORRECTION_WRITER, ENGINE

_BODY_LIMIT = 1024 * 1024
_SITES_SHOWN = 100


class ConflictsQuery(PageQuery, frozen=True, kw_only=True):
    """Without `state`: sessions with something `open` or `outdated`."""

    site: Text | None = None
    session: Text | None = None
    state: ConflictState | None = None


class SessionQuery(msgspec.Struct, frozen=True, kw_only=True):
    """`site` is needed where the id has conflicts in more than one."""

    site: Text | None = None


class Decision(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`rev` is the winner that was looked at; `leaves`, where given, all leaves that were.

    Either `choose` says for each path `winner`, `other` or a revision, or `accept` takes the union as it is:
    the winner's value everywhere.
    """

    reason: Reason
    rev: Name
    site: Name | None = None
    choose: Annotated[dict[str, str], Meta(min_length=1, max_length=10_000)] | None = None
    accept: Literal["union"] | None = None
    leaves: list[str] | None = None
    dry_run: bool = False


class Corrections(msgspec.Struct, frozen=True):
    """What was written."""

    corrections: list[Written]


class DecidedValue(msgspec.Struct, frozen=True):
    """The value that would stand at a path; null: the member is taken away."""

    path: str
    value: Any


class Decided(msgspec.Struct, frozen=True):
    """What would stand, by path."""

    values: list[DecidedValue]


async def get_conflicts(call: Call[ConflictsQuery, Nothing]) -> PageOf[SessionConflicts]:
    """List sessions with something to decide, by site and session."""
    query = call.query
    states = UNDECIDED if query.state is None else (query.state,)
    wanted = ConflictFilter(site=query.site, session=query.session, states=states)
    page, scope = query.wanted_page, call.caller.scope("results.read")
    listed = await list_conflicts(call.connection, wanted, page, scope)
    return PageOf(listed.rows, page_of(listed, page))


async def get_conflict(call: Call[SessionQuery, Nothing]) -> SessionConflicts:
    """Read the conflicts of a session, whatever their state."""
    scope = call.caller.scope("results.read")
    return await _conflicts_of(call.connection, call.path("session"), call.query.site, scope)


async def resolve(request: web.Request) -> web.Response:
    """Decide conflicts of a session; answers with the corrections that were written.

    With `dry_run`, only say which values would stand (200).
    """
    decision = await read_json(request, Decision, limit=_BODY_LIMIT, any_text=True)
    return await _resolve(request, request[CALLER], request.match_info["session"], decision)


async def resolve_by_page(call: Call[Nothing, Decision]) -> web.Response:
    """The same, asked by a page of this process."""
    return await _resolve(call.request, call.caller, call.path("session"), call.body)


async def _resolve(request: web.Request, caller: Caller, named: str, decision: Decision) -> web.Response:
    if (decision.choose is None) == (decision.accept is None):
        raise InvalidRequest("Say either `choose` or `accept`.")
    engine = request.app[ENGINE]
    session, scope = storable(named), caller.scope("results.read")
    async with snapshot(engine) as connection:
        site = None if decision.site is None else storable(decision.site)
        found = await _conflicts_of(connection, session, site, scope)
    study = found.study
    person = acting(caller, study=study, site=found.site)
    based_on = await standing(request, found.site, found.session)
    async with snapshot(engine) as connection:
        found = await _conflicts_of(connection, found.session, found.site, scope)
    choices = _choices(found, decision)
    patches = {each.id: each for each in based_on.corrections if each.kind == "patch"}
    outdated = [row for row in found.conflicts if row.other_rev in patches and row.path in choices]
    others = [row for row in found.conflicts if row.other_rev not in patches and row.path in choices]
    _refuse_unlisted(choices, (*outdated, *others))
    drafts: list[tuple[dict[str, Any], Correction]] = []
    if others:
        chosen = {row.path: choices[row.path] for row in others}
        try:
            values = decide([_contradiction(row) for row in others], chosen)
        except UnknownChoice as error:
            raise InvalidRequest(str(error)) from error
        drafts.append(
            draft(request, person, based_on, reason=decision.reason, kind="resolution", values=values)
        )
    if outdated:
        members = await _patch_again(request, based_on, outdated, choices, patches)
        next_one = based_on._replace(number=based_on.number + len(drafts))
        drafts.append(draft(request, person, next_one, reason=decision.reason, kind="patch", **members))
    if decision.dry_run:
        return answer(Decided(sorted(_decided(drafts), key=lambda each: each.path)))
    written: list[Written] = []
    for document, correction in drafts:
        written.append(await write(request, found.site, document, correction, study=study))
    return answer(Corrections(written), status=201)


def _decided(drafts: Sequence[tuple[dict[str, Any], Correction]]) -> Iterator[DecidedValue]:
    for _, correction in drafts:
        for resolved in correction.values:
            yield DecidedValue(resolved.path, resolved.value)
        for members, value in patched_members(correction.patch):
            yield DecidedValue(spell_path(members), value)


async def _conflicts_of(
    connection: AsyncConnection, session: str, site: str | None, scope: Scope
) -> SessionConflicts:
    """Raises NotFound or Ambiguous."""
    wanted = ConflictFilter(site=site, session=session, states=None)
    # Postgres text holds no NUL, so no session has such an id.
    nowhere = "\0" in session or "\0" in (site or "")
    page = Page(1, _SITES_SHOWN)
    listed = [] if nowhere else (await list_conflicts(connection, wanted, page, scope)).rows
    if not listed:
        where = "" if site is None else f" in site {site}"
        raise NotFound(f"There is no conflict of a session {session}{where}.")
    if len(listed) > 1:
        raise Ambiguous(
            f"Session {session} has conflicts in {len(listed)} sites: say which with `site`.",
            details={"sites": [each.site for each in listed]},
        )
    return listed[0]


def _choices(found: SessionConflicts, decision: Decision) -> Mapping[str, str]:
    """What is chosen for each path that is undecided. Raises Changed, AlreadyDone."""
    if decision.rev != found.rev or (
        decision.leaves is not None and sorted(decision.leaves) != sorted(found.leaves)
    ):
        raise Changed(
            f"Session {found.session} was saved again meanwhile: look again.",
            details={"rev": found.rev, "leaves": found.leaves},
        )
    undecided = {row.path for row in found.conflicts if row.state in UNDECIDED}
    chosen = decision.choose if decision.choose is not None else dict.fromkeys(sorted(undecided), "winner")
    listed = {row.path for row in found.conflicts}
    if not undecided or (listed >= chosen.keys() and not undecided & chosen.keys()):
        raise AlreadyDone(f"Nothing of that is undecided in session {found.session}.")
    return chosen


def _refuse_unlisted(choices: Mapping[str, str], rows: Iterable[ConflictRow]) -> None:
    unlisted = sorted(choices.keys() - {row.path for row in rows})
    if unlisted:
        raise InvalidRequest(
            f"Not listed as a conflict of this session: {', '.join(unlisted)}.", details={"paths": unlisted}
        )


def _contradiction(row: ConflictRow) -> Contradiction:
    return Contradiction(
        row.path,
        row.winner_rev,
        msgspec.json.decode(row.winner_value),
        row.other_rev,
        msgspec.json.decode(row.other_value),
    )


async def _patch_again(
    request: web.Request,
    based_on: Standing,
    outdated: Sequence[ConflictRow],
    choices: Mapping[str, str],
    patches: Mapping[str, Correction],
) -> dict[str, Any]:
    """`patch` and `base` that stand in for outdated ones.

    Raises Changed, InvalidRequest, StoreUnreachable.
    """
    tablets: dict[str, Any] = {}
    patch: dict[str, Any] = {}
    base: dict[str, Any] = {}
    for row in outdated:
        # Of several leaves, each may be what another value was found in.
        if row.winner_rev not in tablets:
            tablets[row.winner_rev] = await _leaf(request, based_on, row.winner_rev)
        tablet = tablets[row.winner_rev]
        for members, value in patched_members(patches[row.other_rev].patch):
            if spell_path(members) == row.path:
                match choices[row.path]:
                    case "winner" | row.winner_rev:
                        chosen = value
                    case "other" | row.other_rev:
                        chosen = value_at(tablet, members)
                    case choice:
                        raise InvalidRequest(
                            f"{row.path}: {choice} has no value there; choose winner or other."
                        )
                said: dict[str, Any] = {}
                _set(said, members, chosen)
                _set(patch, members, chosen)
                _join(base, base_of(said, tablet))
    return {"patch": patch, "base": base}


async def _leaf(request: web.Request, based_on: Standing, rev: str) -> Any:
    """What a tablet has saved as this revision. Raises Changed, StoreUnreachable."""
    database = database_of(based_on.site)
    body = await request.app[CORRECTION_WRITER].leaf(database, f"session:{based_on.session}", rev)
    if body is None:
        raise Changed(f"Session {based_on.session} was saved again meanwhile: look again.")
    return msgspec.json.decode(body)


def _set(patch: dict[str, Any], members: Sequence[str], value: Any) -> None:
    into = patch
    for name in members[:-1]:
        into = into.setdefault(name, {})
    into[members[-1]] = value


def _join(base: dict[str, Any], other: Mapping[str, Any]) -> None:
    """Add the members of `other` to `base`; as deep as they have objects in common."""
    for name, value in other.items():
        here = base.get(name)
        if isinstance(here, dict) and isinstance(value, dict):
            _join(here, value)
        else:
            base[name] = value


ROUTES = [
    get("/api/conflicts", get_conflicts, right="results.read"),
    get("/api/conflicts/{session}", get_conflict, right="results.read", errors=(409,)),
    plain(
        "POST",
        "/api/conflicts/{session}/resolve",
        resolve,
        right="results.decide",
        status=201,
        errors=(409,),
        limit=_BODY_LIMIT,
        body=Decision,
        answer=Corrections,
        also={200: Decided},
        asked=resolve_by_page,
    ),
]
