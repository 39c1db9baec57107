"""Sending one reminder: everything is looked at once more, in one transaction, before anybody is told.

The participant's lock is held (`lock_participants`), so nothing that the answer depends on changes meanwhile,
and the row says `sending` before the message is handed over. Handing over is outside the transaction:

    queued ──prepare──▶ sending ──taken──▶ sent
       ▲                   │ refused, may pass
       └───────────────────┘            refused for good: failed
                           │ no answer, or the process died: `sending` stays, and the next attempt is a repeat

A mail is repeated at most once, under the same Message-ID; a webhook as often as it takes, since its receiver
knows it by its id. A visit that is completed meanwhile ends it without a repeat.
"""

from datetime import datetime, timedelta
from typing import Any, Final, Literal, NamedTuple

from sqlalchemy import Select, Update, and_, case, func, select, update

from reporting.reminders.local_time import first_of_day, is_quiet, next_allowed
from reporting.reminders.planning import look, read_rules, read_settings
from reporting.reminders.reconcile import State
from reporting.reminders.schedule import Key, Person, Planned, Reason, Settings, Unwanted, Visit, Wish
from reporting.steps import Steps
from reporting.tables import (
    participants,
    reminder_settings,
    reminder_templates,
    reminders,
    sites,
    studies,
    visit_definitions,
)
from reporting.visits.schedule import days_later, local_day
from reporting.visits.statements import lock_participants

STUDY_WAITS: Final = timedelta(minutes=15)
MOST_HANDED_OVER: Final = 2
"""Times a mail is handed over: once, and once more where nobody knows whether it was taken."""
HANDED_OVER_TWICE: Final = "It was handed over twice, and nobody knows whether it was taken."

_r = reminders.c


class Row(NamedTuple):
    """The reminder, as its row has it."""

    id: int
    study: str
    participant: str
    key: Key
    state: State
    useful_until: datetime
    repeats: int


class Facts(NamedTuple):
    """What the answer depends on."""

    row: Row
    wish: Wish
    person: Person
    visit: Visit | None
    settings: Settings
    study_status: str
    sent_today: int
    """Others to the same participant, on this day of their calendar."""


class Wait(NamedTuple):
    """Not now."""

    why: str
    until: datetime


class Leave(NamedTuple):
    """Not to be sent: it is `cancelled` or has `failed`; None: it stays as it is."""

    why: str
    state: Literal["cancelled", "failed"] | None = None
    reason: Reason | None = None


class Go(NamedTuple):
    """To be sent now. `is_repeat`: it was handed over before, and nobody knows what came of it."""

    is_repeat: bool


def judge(facts: Facts, now: datetime) -> Wait | Leave | Go:
    """What is to be done about a reminder that is due. Pure."""
    row, wish = facts.row, facts.wish
    if row.state not in ("queued", "sending"):
        return Leave(f"It is {row.state}.")
    if isinstance(wish, Unwanted):
        return Leave(f"It is not to be sent: {wish.reason}.", "cancelled", wish.reason)
    is_repeat = row.state == "sending"
    if is_repeat and wish.planned_at > now:
        return Leave("It was planned anew while it was being sent.", "failed", "uncertain")
    if is_repeat and row.key.channel == "email" and row.repeats + 1 >= MOST_HANDED_OVER:
        return Leave(HANDED_OVER_TWICE, "failed", "uncertain")
    return _not_yet(facts, wish, now) or _allowed(facts, wish, now) or Go(is_repeat)


def _not_yet(facts: Facts, wish: Planned, now: datetime) -> Wait | None:
    if wish.planned_at > now:
        return Wait("It is due later.", wish.planned_at)
    if facts.study_status != "active":
        return Wait(f"The study is {facts.study_status}.", now + STUDY_WAITS)
    return None


def _allowed(facts: Facts, wish: Planned, now: datetime) -> Wait | Leave | None:
    zone, quiet = facts.person.clock(facts.settings), facts.settings.quiet
    reason: Reason
    if is_quiet(now, zone, quiet):
        at, reason = next_allowed(now, zone, quiet), "quiet_hours"
    elif facts.sent_today >= facts.settings.most_per_day:
        today = local_day(now, zone)
        tomorrow = days_later(today, 1)
        begins = None if tomorrow is None else first_of_day(tomorrow, zone)
        at, reason = None if begins is None else next_allowed(begins, zone, quiet), "daily_limit"
    else:
        return None
    if at is None or at >= wish.useful_until:
        return Leave(f"It would be too late: {reason}.", "cancelled", reason)
    return Wait(f"Not now: {reason}.", at)


def facts_of(number: int, now: datetime) -> Steps[Facts | None]:
    """Steps: lock the participant and the row, and read what there is; None where the reminder is gone."""
    found = yield select_participant(number)
    if not found:
        return None
    [(study, participant)] = found
    yield lock_participants([(study, participant)])
    rows = yield _select_row(number)
    if not rows:
        return None
    [(status, *fields)] = rows
    row = _read_row(fields)
    rules = yield from read_rules(study)
    settings = yield from read_settings(study)
    known = yield from look(study, [participant], rules, settings, now)
    person = known.people.get(participant)
    if person is None:
        return None
    zone = person.clock(settings)
    [(sent_today,)] = yield _count_of_day(row, zone, now)
    wish = known.wishes[participant].get(row.key, Unwanted(row.key, "rule"))
    visit = known.visits[participant].get(row.key.visit)
    return Facts(row, wish, person, visit, settings, status, sent_today)


class Message(NamedTuple):
    """What a message is made from, besides the contact."""

    language: str | None
    fallback: str
    sender_name: str
    visit: str
    site: str
    contact: bytes | None
    """Sealed."""
    gateway_url: str | None
    gateway_secret: bytes | None
    """Sealed."""


def select_message(row: Row) -> Select[Any]:
    """Statement: the fields of Message."""
    p, s, d = participants.c, reminder_settings.c, visit_definitions.c
    title = func.coalesce(func.nullif(d.title, ""), row.key.visit)
    site = func.coalesce(func.nullif(sites.c.name, ""), p.site, "")
    return (
        select(
            p.language,
            func.coalesce(s.language, "en"),
            func.coalesce(s.sender_name, ""),
            title,
            site,
            p.contact,
            s.gateway_url,
            s.gateway_secret,
        )
        .select_from(
            participants.outerjoin(reminder_settings, s.study == p.study)
            .outerjoin(sites, sites.c.code == p.site)
            .outerjoin(visit_definitions, and_(d.study == p.study, d.code == row.key.visit))
        )
        .where(p.study == row.study, p.code == row.participant)
    )


def select_templates(study: str, rule: str) -> Select[Any]:
    """Statement: the fields of Template of a rule's."""
    t = reminder_templates.c
    return select(t.language, t.subject, t.text).where(t.study == study, t.rule == rule)


def select_participant(number: int) -> Select[Any]:
    """Statement: (study, participant) of a reminder."""
    return select(_r.study, _r.participant).where(_r.id == number)


def select_contact(study: str, participant: str) -> Select[Any]:
    """Statement: the sealed contact of a participant."""
    p = participants.c
    return select(p.contact).where(p.study == study, p.code == participant)


def begin(row: Row, message_id: str, *, is_repeat: bool) -> Update:
    """Statement: it is being handed over."""
    return _change(
        row.id,
        ("queued", "sending"),
        state="sending",
        message_id=message_id,
        sending_at=func.now(),
        waits_until=None,
        repeats=_r.repeats + int(is_repeat),
    )


def wait(row: Row, until: datetime) -> Update:
    """Statement: it is not sent before then, and nothing is wrong with that."""
    return _change(row.id, ("queued", "sending"), waits_until=until)


def leave(row: Row, state: str, reason: Reason) -> Update:
    """Statement: it is not sent (any more)."""
    return _change(row.id, ("queued", "sending"), state=state, reason=reason)


def taken(number: int) -> Update:
    """Statement: its receiver has it, whatever another attempt has made of it meanwhile."""
    others = ("planned", "queued", "sending", "cancelled", "failed")
    return _change(number, others, state="sent", reason=None, waits_until=None, sent_at=func.now())


def refused(number: int) -> Update:
    """Statement: it was not taken, and may be another time. Nobody has it, unless of an earlier attempt."""
    earlier = case((_r.repeats > 0, _r.sending_at))
    return _change(number, ("sending",), state="queued", sending_at=earlier)


def failed(number: int, reason: Reason) -> Update:
    """Statement: it was not taken, and never will be."""
    return _change(number, ("sending",), state="failed", reason=reason)


def _change(number: int, states: tuple[str, ...], **fields: Any) -> Update:
    return (
        update(reminders).where(_r.id == number, _r.state.in_(states)).values(**fields, updated_at=func.now())
    )


def _select_row(number: int) -> Select[Any]:
    key = (_r[name] for name in Key._fields)
    return (
        select(studies.c.status, _r.id, _r.study, _r.participant, *key, _r.state, _r.useful_until, _r.repeats)
        .join(studies, studies.c.code == _r.study)
        .where(_r.id == number)
        .with_for_update(of=reminders)
    )


def _read_row(fields: list[Any]) -> Row:
    number, study, participant, visit, rule, channel, occurrence, state, until, repeats = fields
    key = Key(visit, rule, channel, occurrence)
    return Row(number, study, participant, key, state, until, repeats)


def _count_of_day(row: Row, zone: str, now: datetime) -> Select[int]:
    today = local_day(now, zone)
    begins = None if today is None else first_of_day(today, zone)
    return select(func.count()).where(
        _r.study == row.study,
        _r.participant == row.participant,
        _r.id != row.id,
        _r.sending_at >= (begins or now),
        _r.state.in_(("sending", "sent", "failed")),
    )
