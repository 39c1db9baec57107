"""`/api/schedules/reminders`: what was and will be sent to participants, and what people decide of it.

| what happens | answer |
|---|---|
| a reminder is cancelled that is being sent, was sent, or is cancelled | 409 |
| a preview of neither a participant nor a due date | 422 |
| a test, and this system sends no mails | 202; the job waits a day, and says so |
"""

import uuid
from collections import defaultdict
from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Any, NamedTuple

import msgspec

from reporting.outbox.entry import Entry, enter_once
from reporting.reminders.due import KIND
from reporting.reminders.listing import (
    KEY,
    SORTABLE,
    ReminderFilter,
    ReminderRow,
    cancel_by_person,
    select_one,
    select_reminders,
)
from reporting.reminders.local_time import is_known
from reporting.reminders.planning import look, read_rules, read_settings
from reporting.reminders.reconcile import State
from reporting.reminders.rows import select_language, select_templates
from reporting.reminders.schedule import (
    Channel,
    Person,
    Planned,
    Reason,
    Rule,
    Settings,
    Unwanted,
    Visit,
    Wish,
    wanted,
)
from reporting.reminders.texts import Template, UnknownPlaceholder, Words, chosen, filled_in
from reporting.steps import perform
from reporting.tables import outbox
from reporting.visits.definitions import select_definitions
from reporting.visits.listing import select_of_participant
from reporting.visits.schedule import zone_named
from sync_server.api import acts
from sync_server.api.call import Call, ListQuery, Nothing, PageOf
from sync_server.api.parameters import Text, first_moment, last_moment
from sync_server.api.reminder_rules import Language, RuleCode, read_settings_row
from sync_server.api.route import Route, get, post
from sync_server.errors import InvalidRequest, NotFound, NotPossible
from sync_server.keys import SETTINGS
from sync_server.opt_out_links import PATH

SHOWN = 500
UNTOLD = "…"
"""In previews, in place of what only the participant is told."""


class RemindersQuery(ListQuery, frozen=True, kw_only=True):
    """`planned_from`, `planned_to`: times or dates (UTC), included."""

    study: Text | None = None
    site: Text | None = None
    participant: Text | None = None
    visit: Text | None = None
    rule: Text | None = None
    channel: Channel | None = None
    state: State | None = None
    reason: Reason | None = None
    planned_from: Text | None = None
    planned_to: Text | None = None


class Cancellation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Why."""

    reason: acts.Reason


class PreviewQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Of a participant as things are, in their language unless told otherwise, or of a visit due on `due_on`.
    Without `rule`: of all rules.
    """

    participant: Text | None = None
    due_on: date | None = None
    window_to: date | None = None
    timezone: Text | None = None
    rule: RuleCode | None = None
    language: Language | None = None


class Previewed(msgspec.Struct, frozen=True):
    """A reminder as it would be now; `reason`: why it would not be. `local_time` is the participant's."""

    visit: str
    rule: str
    channel: Channel
    occurrence: int
    planned_at: datetime | None
    useful_until: datetime | None
    local_time: str | None
    reason: Reason | None
    language: str
    subject: str
    text: str


class Preview(msgspec.Struct, frozen=True):
    """What would be sent, by the clock of `timezone`; of `total` the first 500."""

    timezone: str
    total: int
    reminders: list[Previewed]


class TestSend(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A rule's text in a language, sent to the caller's own address by mail, whatever its channel."""

    rule: RuleCode
    language: Language | None = None


class Sent(msgspec.Struct, frozen=True):
    """What will be sent: `id` is its job's."""

    id: int


async def list_reminders(call: Call[RemindersQuery, Nothing]) -> PageOf[ReminderRow]:
    """Reminders of all participants that the caller may see, by when they are planned."""
    query = call.query
    matching = select_reminders(
        call.caller.scope("visits.read"),
        ReminderFilter(**{name: getattr(query, name) for name in ReminderFilter.__struct_fields__}),
        planned_from=first_moment(query.planned_from, "planned_from"),
        planned_to=last_moment(query.planned_to, "planned_to"),
    )
    return await call.page(ReminderRow, matching, sortable=SORTABLE, key=KEY)


async def cancel_reminder(call: Call[Nothing, Cancellation]) -> ReminderRow:
    """Cancel one reminder that is planned or waits to be sent; it stays cancelled."""
    number = call.number("id")
    found = (
        await call.connection.execute(select_one(call.caller.scope("visits.read"), number))
    ).one_or_none()
    if found is None:
        raise NotFound(f"There is no reminder {call.path('id')[:40]}.")
    before = ReminderRow(*found)
    call.caller.require("visits.write", before.study, before.site)
    if await call.connection.scalar(cancel_by_person(number, call.body.reason)) is None:
        raise NotPossible(f"The reminder is {before.state}.", details={"state": before.state})
    await call.record(
        "reminder.cancel",
        "reminder",
        # As visits are named: whoever erases the participant finds it.
        f"{before.study}/{before.participant}/{before.visit}",
        study=before.study,
        site=before.site,
        reason=call.body.reason,
        before={"reminder": number, "state": before.state, "rule": before.rule},
    )
    return ReminderRow(
        *(await call.connection.execute(select_one(call.caller.scope("visits.read"), number))).one()
    )


async def preview(call: Call[PreviewQuery, Nothing]) -> Preview:
    """What would be sent when, in which words: of a participant, or of a visit that is due on a day.

    Nothing is sent, and no contact is opened: names are left out.
    """
    study, query, now = call.path("study"), call.query, datetime.now(UTC)
    if not call.caller.scope("visits.read").sees_study(study):
        raise NotFound(f"There is no study {study}.")
    if (query.participant is None) == (query.due_on is None):
        raise InvalidRequest("Say either participant or due_on.", details={"parameter": "participant"})
    rules = await call.connection.run_sync(perform, read_rules(study))
    settings = await call.connection.run_sync(perform, read_settings(study))
    if query.rule is not None:
        rules = [rule for rule in rules if rule.code == query.rule]
        if not rules:
            raise NotFound(f"{study} has no rule {query.rule}.")
    language: str | None = query.language
    if query.participant is None:
        person, visits, wishes = _of_day(query, rules, settings, now)
    else:
        person, visits, wishes = await _of_participant(call, query.participant, rules, settings, now)
        language = language or await call.connection.scalar(select_language(study, query.participant))
    zone = person.clock(settings)
    texts = await _texts(call)
    told = [_previewed(texts, wish, visits[wish.key.visit], zone, language) for wish in wishes[:SHOWN]]
    return Preview(zone, len(wishes), told)


async def send_test(call: Call[Nothing, TestSend]) -> Sent:
    """Send a rule's text, with made-up values, to the caller's own address."""
    study, rule = call.path("study"), call.body.rule
    call.caller.require("visits.write", study)
    rules = await call.connection.run_sync(perform, read_rules(study))
    if rule not in {each.code for each in rules}:
        raise NotFound(f"{study} has no rule {rule}.")
    today = datetime.now(UTC).date()
    texts = await _texts(call)
    said = texts.said(rule, call.body.language, Visit("a visit", "due", today, today))
    settings = await read_settings_row(call, study)
    test = {
        "person": call.caller.person.id,
        "subject": said.subject,
        "text": said.text,
        "sender_name": settings.sender_name,
    }
    entry = Entry(kind=KIND, key=f"test/{uuid.uuid4().hex}", payload={"test": test}, study=study)
    number = await call.connection.scalar(enter_once([entry]).returning(outbox.c.id))
    await call.record("reminder.test", "reminder_rule", f"{study}/{rule}", study=study)
    return Sent(number or 0)


class _Texts(NamedTuple):
    """What a study says, read once."""

    by_rule: Mapping[str, list[Template]]
    fallback: str
    titles: Mapping[str, str]
    stop: str

    def said(self, rule: str, language: str | None, visit: Visit) -> Template:
        """A rule's reminder about a visit, without what only the participant is told."""
        template = chosen(self.by_rule.get(rule, ()), language, self.fallback)
        title = self.titles.get(visit.code) or visit.code
        words = Words(UNTOLD, title, visit.due_on, visit.window_to, UNTOLD, self.stop)
        try:
            return filled_in(template, words, with_stop=True)
        except UnknownPlaceholder:
            return template


_Found = tuple[Person, dict[str, Visit], list[Wish]]


def _of_day(query: PreviewQuery, rules: list[Rule], settings: Settings, now: datetime) -> _Found:
    if query.timezone is not None and not is_known(query.timezone):
        raise InvalidRequest(
            f"{query.timezone[:64]} is no timezone of the IANA database, such as America/Lima.",
            details={"parameter": "timezone"},
        )
    person = Person("example", "enrolled", query.timezone or "UTC")
    rule_visits = [code for rule in rules for code in sorted(rule.visits or ())]
    code = rule_visits[0] if rule_visits else "visit"
    visit = Visit(code, "planned", query.due_on, query.window_to or query.due_on)
    return person, {code: visit}, wanted(rules, settings, visit, person, now)


async def _of_participant(
    call: Call[Any, Any], participant: str, rules: list[Rule], settings: Settings, now: datetime
) -> _Found:
    study = call.path("study")
    row = (await call.connection.execute(select_of_participant(study, participant))).one_or_none()
    if row is None or not call.caller.scope("visits.read").covers(study, row[0]):
        raise NotFound(f"There is no participant {participant} in {study}.")
    known = await call.connection.run_sync(perform, look(study, [participant], rules, settings, now))
    wishes = list(known.wishes[participant].values())
    return known.people[participant], dict(known.visits[participant]), wishes


def _previewed(texts: _Texts, wish: Wish, visit: Visit, zone: str, language: str | None) -> Previewed:
    said = texts.said(wish.key.rule, language, visit)
    planned = wish if isinstance(wish, Planned) else None
    return Previewed(
        *wish.key,
        planned_at=None if planned is None else planned.planned_at,
        useful_until=None if planned is None else planned.useful_until,
        local_time=None
        if planned is None
        else planned.planned_at.astimezone(zone_named(zone)).strftime("%Y-%m-%d %H:%M"),
        reason=wish.reason if isinstance(wish, Unwanted) else None,
        language=said.language,
        subject=said.subject,
        text=said.text,
    )


async def _texts(call: Call[Any, Any]) -> _Texts:
    study = call.path("study")
    by_rule: dict[str, list[Template]] = defaultdict(list)
    for row in await call.connection.execute(select_templates(study)):
        by_rule[row.rule].append(Template(row.language, row.subject, row.text))
    titles = {row.code: row.title for row in await call.connection.execute(select_definitions(study))}
    fallback = (await read_settings_row(call, study)).language
    stop = f"{call.request.app[SETTINGS].base_url}{PATH}?token={UNTOLD}"
    return _Texts(by_rule, fallback, titles, stop)


_STUDY = "/api/schedules/reminders/{study}"

ROUTES: list[Route] = [
    get("/api/schedules/reminders", list_reminders, right="visits.read"),
    post("/api/schedules/reminders/{id}/cancel", cancel_reminder, right="visits.write", errors=(409,)),
    get(f"{_STUDY}/preview", preview, right="visits.read"),
    post(f"{_STUDY}/test", send_test, right="visits.write", status=202),
]
