"""Bringing visits up to date: whoever changes what they depend on does it, in the same transaction.

The steps are a generator of statements that is sent their rows, so that the API (asyncio) and the projector
(psycopg) take the very same ones. First the participants are locked, then everything is read: of two
transactions about one participant, the second sees what the first has done.

| caller | after |
|---|---|
| participants | enrolled, withdrawn, moved to another site, `enrolled_on` changed |
| sites | another timezone |
| schedules | another definition: all participants of the study |
| visits | a decision by hand |
| the projector | a session of a visit was written or is gone (`completion`) |
| the relay, every minute | the day has come (`advance`) |

| what happens | outcome |
|---|---|
| done twice, or by two at once | the second finds nothing that differs, and writes nothing |
| the process dies, or the transaction is undone | nothing has changed, nothing is told |
| a participant with a session is made only now | the session is found: `completed` |
| thousands of participants | pages, in one transaction; publications and events in parts |
| a visit has changed | its reminders are planned anew (`reporting.reminders.planning`) |
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import AsyncConnection

from reporting.publication.requests import publish_documents, visit_document
from reporting.reminders.planning import replanned
from reporting.steps import Steps, perform
from reporting.visits import statements
from reporting.visits.schedule import Definition, Person, Plan, Sitting, Visit, local_day, wanted_visits
from reporting.visits.statements import pages
from reporting.webhooks.events import Event, announce

_PAGE: Final = 500
"""Participants that are looked at together."""
_ENTRIES: Final = 1000
"""Outbox entries of one statement."""
_ADVANCED_AT_ONCE: Final = 2000

_PUBLISHED: Final = ("site", "state", "due_on", "window_from", "window_to")
"""What a tablet is told of a visit, and who is told."""


class Change(NamedTuple):
    """A visit that is not as it was; `before` None: a new one."""

    study: str
    participant: str
    before: Visit | None
    after: Visit


async def bring_visits_up_to_date(
    connection: AsyncConnection, *, study: str, participants: Sequence[str] | None
) -> list[Change]:
    """Visits of these participants (None: all of the study) as they have to be now; what has changed.

    In the caller's transaction, after its own changes. Unknown participants have none.
    """
    return await connection.run_sync(perform, up_to_date(study, participants, datetime.now(UTC)))


def advance_visits(connection: Connection, now: datetime) -> int:
    """What time alone changes: planned → due → missed; how many visits. One call takes 2,000 participants at
    most, in the caller's transaction; the next call takes others.
    """
    return len(perform(connection, advanced(now)))


def up_to_date(
    study: str,
    participants: Sequence[str] | None,
    now: datetime,
    *,
    definitions: Sequence[Definition] | None = None,
) -> Steps[list[Change]]:
    """Steps: see `bring_visits_up_to_date`. With `definitions`: only what would change if these were the
    study's.
    """
    if participants is None:
        participants = [code for (code,) in (yield statements.select_codes(study))]
    if not participants:
        return []
    yield statements.lock_participants((study, code) for code in participants)
    is_trial = definitions is not None
    if definitions is None:
        definitions = read_definitions((yield statements.select_definitions(study)))
    changes: list[Change] = []
    if not definitions:
        return changes
    for codes in pages(participants, _PAGE):
        found = yield from _changes(study, codes, definitions, now)
        if found and not is_trial:
            yield statements.upsert_visits(study, [(each.participant, each.after) for each in found])
            yield from _tell(found)
            yield from replanned(study, sorted({each.participant for each in found}), now)
        changes += found
    return changes


def advanced(now: datetime) -> Steps[list[Change]]:
    """Steps: see `advance_visits`."""
    zones = {zone for (zone,) in (yield statements.select_timezones())} | {"UTC"}
    today = {zone: local_day(now, zone) or now.date() for zone in zones}
    behind = [(study, code) for study, code in (yield statements.select_behind(today, _ADVANCED_AT_ONCE))]
    return (yield from up_to_date_everywhere(behind, now))


def at_site(site: str, now: datetime) -> Steps[list[Change]]:
    """Steps: visits of the participants at this site, whose days may be others now."""
    people = [(study, code) for study, code in (yield statements.select_people_at(site))]
    return (yield from up_to_date_everywhere(people, now))


def up_to_date_everywhere(people: Iterable[tuple[str, str]], now: datetime) -> Steps[list[Change]]:
    """Steps: visits of these (study, participant), whatever their studies."""
    by_study: dict[str, list[str]] = defaultdict(list)
    for study, code in sorted(set(people)):
        by_study[study].append(code)
    changes: list[Change] = []
    if by_study:
        yield statements.lock_participants((study, code) for study in by_study for code in by_study[study])
        planned = yield statements.select_planned_studies(list(by_study))
        for (study,) in planned:
            changes += yield from up_to_date(study, by_study[study], now)
    return changes


def read_definitions(rows: Iterable[Sequence[Any]]) -> list[Definition]:
    """Of the rows of `select_definitions`."""
    return [Definition(code, Plan(*plan), retired) for code, *plan, retired in rows]


def _changes(
    study: str, codes: Sequence[str], definitions: Sequence[Definition], now: datetime
) -> Steps[list[Change]]:
    people = [Person(*row) for row in (yield statements.select_people(study, codes))]
    sittings: dict[str, dict[str, Sitting]] = defaultdict(dict)
    for participant, visit, *about in (yield statements.select_sittings(study, codes)):
        sittings[participant][visit] = Sitting(*about)
    stored: dict[str, dict[str, Visit]] = defaultdict(dict)
    for participant, *fields in (yield statements.select_stored(study, codes)):
        visit = Visit(*fields)
        stored[participant][visit.code] = visit
    changes: list[Change] = []
    for person in people:
        before = stored[person.code]
        today = local_day(now, person.timezone) or now.date()
        wanted = wanted_visits(definitions, person, sittings[person.code], before, today)
        changes += _differing(study, person.code, before, wanted)
    return changes


def _differing(
    study: str, participant: str, before: Mapping[str, Visit], wanted: Iterable[Visit]
) -> Iterator[Change]:
    for visit in wanted:
        if before.get(visit.code) != visit:
            yield Change(study, participant, before.get(visit.code), visit)


def _tell(changes: Sequence[Change]) -> Steps[None]:
    documents = {document for change in changes for document in _documents(change)}
    for some in pages(sorted(documents), _ENTRIES):
        yield publish_documents(some)
    for events in pages((event for change in changes for event in _events(change)), _ENTRIES):
        yield announce(*events)


def _documents(change: Change) -> Iterator[tuple[str, str]]:
    before, after = change.before, change.after
    if before is not None and all(getattr(before, name) == getattr(after, name) for name in _PUBLISHED):
        return
    document = visit_document(change.study, change.participant, after.code)
    for site in {after.site, None if before is None else before.site}:
        if site is not None:
            yield site, document


def _events(change: Change) -> Iterator[Event]:
    """A visit is told as completed once for each session that has come to count, as missed once a window."""
    before, after = change.before, change.after
    session = (after.session_site, after.session_id)
    about = f"{change.study}/{change.participant}/{after.code}"
    data: dict[str, Any] = {"study": change.study, "participant": change.participant, "visit": after.code}
    if after.state == "completed" and (before is None or (before.session_site, before.session_id) != session):
        data |= {"session_site": after.session_site, "session": after.session_id}
        data |= {"completed_at": _text(after.completed_at), "in_window": after.in_window}
        occurrence = f"{about}/{after.session_site}/{after.session_id}"
        yield Event(
            name="visit.completed", occurrence=occurrence, study=change.study, site=after.site, data=data
        )
    elif after.state == "missed" and (before is None or before.state != "missed"):
        data |= {"due_on": _text(after.due_on), "window_to": _text(after.window_to)}
        occurrence = f"{about}/{after.window_to}"
        yield Event(
            name="visit.missed", occurrence=occurrence, study=change.study, site=after.site, data=data
        )


def _text(moment: Any) -> str | None:
    return None if moment is None else moment.isoformat()
