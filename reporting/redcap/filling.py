"""A session → the rows that it has to be in REDCap, as its study's mapping says. Pure, and total.

One answer a form that the mapping names, in its order: a `Target`, or why there is none.

| situation | answer |
|---|---|
| another battery, visit or status than is asked for | NotWanted; `waits` while it is in progress |
| the participant has no record yet | NotWanted, `waits` |
| a visit that the mapping gives no event | Unmapped |
| a value that cannot be written, or that the field does not take | Unmapped, with the field's path |
| two instruments take the session to one form | the first's; Unmapped where both are there |
"""

from collections.abc import Mapping as MappingOf
from typing import Any, Final, NamedTuple
from zoneinfo import ZoneInfo

from reporting.redcap.dictionary import Dictionary, Field
from reporting.redcap.field_rules import LONGEST_TEXT, checkbox_column
from reporting.redcap.mapping import FieldMapping, InstrumentMapping, Mapping
from reporting.redcap.sources import parse_source, read_source
from reporting.redcap.target import Address, NotWanted, SessionFacts, Target, Unmapped
from reporting.redcap.transforms import Surroundings, Unfit, clean, key_of, write

DATA_ACCESS_GROUP: Final = "redcap_data_access_group"
LONGEST_RECORD: Final = 100

Filled = Target | Unmapped | NotWanted


class _Case(NamedTuple):
    """A session and what it is filled into; `fields` by name."""

    facts: SessionFacts
    mapping: Mapping
    dictionary: Dictionary
    fields: MappingOf[str, Field]
    surroundings: Surroundings


def targets(facts: SessionFacts, mapping: Mapping, dictionary: Dictionary) -> list[Filled]:
    """What the session has to be, one answer a form of the mapping. Never raises."""
    answers: dict[str, Filled] = {}
    case = _Case(
        facts,
        mapping,
        dictionary,
        {field.name: field for field in dictionary.fields},
        Surroundings(_timezone(facts.timezone), frozenset(dictionary.missing_codes)),
    )
    for index, instrument in enumerate(mapping.instruments):
        answer = _instrument(case, instrument, f"$.instruments[{index}]")
        former = answers.get(instrument.form)
        answers[instrument.form] = answer if former is None else _one_of(former, answer, index)
    return list(answers.values())


def withdrawal(
    mapping: Mapping, dictionary: Dictionary, form: str, accepted: MappingOf[str, str]
) -> dict[str, str]:
    """What is written to the instance of a session that is gone, or that goes elsewhere now; empty: nothing.

    `accepted` are the values that REDCap has of us. The key field stays, so that the instance is still known.
    """
    fields = {field.name: field for field in dictionary.fields}
    if mapping.withdrawn == "flag":
        flag = fields.get(mapping.withdrawn_field or "")
        return {} if flag is None or flag.form != form else _flag(flag, ticked=True)
    if mapping.withdrawn == "keep":
        return {}
    keys = {one.repeat.key_field for one in mapping.instruments if one.form == form}
    ticks = {
        checkbox_column(field.name, code)
        for field in dictionary.fields
        if field.type == "checkbox"
        for code in field.choices
    }
    return {
        column: "0" if column in ticks or column == f"{form}_complete" else ""
        for column in accepted
        if column not in keys and column != DATA_ACCESS_GROUP
    }


def _one_of(former: Filled, answer: Filled, index: int) -> Filled:
    """A session has one row a form: of two instruments, the one that takes it."""
    if isinstance(answer, NotWanted):
        waits_now = isinstance(former, NotWanted) and answer.waits and not former.waits
        return answer if waits_now else former
    if isinstance(former, NotWanted):
        return answer
    form = former.address.form if isinstance(former, Target) else former.form
    return Unmapped(
        path=f"$.instruments[{index}]",
        message=f"another instrument takes the session to {form} too",
        form=form,
    )


def _instrument(case: _Case, instrument: InstrumentMapping, path: str) -> Filled:
    facts, mapping = case.facts, case.mapping
    unwanted = _unwanted(facts, instrument)
    if unwanted is not None:
        return unwanted
    address = _address(case, instrument, path)
    if not isinstance(address, Address):
        return address
    values = _values(case, instrument, path)
    if isinstance(values, Unmapped):
        return values
    flag = case.fields.get(mapping.withdrawn_field or "")
    if mapping.withdrawn == "flag" and flag is not None and flag.form == instrument.form:
        values |= _flag(flag, ticked=False)
    key_field = instrument.repeat.key_field
    if key_field is not None:
        if clean(facts.uid, lines=False) != facts.uid or len(facts.uid.encode()) >= LONGEST_TEXT:
            message = "the session's id has characters that REDCap would change"
            return Unmapped(path=f"{path}.repeat.key_field", message=message, form=instrument.form)
        values[key_field] = facts.uid
    if instrument.dag is not None:
        values[DATA_ACCESS_GROUP] = instrument.dag
    return Target(
        address=address,
        repeat=instrument.repeat.mode,
        key_field=None if instrument.repeat.mode == "none" else key_field,
        values=values,
    )


def _unwanted(facts: SessionFacts, instrument: InstrumentMapping) -> NotWanted | None:
    battery = facts.columns.get("battery_id")
    if instrument.battery is not None and battery != instrument.battery:
        return NotWanted(why=f"its battery is {battery or 'not known'}", form=instrument.form)
    if instrument.visits is not None and facts.visit not in instrument.visits:
        return NotWanted(why=f"its visit is {facts.visit or 'not known'}", form=instrument.form)
    if facts.status not in instrument.statuses:
        return NotWanted(
            why=f"its status is {facts.status}", waits=facts.status == "in_progress", form=instrument.form
        )
    return None


def _address(case: _Case, instrument: InstrumentMapping, path: str) -> Address | Unmapped | NotWanted:
    facts, dictionary = case.facts, case.dictionary
    form = instrument.form
    by_code = case.mapping.project.record_id.source == "participant.code"
    record = facts.participant if by_code else facts.redcap_id
    if record is None or record == "":
        return NotWanted(why="the participant has no record in REDCap yet", waits=True, form=form)
    if clean(record, lines=False) != record or len(record) > LONGEST_RECORD:
        message = f"{record[:100]!r} cannot be the name of a record"
        return Unmapped(path="$.project.record_id", message=message, form=form)
    event = _event(facts, instrument)
    if isinstance(event, Unfit):
        return Unmapped(path=f"{path}.event", message=event.message, form=form)
    if dictionary.is_longitudinal and all(event != one.name for one in dictionary.events):
        message = (
            f"the project has no event {event}" if event else "the project is longitudinal: which event?"
        )
        return Unmapped(path=f"{path}.event", message=message, form=form)
    if event and not dictionary.is_longitudinal:
        message = f"the project has no events, so not {event} either"
        return Unmapped(path=f"{path}.event", message=message, form=form)
    return Address(record, event, form)


def _event(facts: SessionFacts, instrument: InstrumentMapping) -> str | Unfit:
    choice = instrument.event
    if choice is None:
        return ""
    if choice.by is None:
        return choice.always or ""
    value: Any = facts.visit if choice.by == "visit" else facts.columns.get("battery_version")
    found = None if value is None else choice.map.get(key_of(value))
    event = choice.always if found is None else found
    if event is None:
        what = choice.by.replace("_", " ")
        return Unfit(f"no event for the {what} {key_of(value)}" if value is not None else f"it has no {what}")
    return event


def _values(case: _Case, instrument: InstrumentMapping, path: str) -> dict[str, str] | Unmapped:
    values: dict[str, str] = {}
    for name, rule in instrument.fields.items():
        written = _field(case, name, rule)
        if isinstance(written, Unfit):
            return Unmapped(path=f"{path}.fields.{name}", message=written.message, form=instrument.form)
        values |= written
    if instrument.complete is not None:
        complete = _complete(case.facts, instrument)
        if isinstance(complete, Unfit):
            return Unmapped(path=f"{path}.complete", message=complete.message, form=instrument.form)
        values[f"{instrument.form}_complete"] = complete
    return values


def _field(case: _Case, name: str, rule: FieldMapping) -> dict[str, str] | Unfit:
    field = case.fields.get(name)
    if field is None:
        return Unfit(f"the project has no field {name}")
    source = parse_source(rule.source)
    if source is None:
        return Unfit(f"there is no source {rule.source}")
    return write(read_source(source, case.facts), rule, field, case.surroundings)


def _complete(facts: SessionFacts, instrument: InstrumentMapping) -> str | Unfit:
    if instrument.complete is None:
        return ""
    source = parse_source(instrument.complete.source)
    value = None if source is None else read_source(source, facts)
    found = None if value is None else instrument.complete.map.get(key_of(value))
    return Unfit(f"{key_of(value)[:100]!r} is not in the map") if found is None else str(found)


def _flag(field: Field, *, ticked: bool) -> dict[str, str]:
    if field.type == "checkbox":
        return {checkbox_column(field.name, "1"): "1" if ticked else "0"}
    return {field.name: "1" if ticked else "0"}


def _timezone(name: str) -> ZoneInfo | None:
    try:
        return ZoneInfo(name)
    except (OSError, ValueError, KeyError):
        return None
