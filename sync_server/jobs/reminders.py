"""The handler of `reminder`: one message to one participant, at most once (`reporting.reminders.sending`).

The entry names the reminder: `{"reminder": 17}`. Contact and texts are read, and opened, here and nowhere
else; nothing of them is in an error, a log or the entry.

| what happens | outcome |
|---|---|
| it is not to be sent any more, or was sent | discarded; the reminder says why |
| quiet hours, the day's limit, the study is paused, no `SMTP_URL` | postponed; no attempt |
| the contact says another timezone than it was planned by | planned anew, first |
| no address or phone number; no gateway; a broken template | cancelled, or failed; the reminder says why |
| the mail server or gateway refuses for good | the reminder has failed, the entry is given up |
| … is away, or refuses for now | again later, while it is useful |
| nobody knows whether the mail was taken, or this process dies | once more, same Message-ID, counted |
| … again | failed, `uncertain`: no third time |
| … of a webhook | sent again with the same `webhook-id`, counted |
| Postgres is away when it was taken | it is waited for; then the same as if the process had died |
| this worker was asleep until another had the entry | nothing: the other one sends it |

A person's test, `{"test": {…}}`, goes to their own address and has nothing of a participant.
"""

import asyncio
import hashlib
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec
import structlog
from sqlalchemy import select
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import AsyncConnection

from reporting.outbox.claims import Started, still_held
from reporting.outbox.policy import Done, Dropped, Failed, Outcome, Postponed
from reporting.participants.contact import Contact, open_contact
from reporting.reminders import sending
from reporting.reminders.local_time import is_known
from reporting.reminders.planning import note_timezones, replanned
from reporting.reminders.sending import Facts, Leave, Message, Row, Wait, judge
from reporting.reminders.texts import Template, UnknownPlaceholder, Words, chosen, filled_in
from reporting.steps import perform
from reporting.tables import reminder_timezones, users
from reporting.visits.statements import lock_participants
from reporting.webhooks.addresses import refusal_of_url
from reporting.webhooks.signature import signed_headers
from sync_server.jobs.resources import Resources
from sync_server.jobs.webhooks import post, reach_of
from sync_server.mail.message import UnusableAddress, compose, stable_message_id
from sync_server.mail.smtp import Accepted, Refused, hand_over
from sync_server.mail.texts import Text
from sync_server.opt_out_links import opt_out_link
from sync_server.sealing import CannotOpen
from sync_server.settings import Settings

NO_MAIL_SERVER: Final = Postponed("SMTP_URL and MAIL_FROM are not set.", timedelta(minutes=15))
A_TEST_WAITS: Final = timedelta(days=1)
TRIES_TO_END: Final = 6

log = structlog.get_logger()


class Ready(msgspec.Struct, frozen=True):
    """A message that is to be handed over; the row says so already."""

    row: Row
    message_id: str
    to: str
    said: Template
    message: Message
    secret: str
    """What a gateway's messages are signed with; empty for mails."""


async def deliver_reminder(entry: Started, resources: Resources) -> Outcome:
    """Send one reminder, or a person's test."""
    if "test" in entry.payload:
        return await _send_test(entry, entry.payload["test"], resources)
    number = int(entry.payload["reminder"])
    try:
        async with resources.engine.begin() as connection:
            await _know_timezone(connection, number, resources)
            now = datetime.now(UTC)
            facts = await connection.run_sync(perform, sending.facts_of(number, now))
            if facts is None:
                return Dropped("There is no such reminder any more.")
            # What says `sending` is then an attempt that is over, and not another worker's.
            if await connection.scalar(still_held(entry)) is None:
                return Dropped("Another worker has it now.")
            ready = await _prepare(connection, facts, now, resources)
    except CannotOpen as error:
        return Failed(str(error))
    if not isinstance(ready, Ready):
        return ready
    outcome = await (_mail(ready, resources) if ready.row.key.channel == "email" else _tell(ready, resources))
    log.info("reminder handed over", reminder=number, outcome=type(outcome).__name__)
    return outcome


async def _know_timezone(connection: AsyncConnection, number: int, resources: Resources) -> None:
    """What the contact says counts; where it was not known, the participant's reminders are planned anew."""
    named = (await connection.execute(sending.select_participant(number))).one_or_none()
    if named is None:
        return
    study, participant = named
    # Before the contact is read: whoever changes or erases it has done so, or waits.
    await connection.execute(lock_participants([(study, participant)]))
    found = (await connection.execute(sending.select_contact(study, participant))).one_or_none()
    if found is None:
        return
    [sealed] = found
    timezone = open_contact(sealed, resources.sealer.open).timezone
    told = timezone if timezone is not None and is_known(timezone) else None
    z = reminder_timezones.c
    noted = select(z.timezone).where(z.study == study, z.participant == participant)
    if await connection.scalar(noted) != told:
        await note_timezones(connection, study, [(participant, told)])
        await connection.run_sync(perform, replanned(study, [participant], datetime.now(UTC)))


async def _prepare(
    connection: AsyncConnection, facts: Facts, now: datetime, resources: Resources
) -> Ready | Outcome:
    row, settings = facts.row, resources.settings
    decision = judge(facts, now)
    if isinstance(decision, Wait):
        await connection.execute(sending.wait(row, decision.until))
        return Postponed(decision.why, decision.until - now)
    if isinstance(decision, Leave):
        return await _leave(connection, row, decision)
    message = Message(*(await connection.execute(sending.select_message(row))).one())
    contact = open_contact(message.contact, resources.sealer.open)
    to = _recipient(row, contact)
    lacking = _lacking(row, message, settings)
    if isinstance(lacking, Postponed):
        return lacking
    if to is None or lacking is not None:
        why = lacking or Leave("There is no address.", "cancelled", "no_address")
        return await _leave(connection, row, why)
    try:
        said = await _say(connection, facts, message, contact, resources)
    except UnknownPlaceholder as error:
        return await _leave(connection, row, Leave(f"The template is broken: {error}", "failed", "template"))
    sealed = message.gateway_secret
    secret = resources.sealer.open(bytes(sealed)) if row.key.channel != "email" and sealed is not None else ""
    message_id = _message_id(row, settings.mail_from or "")
    await connection.execute(sending.begin(row, message_id, is_repeat=decision.is_repeat))
    return Ready(row, message_id, to, said, message, secret)


def _lacking(row: Row, message: Message, settings: Settings) -> Leave | Postponed | None:
    if row.key.channel != "email":
        has_gateway = message.gateway_url is not None and message.gateway_secret is not None
        return None if has_gateway else Leave("There is no gateway.", "cancelled", "no_gateway")
    return NO_MAIL_SERVER if settings.smtp_url is None or settings.mail_from is None else None


async def _leave(connection: AsyncConnection, row: Row, decision: Leave) -> Outcome:
    if decision.state is not None and decision.reason is not None:
        await connection.execute(sending.leave(row, decision.state, decision.reason))
    if decision.state == "failed":
        return Failed(decision.why, final=True)
    return Dropped(decision.why)


def _recipient(row: Row, contact: Contact) -> str | None:
    """A push goes to the participant by code: who carries it knows their device."""
    by_channel = {"email": contact.email, "sms": contact.phone, "push": f"{row.study}/{row.participant}"}
    return by_channel[row.key.channel]


async def _say(
    connection: AsyncConnection, facts: Facts, message: Message, contact: Contact, resources: Resources
) -> Template:
    row, visit = facts.row, facts.visit
    rows = await connection.execute(sending.select_templates(row.study, row.key.rule))
    template = chosen((Template(*each) for each in rows), message.language, message.fallback)
    words = Words(
        name=contact.name or "",
        visit=message.visit,
        due_on=None if visit is None else visit.due_on,
        window_to=None if visit is None else visit.window_to,
        site=message.site,
        stop=_stop_link(row, resources),
    )
    return filled_in(template, words, with_stop=row.key.channel == "email")


def _stop_link(row: Row, resources: Resources) -> str:
    return opt_out_link(resources.sealer, resources.settings.base_url, row.id, row.study, row.participant)


def _message_id(row: Row, mail_from: str) -> str:
    """By what makes the reminder the only one: its number may be another's after a backup was restored, and
    who has that id already would take the message for the other.
    """
    name = "\0".join(["reminder", row.study, row.participant, *map(str, row.key)])
    if row.key.channel == "email":
        return stable_message_id(name, 1, sender=mail_from)
    return f"msg_reminder_{hashlib.sha256(name.encode()).hexdigest()[:32]}"


async def _mail(ready: Ready, resources: Resources) -> Outcome:
    settings, row = resources.settings, ready.row
    sender, smtp_url = settings.mail_from or "", settings.smtp_url or ""
    try:
        mail = compose(
            Text(ready.said.subject, ready.said.text),
            sender=sender,
            recipient=ready.to,
            message_id=ready.message_id,
            now=datetime.now(UTC),
            sender_name=ready.message.sender_name,
            unsubscribe=_stop_link(row, resources),
        )
    except UnusableAddress as error:
        await _end(resources, sending.failed(row.id, "no_address"))
        return Failed(str(error), final=True)
    answer = await asyncio.to_thread(hand_over, mail, smtp_url, sender=sender, recipient=ready.to)
    if isinstance(answer, Accepted):
        await _end(resources, sending.taken(row.id))
        return Done()
    if isinstance(answer, Refused):
        gone = sending.failed(row.id, "refused") if answer.final else sending.refused(row.id)
        await _end(resources, gone)
        return Failed(answer.error, final=answer.final)
    return Failed(answer.error)


async def _tell(ready: Ready, resources: Resources) -> Outcome:
    row, url = ready.row, ready.message.gateway_url or ""
    reach = reach_of(resources.settings)
    if refusal := refusal_of_url(url, reach):
        outcome: Outcome = Failed(refusal, final=True)
    else:
        body = _body(ready)
        now = int(time.time())
        headers = signed_headers(ready.secret, message_id=ready.message_id, timestamp=now, body=body)
        outcome = await post(url, body, headers, reach)
    if isinstance(outcome, Done):
        await _end(resources, sending.taken(row.id))
    elif isinstance(outcome, Failed):
        gone = sending.failed(row.id, "refused") if outcome.final else sending.refused(row.id)
        await _end(resources, gone)
    return outcome


def _body(ready: Ready) -> bytes:
    data = {
        "reminder": ready.row.id,
        "study": ready.row.study,
        "channel": ready.row.key.channel,
        "to": ready.to,
        "language": ready.said.language,
        "title": ready.said.subject,
        "text": ready.said.text,
    }
    return msgspec.json.encode({"type": "reminder", "timestamp": datetime.now(UTC), "data": data})


async def _end(resources: Resources, statement: Any) -> None:
    """Write down what came of it. Postgres may be away for a moment: what is not written down is repeated."""
    for attempt in range(1, TRIES_TO_END + 1):
        try:
            async with resources.engine.begin() as connection:
                await connection.execute(statement)
        except OperationalError:
            if attempt == TRIES_TO_END:
                raise
            await asyncio.sleep(0.1 * 2**attempt)
        else:
            return


async def _send_test(entry: Started, test: Mapping[str, Any], resources: Resources) -> Outcome:
    settings, u = resources.settings, users.c
    if settings.smtp_url is None or settings.mail_from is None:
        is_forgotten = datetime.now(UTC) - entry.created_at > A_TEST_WAITS
        return Dropped(NO_MAIL_SERVER.why) if is_forgotten else NO_MAIL_SERVER
    async with resources.engine.connect() as connection:
        recipient = await connection.scalar(select(u.email).where(u.id == int(test["person"]), u.active))
    if recipient is None:
        return Dropped("The account is closed.")
    mail = compose(
        Text(f"[Test] {test['subject']}", test["text"]),
        sender=settings.mail_from,
        recipient=recipient,
        message_id=stable_message_id(entry.key, entry.ticket, sender=settings.mail_from),
        now=datetime.now(UTC),
        sender_name=str(test.get("sender_name", "")),
    )
    answer = await asyncio.to_thread(
        hand_over, mail, settings.smtp_url, sender=settings.mail_from, recipient=recipient
    )
    if isinstance(answer, Accepted):
        return Done()
    return Failed(answer.error, final=isinstance(answer, Refused) and answer.final)
