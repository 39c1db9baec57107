"""When a study's visits are due; a change can be tried before it is made: whose visits would move."""

from typing import Any, Final

from sync_server.errors import NotFound
from sync_server.portal.asking import api
from sync_server.portal.forms import Field, Form
from sync_server.portal.pages import Look, Page, Values
from sync_server.portal.study_pages import BELOW, MOST, STUDY, batteries_of, found

DEFINITIONS = api("GET", "/api/schedules/{study}")
PUT = api("PUT", "/api/schedules/{study}/{code}")
RETIRE = api("DELETE", "/api/schedules/{study}/{code}")
ENROLMENT: Final = "enrolment"


def _with_battery(values: dict[str, Any]) -> dict[str, Any]:
    battery, _, version = values.pop("battery", "").rpartition("@")
    return {**values, "battery": {"id": battery, "version": version} if battery else None}


_FIELDS = (
    Field("title", required=False, blank="empty", max_length=200),
    Field("anchor", "pick", default=ENROLMENT, hint=True),
    Field("offset_days", "number", default="0", hint=True, minimum=-3650, maximum=36_500),
    Field("window_before_days", "number", default="0", minimum=0, maximum=3650),
    Field("window_after_days", "number", default="0", minimum=0, maximum=3650),
    Field("battery", "pick", required=False),
    Field("position", "number", default="0", hint=True, minimum=0, maximum=9999),
)
DEFINE = Form(
    name="define_visit",
    calls=PUT,
    fields=(
        Field("code", hint=True, max_length=64, pattern="[A-Za-z0-9][A-Za-z0-9._\\-]*", place="path"),
        *_FIELDS,
    ),
    build=_with_battery,
    tries=PUT,
)
CHANGE = Form(
    name="change_definition", calls=PUT, fields=_FIELDS, build=_with_battery, tries=PUT, versioned=True
)
RETIREMENT = Form(
    name="retire_definition",
    calls=RETIRE,
    fields=(Field("reason", "long", max_length=10_000),),
    tries=RETIRE,
    versioned=True,
)


async def schedule(look: Look) -> Values:
    """All visit definitions, in their order."""
    row = await look.ask(STUDY)
    definitions = (await look.ask(DEFINITIONS, per_page=MOST)).data
    _offer(look, DEFINE, row, definitions)
    return {"row": row, "definitions": definitions}


async def definition(look: Look) -> Values:
    """One of them. Raises NotFound."""
    row, code = await look.ask(STUDY), look.path("code")
    definitions = (await look.ask(DEFINITIONS, per_page=MOST)).data
    one = found(definitions, "code", code)
    if one is None:
        raise NotFound(f"{row.code} has no visit {code}.")
    _offer(look, CHANGE, row, [each for each in definitions if each.code != code])
    look.fill(
        CHANGE,
        one.row_version,
        title=one.title,
        anchor=one.anchor,
        offset_days=one.offset_days,
        window_before_days=one.window_before_days,
        window_after_days=one.window_after_days,
        battery=None if one.battery_id is None else f"{one.battery_id}@{one.battery_version}",
        position=one.position,
    )
    look.fill(RETIREMENT, one.row_version)
    return {"row": row, "one": one}


def _offer(look: Look, form: Form, row: Any, others: list[Any]) -> None:
    anchors = [(ENROLMENT, look.texts("schedule.enrolment"))]
    anchors += [(each.code, each.title or each.code) for each in others if not each.retired]
    look.offer(form, "anchor", anchors)
    look.offer(form, "battery", batteries_of(row))


PAGES = [
    Page(
        name="schedule",
        path=f"{BELOW}/schedule",
        template="studies/schedule.html",
        view=schedule,
        reads=(STUDY, DEFINITIONS),
        forms=(DEFINE,),
        area="studies",
    ),
    Page(
        name="definition",
        path=f"{BELOW}/schedule/{{code}}",
        template="studies/definition.html",
        view=definition,
        reads=(STUDY, DEFINITIONS),
        forms=(CHANGE, RETIREMENT),
        area="studies",
    ),
]
