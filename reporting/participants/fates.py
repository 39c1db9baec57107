"""What becomes of each row of an imported file. Pure: a dry run and the real run ask the same question.

| row | fate |
|---|---|
| a code that the study does not have | `created` |
| one that it has, and something differs | `updated` |
| one that it has, and nothing differs | `unchanged` |
| a value that cannot be, a change that the rules refuse, a site outside the caller's scope | `refused` |
| a code that an earlier row of the file has | `duplicate` |
| a REDCap record that an earlier row has, or another participant is | `refused` |
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date
from typing import Any, Final, Literal, NamedTuple

import msgspec

from reporting.participants.contact import MEMBERS, Contact, changed_members
from reporting.participants.rules import Code, Language, RedcapId, State, Status, needs_its_site, problem_of
from reporting.participants.table_file import Line

Outcome = Literal["created", "updated", "unchanged", "refused", "duplicate"]
OUTCOMES: tuple[Outcome, ...] = ("created", "updated", "unchanged", "refused", "duplicate")


class Fate(msgspec.Struct, frozen=True):
    """What becomes of a row; `column` and `reason` where it is not taken, `changes` what it changes."""

    line: int
    code: str
    outcome: Outcome
    column: str | None = None
    reason: str | None = None
    changes: list[str] = []


class Known(NamedTuple):
    """A participant that the study has."""

    state: State
    contact: Contact


class Change(NamedTuple):
    """What a row makes of a participant; `before` is None for a new one."""

    code: str
    before: Known | None
    after: Known


class Setting(NamedTuple):
    """What fates depend on besides file and roster: the day it is at each site of the study, where the caller
    may write, which codes were erased, and why all this is done.
    """

    days: Mapping[str, date]
    closed_sites: frozenset[str]
    may_write: Callable[[str | None], bool]
    is_erased: Callable[[str], bool]
    reason: str | None
    records: Mapping[str, str] = {}
    """Who is which record of those in the file: codes by record."""


class Report(msgspec.Struct, frozen=True):
    """`complete`: everything that is not refused is (or would be) done; otherwise nothing is."""

    dry_run: bool
    complete: bool
    counts: Mapping[Outcome, int]
    rows: list[Fate]


class _Typed(msgspec.Struct, frozen=True):
    code: Code
    site: str | None = None
    status: Status | None = None
    language: Language | None = None
    enrolled_on: date | None = None
    redcap_id: RedcapId | None = None


class _Refused(Exception):
    def __init__(self, column: str, reason: str) -> None:
        self.column = column
        self.reason = reason
        super().__init__(reason)


def judge(
    lines: Sequence[Line], roster: Mapping[str, Known], setting: Setting
) -> tuple[list[Fate], list[Change]]:
    """The fate of each row, in order, and the changes of those that are taken."""
    fates: list[Fate] = []
    changes: list[Change] = []
    seen: dict[str, int] = {}
    records = dict(setting.records)
    for line in lines:
        code = line.cells.get("code", "").strip()
        if code in seen:
            reason = f"Line {seen[code]} has this code."
            fates.append(Fate(line.number, code[:64], "duplicate", "code", reason))
            continue
        if code:
            seen[code] = line.number
        try:
            change = _change(line, roster.get(code), setting)
            _require_free(change, records)
        except _Refused as refused:
            fates.append(Fate(line.number, code[:64], "refused", refused.column, refused.reason))
            continue
        differing = _differing(change)
        outcome: Outcome = "created" if change.before is None else "updated" if differing else "unchanged"
        fates.append(Fate(line.number, code, outcome, changes=differing))
        if outcome != "unchanged":
            changes.append(change)
    return fates, changes


def report(fates: Iterable[Fate], *, dry_run: bool, skip: bool) -> Report:
    """What is answered. `skip`: rows that are not taken do not keep the others from being done."""
    rows = list(fates)
    counted = Counter(fate.outcome for fate in rows)
    complete = skip or not (counted["refused"] or counted["duplicate"])
    return Report(dry_run, complete, {outcome: counted[outcome] for outcome in OUTCOMES}, rows)


def _change(line: Line, before: Known | None, setting: Setting) -> Change:
    typed, contact = _typed(line), _contact(line, Contact() if before is None else before.contact)
    if before is None and setting.is_erased(typed.code):
        raise _Refused("code", "The participant with this code was erased: use another.")
    was = None if before is None else before.state
    site = typed.site or (was.site if was else None)
    status = typed.status or (was.status if was else "screened")
    enrolled_on = typed.enrolled_on or (was.enrolled_on if was else None)
    for where in {site, was.site if was else site}:
        if not setting.may_write(where):
            raise _Refused("site", "Your role does not allow changes at this site.")
    if site is not None and needs_its_site(was, State(site, status)):
        if site not in setting.days:
            raise _Refused("site", f"The study does not run at {site[:64]}.")
        if site in setting.closed_sites:
            raise _Refused("site", f"The site {site} is archived.")
    if (
        status == "enrolled"
        and enrolled_on is None
        and site is not None
        and (was is None or was.status != status)
    ):
        enrolled_on = setting.days.get(site)
    state = State(
        site,
        status,
        typed.language or (was.language if was else None),
        enrolled_on,
        typed.redcap_id or (was.redcap_id if was else None),
    )
    problem = problem_of(was, state, reason=setting.reason)
    if problem is not None:
        column = "status" if problem.member == "reason" else problem.member
        raise _Refused(column, problem.message)
    return Change(typed.code, before, Known(state, contact))


def _require_free(change: Change, records: dict[str, str]) -> None:
    record = change.after.state.redcap_id
    if record is None:
        return
    holder = records.setdefault(record, change.code)
    if holder != change.code:
        raise _Refused("redcap_id", f"{holder} is this record of REDCap.")


_WHAT_IT_IS: Final[Mapping[str, str]] = {
    "code": "A code is a letter or digit, then up to 63 letters, digits, dots, _ or -.",
    "status": "A status is screened, enrolled, withdrawn or completed.",
    "language": "A language is its tag, such as es or pt-BR.",
    "enrolled_on": "A day is year-month-day, as 2026-03-01.",
    "redcap_id": "A record's id has 100 characters at most, and no space around it.",
}
"""Who reads it has made a table, and knows no patterns."""


def _typed(line: Line) -> _Typed:
    given = {name: value.strip() for name, value in line.cells.items() if name in _Typed.__struct_fields__}
    if "code" not in given:
        raise _Refused("code", "The cell is empty.")
    try:
        return msgspec.convert(given, _Typed, strict=False)
    except msgspec.ValidationError as error:
        message, _, path = str(error).partition(" - at `$.")
        column = path.rstrip("`") or "code"
        raise _Refused(column, _WHAT_IT_IS.get(column, f"{message}.")) from error


def _contact(line: Line, before: Contact) -> Contact:
    given: dict[str, Any] = {
        name: line.cells[f"contact_{name}"] for name in MEMBERS if f"contact_{name}" in line.cells
    }
    if not given:
        return before
    try:
        checked = msgspec.convert(given, Contact)
    except msgspec.ValidationError as error:
        message, _, path = str(error).partition(" - at `$.")
        member = path.rstrip("`")
        raise _Refused(f"contact_{member}", f"{message}.") from error
    said = {name: getattr(checked, name) for name in given}
    return msgspec.structs.replace(before, **said)


def _differing(change: Change) -> list[str]:
    before, after = change.before, change.after
    was = State(None, "screened") if before is None else before.state
    names = [name for name in State.__struct_fields__ if getattr(was, name) != getattr(after.state, name)]
    contact = Contact() if before is None else before.contact
    return names + [f"contact_{name}" for name in changed_members(contact, after.contact)]
