"""Do the mapping's `participants` fit a project? Pure; never raises.

| checked | against |
|---|---|
| fields: they exist, hold text, on a form that does not repeat, in the event that is named | the dictionary |
| `map`: its keys are choices of the field, its values what the member can be | the dictionary, the roster |
| a site or data access group without a `map`; `by` and `from` | the mapping |
"""

from collections.abc import Iterator
from typing import Any, Final

import msgspec

from reporting.participants.rules import Language, Status
from reporting.redcap.dictionary import Dictionary, Field
from reporting.redcap.problem import Problem, near
from reporting.redcap.roster_mapping import Member, MemberMapping, RosterMapping

PATH: Final = "$.participants"
_NO_TEXT: Final = frozenset({"checkbox", "file", "descriptive"})
_TYPES: Final[dict[Member, Any]] = {"language": Language, "status": Status}


def roster_problems(roster: RosterMapping, dictionary: Dictionary) -> list[Problem]:
    """What has to be mended, in the mapping's order."""
    return list(_all(roster, dictionary))


def _all(roster: RosterMapping, dictionary: Dictionary) -> Iterator[Problem]:
    fields = {field.name: field for field in dictionary.fields}
    yield from _event(roster, dictionary)
    yield from _source(roster.code.source, f"{PATH}.code.from", roster, dictionary, fields)
    taken: dict[str, Member] = {}
    for member, mapping in roster.fields.items():
        path = f"{PATH}.fields.{member}"
        if (mapping.source is None) == (mapping.by is None):
            yield Problem(path, "It takes either `from` or `by`.", "language: {from: lang}")
            continue
        if mapping.by == "dag":
            if member != "site":
                yield Problem(f"{path}.by", "A data access group can only say the site.")
            elif mapping.direction != "pull":
                yield Problem(f"{path}.direction", "A data access group is pulled, never pushed.")
            yield from _groups(mapping, f"{path}.map", dictionary)
        elif mapping.source is not None:
            yield from _source(mapping.source, f"{path}.from", roster, dictionary, fields)
            if mapping.direction != "pull" and mapping.source in (dictionary.record_id, roster.code.source):
                yield Problem(f"{path}.direction", "What names a record or a participant is not pushed.")
            if mapping.direction != "pull" and mapping.source in taken:
                message = f"{taken[mapping.source]} is written to this field too."
                yield Problem(f"{path}.from", message)
            taken[mapping.source] = member
            yield from _choices(mapping, f"{path}.map", fields.get(mapping.source))
        if member == "site" and mapping.map is None:
            message = "Which site is meant has to be told."
            yield Problem(path, message, "site: {by: dag, map: {lima_clinic: lima}}")
        yield from _values(member, mapping, f"{path}.map")


def _event(roster: RosterMapping, dictionary: Dictionary) -> Iterator[Problem]:
    names = [event.name for event in dictionary.events]
    if roster.event is None and len(names) > 1:
        message = "The project has several events: name the one in which the fields are."
        yield Problem(f"{PATH}.event", message, f"event: {names[0]}")
    elif roster.event is not None and roster.event not in names:
        message = f"The project has no event {roster.event[:100]}."
        yield Problem(f"{PATH}.event", message, near(roster.event, names, "Classic projects have no events."))


def _source(
    name: str, path: str, roster: RosterMapping, dictionary: Dictionary, fields: dict[str, Field]
) -> Iterator[Problem]:
    field = fields.get(name)
    if field is None:
        yield Problem(path, f"The project has no field {name}.", near(name, fields))
        return
    if field.type in _NO_TEXT:
        yield Problem(path, f"{name} is a field of the type {field.type}: it holds no text.")
    if name == dictionary.record_id:
        return
    for event in dictionary.events:
        if event.name == roster.event and field.form not in event.forms:
            yield Problem(path, f"The form {field.form} of {name} is not in the event {event.name}.")
    if any(each.form == field.form and each.event in ("", roster.event or "") for each in dictionary.repeats):
        yield Problem(path, f"The form {field.form} of {name} repeats: which of them is meant is not known.")


def _choices(mapping: MemberMapping, path: str, field: Field | None) -> Iterator[Problem]:
    if field is None or not field.choices:
        return
    for code in mapping.map or {}:
        if code not in field.choices:
            told = ", ".join(list(field.choices)[:20])
            yield Problem(
                f"{path}.{code[:100]}", f"{field.name} has no choice {code[:100]}.", f"It has {told}."
            )


def _groups(mapping: MemberMapping, path: str, dictionary: Dictionary) -> Iterator[Problem]:
    groups = dictionary.groups
    for group in (mapping.map or {}) if groups is not None else ():
        if group not in (groups or ()):
            message = f"The project has no data access group {group[:100]}."
            yield Problem(f"{path}.{group[:100]}", message, near(group, groups or ()))


def _values(member: Member, mapping: MemberMapping, path: str) -> Iterator[Problem]:
    kind = _TYPES.get(member)
    for code, value in (mapping.map or {}).items() if kind is not None else ():
        try:
            msgspec.convert(value, kind)
        except msgspec.ValidationError:
            yield Problem(f"{path}.{code[:100]}", f"{value[:100]!r} is no {member}.")
    if mapping.direction != "pull" and mapping.map is not None:
        values = list(mapping.map.values())
        if len(set(values)) < len(values):
            yield Problem(path, "Two of REDCap's values are one here: it is not known which to write.")
