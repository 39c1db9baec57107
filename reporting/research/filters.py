"""Conditions on variables, from the names and texts of a query string. Pure.

`rt_ms.gte=200&task.in=stroop,simon&visit.null=false`: a variable, an operator (`eq` where none is named) and
a value, which is read by the variable's type. A condition that is not understood is an error that says what
would be: a filter that is left out gives somebody other data than they think they have.

| type | operators |
|---|---|
| text | `eq` `ne` `in` `null` |
| integer, number, date, timestamp | these, and `gte` `gt` `lte` `lt` |
| boolean | `eq` `null` |
| JSON | `null` |

A date in place of a moment is its first or last instant (UTC), whichever includes the day for `gte` and `lte`
and leaves it out for `gt` and `lt`. A condition other than `null` is never true of what is missing.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, time
from enum import StrEnum
from typing import Annotated, Any, Final, NamedTuple

import msgspec
from msgspec import Meta

from reporting.research.shared_variables import STARTED
from reporting.research.variables import Dataset, Type, Variable

MOST_VALUES: Final = 200
"""Of `in`."""
_INTEGERS: Final = range(-(2**31), 2**31)
_AWARE: Final = Annotated[datetime, Meta(tz=True)]


class Operator(StrEnum):
    """What is asked of a variable's value."""

    EQ = "eq"
    NE = "ne"
    IN = "in"
    GTE = "gte"
    GT = "gt"
    LTE = "lte"
    LT = "lt"
    NULL = "null"


_EQUAL: Final = (Operator.EQ, Operator.NE, Operator.IN, Operator.NULL)
_ORDERED: Final = (*_EQUAL, Operator.GTE, Operator.GT, Operator.LTE, Operator.LT)
OPERATORS: Final[Mapping[Type, tuple[Operator, ...]]] = {
    Type.TEXT: _EQUAL,
    Type.INTEGER: _ORDERED,
    Type.NUMBER: _ORDERED,
    Type.DATE: _ORDERED,
    Type.TIMESTAMP: _ORDERED,
    Type.BOOLEAN: (Operator.EQ, Operator.NULL),
    Type.JSON: (Operator.NULL,),
}


class Filter(NamedTuple):
    """A condition. `values`: one, but of `in`; of `null`: whether it is to be missing."""

    variable: Variable
    operator: Operator
    values: tuple[Any, ...]


class NoSuchFilter(ValueError):
    """A condition that is not understood: which parameter, and what would be understood."""

    def __init__(self, message: str, *, parameter: str, **details: Any) -> None:
        self.details = {"parameter": parameter, **details}
        super().__init__(message)


def read_filters(dataset: Dataset, given: Iterable[tuple[str, str]]) -> tuple[Filter, ...]:
    """The conditions that names and texts say. Raises NoSuchFilter."""
    found: dict[tuple[str, Operator], Filter] = {}
    for parameter, text in given:
        each = _read(dataset, parameter, text)
        key = each.variable.name, each.operator
        if key in found:
            message = f"{parameter[:100]} is given twice; {key[0]}.in takes several values."
            raise NoSuchFilter(message, parameter=parameter)
        found[key] = each
    return tuple(found.values())


def period(dataset: Dataset, first: str | None, last: str | None) -> tuple[Filter, ...]:
    """`from` and `to`, both included: of when sessions began, visits are due, participants were enrolled."""
    by = {"participants": "enrolled_on", "visits": "due_on"}.get(dataset.name)
    variable = STARTED[0] if by is None else dataset.by_name[by]
    asked = (("from", Operator.GTE, first), ("to", Operator.LTE, last))
    return tuple(
        Filter(variable, operator, (_value(variable, operator, text, parameter),))
        for parameter, operator, text in asked
        if text is not None
    )


def find_variable(dataset: Dataset, name: str, parameter: str) -> Variable:
    """The variable of this name. Raises NoSuchFilter."""
    variable = dataset.find(name)
    if variable is None:
        raise NoSuchFilter(
            f"{dataset.name} has no column {name[:100]}.", parameter=parameter, columns=list(dataset.by_name)
        )
    return variable


def chosen_variables(dataset: Dataset, names: Sequence[str] | None) -> tuple[Variable, ...]:
    """The variables of these names, in their order; None: all. Raises NoSuchFilter."""
    if names is None:
        return dataset.variables
    chosen = tuple(find_variable(dataset, name, "columns") for name in names)
    if not chosen or len(set(names)) != len(names):
        raise NoSuchFilter("columns names each column once, and one at least.", parameter="columns")
    return chosen


def _read(dataset: Dataset, parameter: str, text: str) -> Filter:
    name, _, asked = parameter.partition(".")
    variable = find_variable(dataset, name, parameter)
    known = OPERATORS[variable.type]
    operator = next((each for each in known if each == (asked or Operator.EQ)), None)
    if operator is None:
        told = ", ".join(f"{name}.{each}" for each in known)
        raise NoSuchFilter(
            f"{parameter[:100]}: a column of type {variable.type} is filtered by {told}.",
            parameter=parameter,
            operators=list(known),
        )
    if operator is Operator.NULL:
        if text not in ("true", "false"):
            raise NoSuchFilter(f"{parameter} is true or false.", parameter=parameter)
        return Filter(variable, operator, (text == "true",))
    texts = text.split(",") if operator is Operator.IN else [text]
    if len(texts) > MOST_VALUES:
        raise NoSuchFilter(f"{parameter} takes {MOST_VALUES} values at most.", parameter=parameter)
    return Filter(variable, operator, tuple(_value(variable, operator, each, parameter) for each in texts))


def _value(variable: Variable, operator: Operator, text: str, parameter: str) -> Any:
    try:
        value = _READERS[variable.type](text, operator)
    except (ValueError, OverflowError) as error:
        raise NoSuchFilter(
            f"{parameter}: {text[:100]!r} is not {_MEANT[variable.type]}.", parameter=parameter
        ) from error
    codes = [each.code for each in variable.values]
    if codes and value not in codes:
        raise NoSuchFilter(
            f"{parameter}: {variable.name} is never {text[:100]!r}; it is one of {', '.join(codes)}.",
            parameter=parameter,
            values=codes,
        )
    return value


def _text(text: str, _: Operator) -> str:
    text.encode()
    if "\0" in text:
        raise ValueError("no stored text holds NUL")
    return text


def _integer(text: str, _: Operator) -> int:
    value = int(text)
    if value not in _INTEGERS:
        raise ValueError("no integer of Postgres")
    return value


def _number(text: str, _: Operator) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError("not finite")
    return value


def _boolean(text: str, _: Operator) -> bool:
    return {"true": True, "false": False}[text] if text in ("true", "false") else _no_boolean()


def _no_boolean() -> bool:
    raise ValueError("neither true nor false")


def _date(text: str, _: Operator) -> date:
    return date.fromisoformat(text)


def _moment(text: str, operator: Operator) -> datetime:
    if len(text) == len("2016-07-22") and operator not in (Operator.EQ, Operator.NE, Operator.IN):
        at = time.min if operator in (Operator.GTE, Operator.LT) else time.max
        return datetime.combine(date.fromisoformat(text), at, UTC)
    # A `+` that was not percent-encoded has become a space.
    moment: datetime = msgspec.convert(text[:10] + text[10:].replace(" ", "+"), _AWARE)
    return moment.astimezone(UTC)


_READERS: Final = {
    Type.TEXT: _text,
    Type.INTEGER: _integer,
    Type.NUMBER: _number,
    Type.BOOLEAN: _boolean,
    Type.DATE: _date,
    Type.TIMESTAMP: _moment,
}
_MEANT: Final = {
    Type.TEXT: "a text that could be stored",
    Type.INTEGER: "a whole number",
    Type.NUMBER: "a number",
    Type.BOOLEAN: "true or false",
    Type.DATE: "a date (2016-07-22)",
    Type.TIMESTAMP: "a time with its zone (2016-07-22T03:01:35Z), nor a date where a range is asked for",
}
