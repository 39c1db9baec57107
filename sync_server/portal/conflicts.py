"""Conflicts: sessions that were saved differently in two places; side by side, and a person's decision.

What is chosen stands in fields `choose:<path>`, one each contradiction: `winner`, or the revision (or
correction) with the other value.
"""

from string import ascii_uppercase
from typing import Any, Final, NamedTuple

import msgspec

from reporting.queries.conflicts import UNDECIDED, ConflictRow
from sync_server.api.parameters import Text
from sync_server.errors import InvalidRequest, NotFound
from sync_server.portal.asking import api
from sync_server.portal.cookie import PATH
from sync_server.portal.forms import Field, Form
from sync_server.portal.mending import NOT_KEPT
from sync_server.portal.pages import Look, Page, Values
from sync_server.portal.readable import pretty

CONFLICTS = api("GET", "/api/conflicts")
CONFLICT = api("GET", "/api/conflicts/{session}")
SESSION = api("GET", "/api/sessions/{id}")
RECEIPTS = api("GET", "/api/sync/receipts/{site}")

CHOOSE: Final = "choose:"
_SHOWN_CHARACTERS: Final = 1500
_AT_ONCE: Final = 100
"""So many contradictions are decided at once: a form has to stay small."""


def _decision(values: dict[str, Any]) -> dict[str, Any]:
    chosen = {name.removeprefix(CHOOSE): value for name, value in values.items() if name.startswith(CHOOSE)}
    if not chosen:
        raise InvalidRequest("Nothing was chosen.")
    return {
        "site": values["site"],
        "rev": values["rev"],
        "leaves": values["leaves"].split(),
        "choose": chosen,
        "reason": values.get("reason", NOT_KEPT),
    }


RESOLVE_ROUTE = api("POST", "/api/conflicts/{session}/resolve")
RESOLVE = Form(
    name="resolve",
    calls=RESOLVE_ROUTE,
    fields=(
        *(Field(name, "hidden") for name in ("site", "rev", "leaves")),
        Field("reason", "long", hint=True, max_length=10_000, for_good=True),
    ),
    further=CHOOSE,
    build=_decision,
    tries=RESOLVE_ROUTE,
    then=f"{PATH}/conflicts",
)


class ConflictsFilters(msgspec.Struct, frozen=True, kw_only=True):
    """As the route takes them; without `state`: what is undecided."""

    site: Text | None = None
    state: Text | None = None
    page: Text = "1"


class SessionFilters(msgspec.Struct, frozen=True, kw_only=True):
    """Which session; `side`: whose values are chosen to begin with."""

    session: Text
    site: Text | None = None
    side: Text = "winner"


class Option(NamedTuple):
    """A value that can be chosen: the name of the choice, the value as JSON, cut where it is long."""

    choice: str
    text: str
    is_cut: bool


class Contradiction(NamedTuple):
    """A path, its state, the winner's value and the others."""

    path: str
    state: str
    options: list[Option]


class Side(NamedTuple):
    """A column: whose values, and where they come from, as far as that is known."""

    choice: str
    rev: str
    device: str | None
    received_at: Any


async def conflicts(look: Look) -> Values:
    """Sessions with something to decide."""
    wanted: ConflictsFilters = look.filters
    return {"listed": await look.ask(CONFLICTS, site=wanted.site, state=wanted.state, page=wanted.page)}


async def session(look: Look) -> Values:
    """One session: what contradicts each other in it."""
    wanted: SessionFilters = look.filters
    found = await look.ask(CONFLICT, path={"session": wanted.session}, site=wanted.site)
    open_rows = [row for row in found.conflicts if row.state in UNDECIDED]
    look.fill(RESOLVE, site=found.site, rev=found.rev, leaves=" ".join(found.leaves))
    undecided = contradictions(open_rows)
    rows = undecided[:_AT_ONCE]
    chosen = {
        each.path: wanted.side if wanted.side in [option.choice for option in each.options] else "winner"
        for each in rows
    }
    sides = await _sides(look, found, open_rows)
    return {
        "session": found,
        "rows": rows,
        "left_for_later": len(undecided) - len(rows),
        "decided": contradictions([row for row in found.conflicts if row.state not in UNDECIDED]),
        "union": await _union(look, found),
        "sides": sides,
        "letters": {side.choice: _letter(number) for number, side in enumerate(sides)},
        "chosen": chosen,
        "choose": CHOOSE,
        "resolve_of": {"session": found.session},
    }


def contradictions(rows: list[ConflictRow]) -> list[Contradiction]:
    """By path: several leaves may have other values each."""
    found: dict[str, Contradiction] = {}
    for row in rows:
        first = Contradiction(row.path, row.state, [_option("winner", row.winner_value)])
        found.setdefault(row.path, first).options.append(_option(row.other_rev, row.other_value))
    return list(found.values())


def _option(choice: str, value: msgspec.Raw) -> Option:
    text = pretty(value)
    return Option(choice, text[:_SHOWN_CHARACTERS], len(text) > _SHOWN_CHARACTERS)


async def _union(look: Look, found: Any) -> Any:
    """The session as the results have it, of all versions; None where they have none."""
    try:
        return await look.ask(SESSION, path={"id": found.session}, site=found.site)
    except NotFound:
        return None


def _letter(number: int) -> str:
    """A, B, … Z, A1, …"""
    return ascii_uppercase[number % 26] + (str(number // 26) if number >= 26 else "")


async def _sides(look: Look, found: Any, rows: list[ConflictRow]) -> list[Side]:
    """The winner and each other one that has a value."""
    known: dict[str, Any] = {}
    try:
        receipts = await look.ask_if_allowed(
            RECEIPTS, path={"site": found.site}, document=f"session:{found.session}"
        )
        known = {} if receipts is None else {each.rev: each for each in receipts.revisions}
    except NotFound:
        pass
    others = list(dict.fromkeys(row.other_rev for row in rows))
    named = [("winner", rows[0].winner_rev if rows else found.rev or ""), *((rev, rev) for rev in others)]
    return [
        Side(
            choice, rev, getattr(known.get(rev), "device", None), getattr(known.get(rev), "received_at", None)
        )
        for choice, rev in named
    ]


PAGES = [
    Page(
        name="conflicts",
        path=f"{PATH}/conflicts",
        template="conflicts/conflicts.html",
        view=conflicts,
        reads=(CONFLICTS,),
        filters=ConflictsFilters,
        live=("list",),
    ),
    Page(
        name="conflict",
        path=f"{PATH}/conflicts/session",
        template="conflicts/session.html",
        view=session,
        reads=(CONFLICT,),
        also=(SESSION, RECEIPTS),
        forms=(RESOLVE,),
        filters=SessionFilters,
        area="conflicts",
    ),
]
