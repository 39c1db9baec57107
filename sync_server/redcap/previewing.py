"""What a push would do, without doing it: the same targets, places and decisions; nothing is kept or sent.

    a page of sessions ─▶ targets ─▶ one read a project ─▶ row by row, cell by cell: last, remote, new

| what happens | outcome |
|---|---|
| REDCap cannot be asked, or has no connection for a site | told as unreachable, with how many sessions |
| the project is paused | it is previewed all the same |
| no dictionary is pinned yet | it is read, and not kept |
| a form's instance was taken by a person meanwhile | a new one would be chosen: `create` |
| a session that is in REDCap, and has no place there any more | what the mapping's `withdrawn` would write |
"""

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from reporting.redcap.comparison import RowComparison, Summary, blocked, compare, summarise
from reporting.redcap.deciding import Lost, Moved, decide
from reporting.redcap.dictionary import Dictionary
from reporting.redcap.facts import select_facts, session_facts
from reporting.redcap.faults import Fault
from reporting.redcap.filling import targets
from reporting.redcap.ledger import LedgerRow, Session, ledger_row
from reporting.redcap.mapping import Mapping as StudyMapping
from reporting.redcap.preview_rows import select_known
from reporting.redcap.projects import project_row, select_project
from reporting.redcap.remote import Place, Row, exported_fields, places
from reporting.redcap.target import NotWanted, SessionFacts, Target, Unmapped
from reporting.redcap.withdrawing import away, is_in_place, known_columns
from sync_server.redcap.client import About
from sync_server.redcap.connections import Chosen, Unusable, choose, project_of
from sync_server.redcap.study_connections import Redcaps, told_fault
from sync_server.redcap.throttle import NoTurn
from sync_server.sealing import CannotOpen


class Unreachable(msgspec.Struct, frozen=True):
    """Sessions that could not be compared, and why."""

    project: str | None
    sessions: int
    why: str


class Preview(msgspec.Struct, frozen=True, kw_only=True):
    """What a push of these sessions would do. `not_wanted`: how many go nowhere, by why."""

    study: str
    summary: Summary
    rows: Sequence[RowComparison]
    not_wanted: Mapping[str, int]
    unreachable: Sequence[Unreachable]


class _Part(NamedTuple):
    """The sessions of one project."""

    project: str
    chosen: Chosen
    sessions: list[Session]
    facts: Mapping[Session, SessionFacts]
    known: Sequence[LedgerRow]
    dictionary: Dictionary | None


class _Wanted(NamedTuple):
    row: LedgerRow
    target: Target
    withdraws: bool = False


async def preview(
    connection: AsyncConnection,
    study: str,
    mapping: StudyMapping,
    sessions: Collection[Session],
    redcaps: Redcaps,
) -> Preview:
    """Of these sessions. The connection's transaction is ended before REDCap is asked."""
    parts, unreachable = await _parts(connection, study, mapping, sessions, redcaps)
    await connection.rollback()
    rows: list[RowComparison] = []
    not_wanted: dict[str, int] = {}
    for part in parts:
        try:
            found = await _of_part(part, mapping, redcaps, not_wanted)
        except _CannotAsk as error:
            unreachable.append(Unreachable(part.project, len(part.sessions), str(error)))
            continue
        rows += found
    ordered = sorted(rows, key=lambda row: (row.site, row.session, row.form))
    return Preview(
        study=study,
        summary=summarise(ordered),
        rows=ordered,
        not_wanted=not_wanted,
        unreachable=unreachable,
    )


class _CannotAsk(Exception):
    pass


async def _parts(
    connection: AsyncConnection,
    study: str,
    mapping: StudyMapping,
    sessions: Collection[Session],
    redcaps: Redcaps,
) -> tuple[list[_Part], list[Unreachable]]:
    by_site: dict[str, list[Session]] = {}
    for session in sorted(sessions):
        by_site.setdefault(session[0], []).append(session)
    grouped: dict[str, tuple[Chosen, list[Session]]] = {}
    unreachable: list[Unreachable] = []
    for site, of_site in by_site.items():
        chosen = await choose(connection, study, site, redcaps.settings.site_configs)
        if chosen is None:
            why = f"The study has no REDCap connection at {site}."
            unreachable.append(Unreachable(None, len(of_site), why))
        else:
            grouped.setdefault(project_of(chosen, mapping), (chosen, []))[1].extend(of_site)
    parts = []
    for project, (chosen, of_project) in grouped.items():
        answers = [(await connection.execute(each)).all() for each in select_facts(study, of_project)]
        known = [ledger_row(row) for row in await connection.execute(select_known(project, of_project))]
        row = (await connection.execute(select_project(project))).one_or_none()
        dictionary = None if row is None else project_row(row).dictionary
        parts.append(_Part(project, chosen, of_project, session_facts(*answers), known, dictionary))
    return parts, unreachable


async def _of_part(
    part: _Part, mapping: StudyMapping, redcaps: Redcaps, not_wanted: dict[str, int]
) -> list[RowComparison]:
    try:
        client = redcaps.client(part.chosen)
        dictionary = part.dictionary
        if dictionary is None:
            about = _answered(await client.read_about())
            dictionary = about.dictionary
        wanted, rows = _wanted(part, mapping, dictionary, not_wanted)
        if not wanted:
            return rows
        forms = list(dict.fromkeys(each.row.form for each in wanted))
        columns = [name for each in wanted for name in each.target.values]
        columns += [each.target.key_field for each in wanted if each.target.key_field is not None]
        columns += [name for each in wanted for name in known_columns(each.row, dictionary)]
        exported = _read(
            await client.read_rows(
                dictionary.record_id,
                fields=[*exported_fields(columns), *(f"{form}_complete" for form in forms)],
                records=list(dict.fromkeys(each.row.record for each in wanted)),
                events=list(dict.fromkeys(each.row.event for each in wanted if each.row.event)),
            )
        )
    except (Unusable, CannotOpen, NoTurn) as error:
        raise _CannotAsk(str(error)) from error
    there = places(exported, dictionary, forms)
    return rows + [_compared(each, there, dictionary) for each in wanted]


def _answered(answer: About | Fault) -> About:
    if isinstance(answer, About):
        return answer
    raise _CannotAsk(told_fault(answer))


def _read(answer: list[dict[str, str]] | Fault) -> list[dict[str, str]]:
    if isinstance(answer, list):
        return answer
    raise _CannotAsk(told_fault(answer))


def _wanted(
    part: _Part, mapping: StudyMapping, dictionary: Dictionary, not_wanted: dict[str, int]
) -> tuple[list[_Wanted], list[RowComparison]]:
    known: dict[Session, dict[str, LedgerRow]] = {}
    for row in part.known:
        known.setdefault(row.session, {})[row.form] = row
    wanted: list[_Wanted] = []
    told: list[RowComparison] = []
    for session in part.sessions:
        facts, rows = part.facts.get(session), known.get(session, {})
        kept: set[str] = set()
        for filled in [] if facts is None else targets(facts, mapping, dictionary):
            if isinstance(filled, NotWanted):
                not_wanted[filled.why] = not_wanted.get(filled.why, 0) + 1
            elif isinstance(filled, Unmapped):
                kept.add(filled.form)
                told.append(blocked(*session, filled))
            else:
                there = rows.get(filled.address.form)
                if there is not None and is_in_place(there, filled):
                    kept.add(there.form)
                    wanted.append(_Wanted(there, filled))
                else:
                    wanted.append(_Wanted(_new_row(part, session, filled), filled))
        left = [row for form, row in rows.items() if form not in kept]
        wanted += [each for row in left for each in _away(row, mapping, dictionary)]
    return wanted, told


def _new_row(part: _Part, session: Session, target: Target) -> LedgerRow:
    return LedgerRow(
        id=0,
        project=part.project,
        study="",
        site=session[0],
        session_id=session[1],
        form=target.address.form,
        record=target.address.record,
        event=target.address.event,
        instance=1 if target.repeat == "none" else None,
        state="pending",
        reason=None,
        payload=None,
        accepted=None,
        fence=0,
    )


def _away(row: LedgerRow, mapping: StudyMapping, dictionary: Dictionary) -> list[_Wanted]:
    """What is taken away of a session that has no place there any more; nothing, where it stays."""
    target = away(row, mapping, dictionary)
    return [] if target is None else [_Wanted(row, target, withdraws=True)]


def _compared(wanted: _Wanted, there: Mapping[Place, Row], dictionary: Dictionary) -> RowComparison:
    row, target = wanted.row, wanted.target
    here = {place.instance: values for place, values in there.items() if place.address == row.address}
    decided = decide(row, target, here, (), dictionary, withdraws=wanted.withdraws)
    instance = row.instance
    if isinstance(decided, Moved):
        instance = decided.instance
    elif isinstance(decided, Lost):
        instance = None
    compared = compare(
        row.site,
        row.session_id,
        target,
        instance=instance,
        last=row.accepted,
        remote=None if instance is None else here.get(instance),
    )
    reason = row.reason if row.state == "parked" else None
    if wanted.withdraws:
        reason = "The session has no place there any more."
    return msgspec.structs.replace(compared, reason=reason)
