"""Bringing reminders up to date: whoever changes what they depend on does it, in the same transaction.

Steps, as those of visits (`reporting.visits.generation`), taken behind them. The participants' locks are
those of their visits, so that of two transactions about one participant, the second sees what the first did.

| caller | after |
|---|---|
| visits | a visit has changed, also by a session (the projector) or the day (the relay) |
| participants | enrolled, withdrawn, moved, another contact |
| sites | another timezone |
| reminders | another rule, other settings, an opt-out |
| a worker | the contact says another timezone than was known |

| what happens | outcome |
|---|---|
| done twice, or by two at once | the second finds nothing that differs, and writes nothing |
| the process dies, or the transaction is undone | nothing has changed |
| a study without rules | one question, nothing else |
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

from sqlalchemy.ext.asyncio import AsyncConnection

from reporting.reminders import statements
from reporting.reminders.local_time import Quiet, is_known
from reporting.reminders.reconcile import Changes, Stored, changes
from reporting.reminders.schedule import CHANNELS, Key, Person, Rule, Settings, Visit, Wish, wanted
from reporting.steps import Steps
from reporting.visits.statements import lock_participants, pages, select_people_at

_PAGE: Final = 500
_OCCURRENCES_AT_ONCE: Final = 3000
"""Of each visit of a page's participants. While they are looked at, the process does nothing else, and its
transaction is idle: Postgres ends one that is for half a minute.
"""


class Known(NamedTuple):
    """What is known of some participants of a study, and what follows from it, by code."""

    people: Mapping[str, Person]
    wishes: Mapping[str, Mapping[Key, Wish]]
    visits: Mapping[str, Mapping[str, Visit]]


def replanned(
    study: str,
    participants: Sequence[str] | None,
    now: datetime,
    *,
    rules: Sequence[Rule] | None = None,
) -> Steps[list[tuple[str, Changes]]]:
    """Steps: reminders of these participants (None: all of the study) as they have to be now; what changes,
    by participant. With `rules`: only what would change if these were the study's.
    """
    is_trial = rules is not None
    if rules is None:
        rules = yield from read_rules(study)
    if not rules:
        return []
    if participants is None:
        participants = [code for (code,) in (yield statements.select_codes(study))]
    found: list[tuple[str, Changes]] = []
    if not participants:
        return found
    if not is_trial:
        yield lock_participants((study, code) for code in participants)
    settings = yield from read_settings(study)
    for codes in pages(participants, people_at_once(rules)):
        known = yield from look(study, codes, rules, settings, now)
        stored = read_stored((yield statements.select_stored(study, codes)))
        differing = [(code, changes(known.wishes[code].values(), stored[code])) for code in known.people]
        if not is_trial:
            yield from _write(study, differing)
        found += [each for each in differing if each[1].plan or each[1].cancel]
    return found


def replanned_at_site(site: str, now: datetime) -> Steps[None]:
    """Steps: reminders of the participants at this site, whose clocks may show something else now."""
    by_study: dict[str, list[str]] = defaultdict(list)
    for study, code in (yield select_people_at(site)):
        by_study[study].append(code)
    if by_study:
        yield lock_participants((study, code) for study in by_study for code in by_study[study])
    for study, codes in sorted(by_study.items()):
        yield from replanned(study, codes, now)


def people_at_once(rules: Iterable[Rule]) -> int:
    """How many participants are looked at together: fewer, the more the rules say of each visit."""
    occurrences = sum(len(rule.occurrences) for rule in rules)
    return max(1, min(_PAGE, _OCCURRENCES_AT_ONCE // max(1, occurrences)))


def look(
    study: str, codes: Sequence[str], rules: Sequence[Rule], settings: Settings, now: datetime
) -> Steps[Known]:
    """Steps: what is wanted of these participants; nothing is changed."""
    people = [read_person(row) for row in (yield statements.select_people(study, codes))]
    visits: dict[str, dict[str, Visit]] = defaultdict(dict)
    for participant, *fields in (yield statements.select_visits(study, codes)):
        visit = Visit(*fields)
        visits[participant][visit.code] = visit
    wishes = {
        person.code: {
            wish.key: wish
            for visit in visits[person.code].values()
            for wish in wanted(rules, settings, visit, person, now)
        }
        for person in people
    }
    return Known({person.code: person for person in people}, wishes, visits)


def read_rules(study: str) -> Steps[list[Rule]]:
    """Steps: the rules of a study, retired ones too."""
    rows = yield statements.select_rules(study)
    return [
        Rule._make([*fields, None if visits is None else frozenset(visits), retired])
        for *fields, visits, retired in rows
    ]


def read_settings(study: str) -> Steps[Settings]:
    """Steps: what the study says of all its reminders, or the defaults."""
    rows = yield statements.select_settings(study)
    if not rows:
        return Settings()
    [(quiet_from, quiet_to, clock, most_per_day)] = rows
    quiet = None if quiet_from is None else Quiet(quiet_from, quiet_to)
    return Settings(quiet, clock, most_per_day)


def read_person(row: Sequence[Any]) -> Person:
    """Of a row of `select_people`."""
    code, status, site_timezone, timezone, channels = row
    opted_out = set(channels or ())
    return Person(
        code,
        status,
        site_timezone,
        timezone,
        frozenset(CHANNELS if "all" in opted_out else opted_out),
    )


def read_stored(rows: Iterable[Sequence[Any]]) -> dict[str, dict[Key, Stored]]:
    """Of the rows of `select_stored`, by participant."""
    stored: dict[str, dict[Key, Stored]] = defaultdict(dict)
    for participant, number, visit, rule, channel, occurrence, *about in rows:
        key = Key(visit, rule, channel, occurrence)
        stored[participant][key] = Stored(number, key, *about)
    return stored


async def note_timezones(
    connection: AsyncConnection, study: str, zones: Iterable[tuple[str, str | None]]
) -> None:
    """These participants' contacts have these timezones now; what is no timezone counts as none. Their locks
    are held (`lock_participants`).
    """
    known = {code: zone if zone is not None and is_known(zone) else None for code, zone in zones}
    there = [(code, zone) for code, zone in sorted(known.items()) if zone is not None]
    for some in pages(there, _PAGE):
        await connection.execute(statements.upsert_timezones(study, some))
    if gone := [code for code, zone in known.items() if zone is None]:
        await connection.execute(statements.delete_timezones(study, gone))


def _write(study: str, differing: Sequence[tuple[str, Changes]]) -> Steps[None]:
    planned = [(code, each) for code, found in differing for each in found.plan]
    for some in pages(planned, _PAGE):
        yield statements.plan(study, some)
    cancelled = sorted(each for _, found in differing for each in found.cancel)
    for some_ids in pages(cancelled, _PAGE):
        yield statements.cancel(some_ids)
