"""Visits of a study by their days, and one of them: moving, cancelling, taking either back.

What is decided says which state of the visit was looked at: who was a moment late sees both.
"""

from collections.abc import Iterable
from datetime import date, timedelta
from itertools import groupby
from typing import Any, Final, NamedTuple

import msgspec

from sync_server.api.parameters import Text
from sync_server.portal.asking import api
from sync_server.portal.forms import Field, Form
from sync_server.portal.pages import Look, Page, Values
from sync_server.portal.study_pages import BELOW, SITES, STUDY, names_of, site_choices, site_names, todays

VISITS = api("GET", "/api/visits")
ONE = api("GET", "/api/visits/{study}/{participant}/{visit}")
TIMELINE = api("GET", "/api/visits/{study}/{participant}")
CHANGE = api("PATCH", "/api/visits/{study}/{participant}/{visit}")

STATES = ("planned", "due", "completed", "missed", "cancelled")
VIEWS: Final = {"week": 7, "month": 31}
"""How many days ahead a view shows; `overdue` and `all` are the others."""
PER_PAGE: Final = 100

MOVE = Form(
    name="move_visit",
    calls=CHANGE,
    fields=(Field("due_on", "date"), Field("reason", "long", max_length=10_000)),
    versioned=True,
)
UNMOVE = Form(
    name="unmove_visit",
    calls=CHANGE,
    fields=(Field("reason", "long", max_length=10_000),),
    build=lambda values: {**values, "due_on": None},
    versioned=True,
)
CANCEL = Form(
    name="cancel_visit",
    calls=CHANGE,
    fields=(Field("reason", "long", max_length=10_000),),
    build=lambda values: {**values, "state": "cancelled"},
    versioned=True,
)
RESTORE = Form(
    name="restore_visit",
    calls=CHANGE,
    fields=(Field("reason", "long", max_length=10_000),),
    build=lambda values: {**values, "state": "restored"},
    versioned=True,
)


class VisitsFilters(msgspec.Struct, frozen=True, kw_only=True):
    """`show`: a view; the others as the API has them."""

    show: Text | None = None
    site: Text | None = None
    state: Text | None = None
    participant: Text | None = None
    due_from: Text | None = None
    due_to: Text | None = None
    page: Text = "1"


class Day(NamedTuple):
    """Visits that are due on one day; None: on a day that is not known yet."""

    day: date | None
    visits: list[Any]


def by_day(visits: Iterable[Any]) -> list[Day]:
    """Visits in the order of their days, day by day."""
    return [Day(day, list(those)) for day, those in groupby(visits, lambda visit: visit.due_on)]


async def visits(look: Look) -> Values:
    """Those of a view, by day."""
    row = await look.ask(STUDY)
    wanted = look.filters
    own = {name: getattr(wanted, name) for name in ("site", "state", "participant", "due_from", "due_to")}
    show = wanted.show or ("all" if any(own.values()) else "week")
    today = await todays(look, row)
    if show in VIEWS and not any((own["due_from"], own["due_to"])):
        own |= {"due_from": min(today), "due_to": max(today) + timedelta(days=VIEWS[show])}
    overdue = True if show == "overdue" else None
    listed = await look.ask(
        VISITS, study=row.code, **own, overdue=overdue, page=wanted.page, per_page=PER_PAGE
    )
    late = await look.ask(VISITS, study=row.code, overdue=True, per_page=1)
    sites = await site_choices(look, row)
    return {
        "row": row,
        "show": show,
        "listed": listed,
        "days": by_day(listed.data),
        "overdue": late.pagination.total,
        "today": today,
        "sites": sites,
        "names": await names_of(look, sites, listed.data),
        "states": [(each, look.texts.named("visit_state", each)) for each in STATES],
    }


async def visit(look: Look) -> Values:
    """One visit, among the others of its participant."""
    row, one = await look.ask(STUDY), await look.ask(ONE)
    look.fill(MOVE, one.row_version, due_on=one.due_on)
    for form in (UNMOVE, CANCEL, RESTORE):
        look.fill(form, one.row_version)
    return {
        "row": row,
        "one": one,
        "timeline": await look.ask(TIMELINE),
        "names": await site_names(look, [one.site]),
        "is_open": one.state not in ("completed", "cancelled"),
    }


PAGES = [
    Page(
        name="visits",
        path=f"{BELOW}/visits",
        template="studies/visits.html",
        view=visits,
        reads=(STUDY, VISITS, SITES),
        filters=VisitsFilters,
        live=("days",),
        area="studies",
    ),
    Page(
        name="visit",
        path=f"{BELOW}/visits/{{participant}}/{{visit}}",
        template="studies/visit.html",
        view=visit,
        reads=(STUDY, ONE, TIMELINE, SITES),
        forms=(MOVE, UNMOVE, CANCEL, RESTORE),
        area="studies",
    ),
]
