"""What a pull makes of a record: who it is here, and what of each member. Pure.

Who it is:

| is the record here | its code in REDCap | follows |
|---|---|---|
| s1 | s1, or none | s1 |
| s1 | another one | not taken: a code is never changed by a pull |
| nobody | of a participant without a record | is linked to it |
| nobody | of a participant who was this record at the last pull | a person took it away: not taken |
| nobody | of a participant with another record | not taken |
| nobody | nobody's | is created, where the mapping says so |
| nobody | erased, or none | not taken |
| somebody of another site than the project's own | | not taken: sites name records alike |

Each member, by what was last taken from REDCap, what is here, and what REDCap has now:

| last taken | here | REDCap | follows |
|---|---|---|---|
| any | the same | the same | `same` |
| never | nothing | a value | `take` |
| never | a value | nothing | `keep` |
| never | a value | another | `conflict` |
| as REDCap | another | | `keep`: a person's edit here |
| as here | | another | `take`; a site or status is never taken away |
| neither | | | `conflict`: both were edited |

By direction: `pull` is as above. `both`: what is kept goes to REDCap. `push`: likewise, and what would be
taken is a conflict, or left alone where there is nothing here.

What is kept of contacts is a fingerprint: nobody can read it, and it tells whether a text is the same.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import msgspec

from reporting.participants.contact import MEMBERS, Contact
from reporting.participants.fates import Known
from reporting.redcap.roster_mapping import Member, RosterMapping, Said

Verdict = Literal["same", "take", "keep", "conflict"]

Fingerprints = Callable[[str], Sequence[str]]
"""Of a text, the present one first."""

SHOWN_CONTACT = "(a contact)"


class Conflict(msgspec.Struct, frozen=True):
    """Both sides changed a member. Contacts are not told."""

    here: str | None
    redcap: str | None


class Taking(msgspec.Struct, frozen=True, kw_only=True):
    """What is taken of a record, and what is kept of it for the next time."""

    changes: Mapping[Member, str | None]
    taken: Mapping[str, str | None]
    conflicts: Mapping[str, Conflict]
    to_push: Mapping[Member, str | None] = {}


class Who(msgspec.Struct, frozen=True, kw_only=True):
    """The participant that a record is. `links`: its record has to be set; `problem`: nobody, and why."""

    code: str | None = None
    creates: bool = False
    links: bool = False
    problem: str | None = None


class Holder(msgspec.Struct, frozen=True):
    """A participant that the roster has, the record that it is, and whose site's."""

    code: str
    redcap_id: str | None
    site: str | None = None

    def is_of_another(self, site: str | None) -> bool:
        """Than the site's whose project it is; None: the study's, which has all."""
        return site is not None and self.site not in (None, site)


def who_is(  # noqa: PLR0911 (a table)
    said: Said,
    roster: RosterMapping,
    *,
    of_record: Holder | None,
    of_code: Holder | None,
    was: str | None,
    is_erased: Callable[[str], bool],
    own_site: str | None = None,
) -> Who:
    """Who it is; `was`: whom the last pull found it to be; `own_site`: whose project it is."""
    if of_record is not None and of_record.is_of_another(own_site):
        return Who(problem="The record of its name is of a participant of another site.")
    if of_code is not None and of_code.is_of_another(own_site):
        return Who(problem=f"{said.code} is of another site.")
    if of_record is not None:
        if said.code in (None, of_record.code):
            return Who(code=of_record.code)
        return Who(problem=f"It is {of_record.code} here, and REDCap calls it {said.code}.")
    if said.code is None:
        return Who(problem=f"It has no code: {roster.code.source} is empty.")
    if of_code is not None:
        if of_code.redcap_id is not None:
            return Who(problem=f"Its code {said.code} is of the record {of_code.redcap_id} here.")
        if was == of_code.code:
            return Who(problem=f"Somebody took the record from {said.code} here: set it again to go on.")
        return Who(code=of_code.code, links=True)
    if is_erased(said.code):
        return Who(problem="The participant with its code was erased.")
    if not roster.create:
        return Who(problem=f"{said.code} is not on the roster, and the mapping creates nobody.")
    return Who(code=said.code, creates=True, links=True)


def verdict(last: Any, here: str | None, there: str | None, *, ever: bool, told: Fingerprints) -> Verdict:
    """Of one member; `ever`: something was taken before, `last`, which `told` answers for a text."""

    def as_last(value: str | None) -> bool:
        return last is None if value is None else last in told(value)

    if here == there:
        return "same"
    if not ever:
        return "take" if here is None else "keep" if there is None else "conflict"
    if as_last(there):
        return "keep"
    return "take" if as_last(here) else "conflict"


def compare(
    roster: RosterMapping,
    said: Said,
    local: Mapping[Member, str | None],
    last: Mapping[str, Any],
    fingerprints: Fingerprints,
) -> Taking:
    """What is taken of each member that the mapping has."""
    changes: dict[Member, str | None] = {}
    taken: dict[str, str | None] = {}
    conflicts: dict[str, Conflict] = {}
    to_push: dict[Member, str | None] = {}
    for member, there in said.values.items():
        here = local.get(member)
        told = _teller(member, fingerprints)
        kept = last.get(member)
        judged = verdict(kept, here, there, ever=member in last, told=told)
        direction = roster.fields[member].direction
        stays = judged == "take" and there is None and member in ("site", "status")
        if judged == "take" and direction == "push":
            if member not in last:
                continue
            judged = "conflict"
        elif stays:
            judged = "keep"
        if judged == "conflict":
            secret = member.startswith("contact.")
            conflicts[member] = Conflict(_hidden(here), _hidden(there)) if secret else Conflict(here, there)
            if member in last:
                taken[member] = kept
            continue
        taken[member] = None if there is None else told(there)[0]
        if judged == "take":
            changes[member] = there
        elif judged == "keep" and direction != "pull" and not stays:
            to_push[member] = here
    return Taking(changes=changes, taken=taken, conflicts=conflicts, to_push=to_push)


def local_values(known: Known) -> dict[Member, str | None]:
    """A participant's members as texts."""
    state, contact = known.state, known.contact
    day = None if state.enrolled_on is None else state.enrolled_on.isoformat()
    own: dict[Any, str | None] = {
        "language": state.language,
        "enrolled_on": day,
        "site": state.site,
        "status": state.status,
    }
    return own | {f"contact.{name}": getattr(contact, name) for name in MEMBERS}


def with_changes(known: Known, changes: Mapping[Member, str | None], record: str | None) -> Known:
    """The participant with what was taken; `record` None: its record stays."""
    of_contact = {
        name.removeprefix("contact."): value for name, value in changes.items() if name.startswith("contact.")
    }
    of_state: dict[str, Any] = {
        name: value for name, value in changes.items() if not name.startswith("contact.")
    }
    if record is not None:
        of_state["redcap_id"] = record
    state = msgspec.convert({**msgspec.structs.asdict(known.state), **of_state}, type(known.state))
    contact = msgspec.convert({**msgspec.structs.asdict(known.contact), **of_contact}, Contact)
    return Known(state, contact)


def _teller(member: str, fingerprints: Fingerprints) -> Fingerprints:
    return fingerprints if member.startswith("contact.") else lambda value: [value]


def _hidden(value: str | None) -> str | None:
    return None if value is None else SHOWN_CONTACT
