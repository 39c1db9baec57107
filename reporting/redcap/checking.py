"""Does a mapping fit a project, and what we score? Pure; never raises.

A mapping is checked before it is kept, and again whenever the project's dictionary has changed. A mapping
without a problem still parks a session whose own values do not fit; it never sends what the project refuses
for what it is.

| checked | against |
|---|---|
| forms, fields, events, repeats, choices, validations, data access groups | the dictionary |
| batteries, tasks, scores, visits, flags | `Known` |
| key field: text, of the form, without validation, filled by nothing else | the dictionary, the mapping |
| two instruments that may take one session to one form | the mapping |
"""

from collections.abc import Iterator, Sequence
from itertools import combinations, islice
from typing import Final

from reporting.redcap.checking_fields import Setting, field_problems
from reporting.redcap.checking_sources import source_problems
from reporting.redcap.dictionary import Dictionary, Field
from reporting.redcap.field_rules import refused
from reporting.redcap.known import Known
from reporting.redcap.mapping import InstrumentMapping, Mapping
from reporting.redcap.problem import Problem, near

MOST_PROBLEMS: Final = 200
_RECORD_FIELDS: Final = "REDCap has it for each row; `project.record_id` says which record a session is of."


def problems(mapping: Mapping, dictionary: Dictionary, *, known: Known) -> list[Problem]:
    """What has to be mended, in the mapping's order; the first MOST_PROBLEMS of it."""
    return list(islice(_all(mapping, dictionary, known), MOST_PROBLEMS))


def _all(mapping: Mapping, dictionary: Dictionary, known: Known) -> Iterator[Problem]:
    fields = {field.name: field for field in dictionary.fields}
    for index, instrument in enumerate(mapping.instruments):
        path = f"$.instruments[{index}]"
        yield from _selection(instrument, path, known)
        if instrument.form not in dictionary.forms:
            message = f"The project has no form {instrument.form}."
            yield Problem(f"{path}.form", message, near(instrument.form, dictionary.forms))
            continue
        yield from _events(instrument, path, dictionary, known)
        yield from _repeats(instrument, path, dictionary)
        yield from _key_field(instrument, path, dictionary, fields)
        yield from _fields(instrument, path, dictionary, fields, known)
        yield from _complete(instrument, path, known)
        yield from _group(instrument, path, dictionary)
    yield from _ambiguous(mapping.instruments)
    yield from _withdrawn(mapping, fields)


def _selection(instrument: InstrumentMapping, path: str, known: Known) -> Iterator[Problem]:
    if instrument.battery is not None and instrument.battery not in known.batteries:
        message = f"There is no battery {instrument.battery[:100]}."
        yield Problem(f"{path}.battery", message, near(instrument.battery, known.batteries))
    if not instrument.statuses:
        yield Problem(f"{path}.statuses", "No session has none of the statuses.", "statuses: [completed]")
    yield from _visits(instrument.visits or (), f"{path}.visits", known)


def _visits(visits: Sequence[str], path: str, known: Known) -> Iterator[Problem]:
    for visit in visits if known.visits is not None else ():
        if known.visits is not None and visit not in known.visits:
            yield Problem(path, f"The study has no visit {visit[:100]}.", near(visit, sorted(known.visits)))


def _chosen(instrument: InstrumentMapping) -> list[tuple[str, str]]:
    """The events that it may go to, each with its path below `event`."""
    choice = instrument.event
    if choice is None:
        return []
    by_value = [(f".map.{key[:100]}", event) for key, event in choice.map.items()]
    return by_value + ([(".always", choice.always)] if choice.always is not None else [])


def _events(
    instrument: InstrumentMapping, path: str, dictionary: Dictionary, known: Known
) -> Iterator[Problem]:
    choice, path = instrument.event, f"{path}.event"
    if not dictionary.is_longitudinal:
        if choice is not None:
            yield Problem(path, "The project has no events: it is not longitudinal.", "Leave event out.")
        return
    if choice is None or not _chosen(instrument):
        message = "The project is longitudinal: REDCap would put a row without an event into the first one."
        yield Problem(path, message, "event: {by: visit, map: {…}} or event: {always: …}")
        return
    if choice.by is None and choice.map:
        yield Problem(f"{path}.by", "A map without `by`: by what?", "by: visit")
    if choice.by == "visit":
        yield from _visits(list(choice.map), f"{path}.map", known)
        if choice.always is None:
            for visit in instrument.visits or ():
                if visit not in choice.map:
                    yield Problem(f"{path}.map", f"No event for the visit {visit[:100]}.")
    events = {event.name: event for event in dictionary.events}
    for where, name in _chosen(instrument):
        if name not in events:
            yield Problem(f"{path}{where}", f"The project has no event {name[:100]}.", near(name, events))
        elif instrument.form not in events[name].forms:
            message = f"The form {instrument.form} is not designated for the event {name}."
            yield Problem(f"{path}{where}", message, "Designate Instruments for My Events, in REDCap.")


def _repeats(instrument: InstrumentMapping, path: str, dictionary: Dictionary) -> Iterator[Problem]:
    """The mode has to be the project's, in each event: REDCap refuses an instance where nothing repeats, and
    takes none for instance 1 where something does.
    """
    path = f"{path}.repeat.mode"
    mode = instrument.repeat.mode
    repeats = {(repeat.event, repeat.form) for repeat in dictionary.repeats}
    names = {event.name for event in dictionary.events}
    events = [name for _, name in _chosen(instrument) if name in names] if names else [""]
    for event in dict.fromkeys(events):
        here = "none"
        if (event, instrument.form) in repeats:
            here = "instrument"
        elif event and (event, "") in repeats:
            here = "event"
        if mode != here:
            where = f" in the event {event}" if event else ""
            what = {
                "none": f"The form {instrument.form} does not repeat{where}.",
                "instrument": f"The form {instrument.form} repeats{where}.",
                "event": f"The event {event} repeats as a whole.",
            }[here]
            yield Problem(path, what, f"mode: {here}, or another set-up of repeats in REDCap.")


def _key_field(
    instrument: InstrumentMapping, path: str, dictionary: Dictionary, fields: dict[str, Field]
) -> Iterator[Problem]:
    name, path = instrument.repeat.key_field, f"{path}.repeat.key_field"
    if name is None:
        if instrument.repeat.mode != "none":
            message = (
                "Where a form repeats, a field has to hold the session's uid: by it an instance is found."
            )
            yield Problem(path, message, "A text field without validation.")
        return
    field = fields.get(name)
    if field is None:
        yield Problem(path, f"The project has no field {name}.", near(name, fields))
        return
    if field.form != instrument.form:
        yield Problem(path, f"{name} is a field of {field.form}, not of {instrument.form}.")
    if field.type != "text" or field.validation:
        what = f"{field.type}, {field.validation}" if field.validation else field.type
        yield Problem(path, f"{name} ({what}) cannot hold a uid.", "A text field without validation.")
    if name == dictionary.record_id:
        yield Problem(path, f"{name} names records; it cannot hold a session's uid.")
    if name in instrument.fields:
        yield Problem(path, f"{name} is filled by `fields` too.", "Leave it out there.")


def _fields(
    instrument: InstrumentMapping,
    path: str,
    dictionary: Dictionary,
    fields: dict[str, Field],
    known: Known,
) -> Iterator[Problem]:
    of_form = [field.name for field in dictionary.fields if field.form == instrument.form]
    for name, rule in instrument.fields.items():
        field, where = fields.get(name), f"{path}.fields.{name}"
        if name == dictionary.record_id:
            yield Problem(where, f"{name} names records and cannot be written.", _RECORD_FIELDS)
        elif name == f"{instrument.form}_complete":
            yield Problem(where, f"{name} is REDCap's own.", "`complete` fills it.")
        elif name.startswith("redcap_"):
            yield Problem(where, f"{name} is REDCap's own.", _RECORD_FIELDS)
        elif field is None:
            yield Problem(where, f"The project has no field {name}.", near(name, of_form))
        elif field.form != instrument.form:
            yield Problem(where, f"{name} is a field of {field.form}, not of {instrument.form}.")
        else:
            yield from field_problems(rule, field, where, Setting(instrument, dictionary, known))


def _complete(instrument: InstrumentMapping, path: str, known: Known) -> Iterator[Problem]:
    complete, path = instrument.complete, f"{path}.complete"
    if complete is None:
        return
    yield from source_problems(complete.source, f"{path}.from", instrument.battery, known)
    if complete.source in {"status", "session.status"}:
        for status in instrument.statuses:
            if status not in complete.map:
                hint = "0 incomplete, 1 unverified, 2 complete; sessions with it would be parked."
                yield Problem(f"{path}.map", f"The status {status} is not in the map.", hint)


def _group(instrument: InstrumentMapping, path: str, dictionary: Dictionary) -> Iterator[Problem]:
    groups, name = dictionary.groups, instrument.dag
    if name is not None and groups is not None and name not in groups:
        yield Problem(
            f"{path}.dag", f"The project has no data access group {name[:100]}.", near(name, groups)
        )


def _ambiguous(instruments: Sequence[InstrumentMapping]) -> Iterator[Problem]:
    for (_, one), (index, other) in combinations(enumerate(instruments), 2):
        if one.form == other.form and _may_meet(one, other):
            message = f"Another instrument may take the same session to {other.form}."
            yield Problem(f"$.instruments[{index}]", message, "Another battery, visits or statuses for each.")


def _may_meet(one: InstrumentMapping, other: InstrumentMapping) -> bool:
    if one.battery is not None and other.battery is not None and one.battery != other.battery:
        return False
    if one.visits is not None and other.visits is not None and not set(one.visits) & set(other.visits):
        return False
    return bool(set(one.statuses) & set(other.statuses))


def _withdrawn(mapping: Mapping, fields: dict[str, Field]) -> Iterator[Problem]:
    name, path = mapping.withdrawn_field, "$.withdrawn_field"
    if mapping.withdrawn != "flag":
        if name is not None:
            yield Problem(path, "It says nothing without `withdrawn: flag`.")
        return
    field = fields.get(name or "")
    if name is None or field is None:
        message = "`withdrawn: flag` needs a field." if name is None else f"The project has no field {name}."
        yield Problem(path, message, None if name is None else near(name, fields))
        return
    of_form = [instrument for instrument in mapping.instruments if instrument.form == field.form]
    if len(of_form) < len(mapping.instruments):
        yield Problem(path, f"{name} is a field of {field.form}, and the mapping has other forms as well.")
    if any(name in (*instrument.fields, instrument.repeat.key_field) for instrument in of_form):
        yield Problem(path, f"{name} is filled otherwise too.")
    takes = "1" in field.choices if field.type == "checkbox" else not any(refused(field, v) for v in "01")
    if not takes:
        yield Problem(path, f"{name} does not take 0 and 1.", "A yes-no field.")
