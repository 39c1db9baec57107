"""Reminders of a study: rules, what is planned and was sent, what they say in which language."""

from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec

from sync_server.api.parameters import Text
from sync_server.errors import NotFound
from sync_server.portal.asking import api
from sync_server.portal.forms import Field, Form, renamed, unreadable
from sync_server.portal.pages import Look, Page, Values
from sync_server.portal.study_pages import BELOW, MOST, STUDY, found

RULES = api("GET", "/api/schedules/reminders/{study}/rules")
REMINDERS = api("GET", "/api/schedules/reminders")
SETTINGS = api("GET", "/api/schedules/reminders/{study}/settings")
TEXTS = api("GET", "/api/schedules/reminders/{study}/templates")
PREVIEW = api("GET", "/api/schedules/reminders/{study}/preview")
OPT_OUTS = api("GET", "/api/schedules/reminders/{study}/opt-outs")
PUT_RULE = api("PUT", "/api/schedules/reminders/{study}/rules/{code}")
RETIRE_RULE = api("DELETE", "/api/schedules/reminders/{study}/rules/{code}")
PUT_TEXT = api("PUT", "/api/schedules/reminders/{study}/templates/{rule}/{language}")

STATES = ("planned", "queued", "sending", "sent", "cancelled", "failed")
_CODE: Final = "[A-Za-z0-9][A-Za-z0-9._\\-]*"
_CLOCK: Final = "([01][0-9]|2[0-3]):[0-5][0-9]"
_LANGUAGE: Final = "[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8}){0,3}"


def _rule(values: dict[str, Any]) -> dict[str, Any]:
    visits = values.pop("visits", "").replace(",", " ").split()
    return {**values, "visits": visits or None}


_RULE_FIELDS = (
    Field("moment", "choice", choices=("before_due", "on_due", "overdue"), default="before_due"),
    Field("days", "number", default="0", hint=True, minimum=0, maximum=365),
    Field("send_at", "time", default="09:00", hint=True, pattern=_CLOCK),
    Field("channel", "choice", choices=("email", "sms", "push"), default="email"),
    Field("useful_hours", "number", default="12", hint=True, minimum=1, maximum=168),
    Field("repeat_every_days", "number", default="0", minimum=0, maximum=365),
    Field("repeat_times", "number", default="0", minimum=0, maximum=20),
    Field("visits", required=False, hint=True, max_length=2000),
)
ADD_RULE = Form(
    name="add_rule",
    calls=PUT_RULE,
    fields=(Field("code", hint=True, max_length=64, pattern=_CODE, place="path"), *_RULE_FIELDS),
    build=_rule,
    tries=PUT_RULE,
)
CHANGE_RULE = Form(
    name="change_rule",
    calls=PUT_RULE,
    locate=renamed(code="rule"),
    fields=_RULE_FIELDS,
    build=_rule,
    tries=PUT_RULE,
    versioned=True,
)
RETIREMENT = Form(
    name="retire_rule",
    calls=RETIRE_RULE,
    locate=renamed(code="rule"),
    fields=(Field("reason", "long", max_length=10_000),),
    tries=RETIRE_RULE,
    versioned=True,
)


def _settings(values: dict[str, Any]) -> dict[str, Any]:
    start, end = values.pop("quiet_from", None), values.pop("quiet_to", None)
    if bool(start) != bool(end):
        raise unreadable("quiet_to" if start else "quiet_from")
    values["language"] = values.pop("language_of_texts")
    return {**values, "quiet_hours": {"start": start, "end": end} if start else None}


CHANGE_SETTINGS = Form(
    name="reminder_settings",
    calls=api("PUT", "/api/schedules/reminders/{study}/settings"),
    fields=(
        Field("quiet_from", "time", required=False, pattern=_CLOCK),
        Field("quiet_to", "time", required=False, pattern=_CLOCK),
        Field("clock", "choice", choices=("participant", "site"), default="participant"),
        Field("most_per_day", "number", minimum=1, maximum=50),
        Field("sender_name", required=False, blank="empty", max_length=100),
        Field("language_of_texts", max_length=35, pattern=_LANGUAGE),
    ),
    build=_settings,
    versioned=True,
)
CANCEL = Form(
    name="cancel_reminder",
    calls=api("POST", "/api/schedules/reminders/{id}/cancel"),
    fields=(Field("reason", max_length=10_000),),
)
ADD_TEXT = Form(
    name="add_text",
    calls=PUT_TEXT,
    fields=(
        Field("language", hint=True, max_length=35, pattern=_LANGUAGE, place="path"),
        Field("subject", required=False, blank="empty", max_length=200),
        Field("text", "long", hint=True, max_length=4000),
    ),
)
CHANGE_TEXT = Form(
    name="change_text",
    calls=PUT_TEXT,
    fields=(
        Field("subject", required=False, blank="empty", max_length=200),
        Field("text", "long", hint=True, max_length=4000),
    ),
    versioned=True,
)
REMOVE_TEXT = Form(
    name="remove_text",
    calls=api("DELETE", "/api/schedules/reminders/{study}/templates/{rule}/{language}"),
    versioned=True,
    danger=True,
    then=f"{BELOW}/reminders/{{rule}}",
)
SEND_TEST = Form(
    name="send_test",
    calls=api("POST", "/api/schedules/reminders/{study}/test"),
    fixed={"rule": "rule", "language": "language"},
)


class ReminderFilters(msgspec.Struct, frozen=True, kw_only=True):
    """Which reminders."""

    state: Text | None = None
    participant: Text | None = None
    rule: Text | None = None
    page: Text = "1"


_PER_PAGE = 30
"""Each of them can be cancelled, by a form of its own."""


async def reminders(look: Look) -> Values:
    """Rules, settings, and reminders by their time."""
    row = await look.ask(STUDY)
    rules = (await look.ask(RULES, per_page=MOST)).data
    settings = await look.ask(SETTINGS)
    look.fill(
        CHANGE_SETTINGS,
        settings.row_version,
        quiet_from=settings.quiet_from,
        quiet_to=settings.quiet_to,
        clock=settings.clock,
        most_per_day=settings.most_per_day,
        sender_name=settings.sender_name,
        language_of_texts=settings.language,
    )
    wanted = msgspec.structs.asdict(look.filters)
    return {
        "row": row,
        "rules": rules,
        "settings": settings,
        "listed": await look.ask(REMINDERS, study=row.code, per_page=_PER_PAGE, **wanted),
        "opt_outs": (await look.ask(OPT_OUTS, per_page=1)).pagination.total,
        "states": [(each, look.texts.named("reminder_state", each)) for each in STATES],
        "rule_choices": [(each.code, each.code) for each in rules],
    }


async def rule(look: Look) -> Values:
    """One rule with its texts. Raises NotFound."""
    row, one = await look.ask(STUDY), await _rule_of(look)
    look.fill(
        CHANGE_RULE,
        one.row_version,
        **{field.name: getattr(one, field.name) for field in _RULE_FIELDS if field.name != "visits"},
        visits=", ".join(one.visits or ()),
    )
    look.fill(RETIREMENT, one.row_version)
    texts = [each for each in (await look.ask(TEXTS, per_page=MOST)).data if each.rule == one.code]
    return {"row": row, "one": one, "texts": texts, "example": await _preview(look, one)}


async def text(look: Look) -> Values:
    """What a rule says in a language, and how that reads. Raises NotFound."""
    row, one, language = await look.ask(STUDY), await _rule_of(look), look.path("language")
    texts = [each for each in (await look.ask(TEXTS, per_page=MOST)).data if each.rule == one.code]
    own = found(texts, "language", language)
    if own is None:
        raise NotFound(f"{one.code} says nothing of its own in {language}.")
    look.fill(CHANGE_TEXT, own.row_version, subject=own.subject, text=own.text)
    look.fill(REMOVE_TEXT, own.row_version)
    return {"row": row, "one": one, "own": own, "example": await _preview(look, one, language)}


async def _preview(look: Look, one: Any, language: str | None = None) -> Any:
    """What it would send for a visit that is due so late that all of it is still to come."""
    if one.retired:
        return None
    due_on = datetime.now(UTC).date() + timedelta(days=one.days + 7)
    return await look.ask(PREVIEW, rule=one.code, due_on=due_on, language=language)


async def _rule_of(look: Look) -> Any:
    one = found((await look.ask(RULES, per_page=MOST)).data, "code", look.path("rule"))
    if one is None:
        raise NotFound(f"There is no rule {look.path('rule')}.")
    return one


PAGES = [
    Page(
        name="reminders",
        path=f"{BELOW}/reminders",
        template="studies/reminders.html",
        view=reminders,
        reads=(STUDY, RULES, REMINDERS, SETTINGS, OPT_OUTS),
        forms=(ADD_RULE, CHANGE_SETTINGS, CANCEL),
        filters=ReminderFilters,
        area="studies",
    ),
    Page(
        name="rule",
        path=f"{BELOW}/reminders/{{rule}}",
        template="studies/rule.html",
        view=rule,
        reads=(STUDY, RULES, TEXTS, PREVIEW),
        forms=(CHANGE_RULE, RETIREMENT, ADD_TEXT),
        area="studies",
    ),
    Page(
        name="reminder_text",
        path=f"{BELOW}/reminders/{{rule}}/{{language}}",
        template="studies/reminder_text.html",
        view=text,
        reads=(STUDY, RULES, TEXTS, PREVIEW),
        forms=(CHANGE_TEXT, REMOVE_TEXT, SEND_TEST),
        area="studies",
    ),
]
