"""The one kind of `filterLogic` that the double understands: comparisons joined by `and`, or by `or`.

`[field] = "x"`, also with `<> != < <= > >=`, `[event_arm_1][field]`, and `[flags(2)]` for a checkbox.
Anything else is refused with 400 and never answered as if nothing had been asked.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from tests.redcap_double.dictionary import Dictionary, checkbox_column
from tests.redcap_double.refusals import Refusal

_TERM = re.compile(
    r"""\s*(?:\[(?P<event>[a-z0-9_]+)\])?\[(?P<field>[a-z0-9_]+)(?:\((?P<code>[^)]+)\))?\]
        \s*(?P<operator>=|!=|<>|<=|>=|<|>)\s*
        (?:"(?P<double>[^"]*)"|'(?P<single>[^']*)'|(?P<number>-?\d+(?:\.\d+)?))\s*""",
    re.VERBOSE,
)
_COMPARE: dict[str, Callable[[float | str, float | str], bool]] = {
    "=": lambda one, other: one == other,
    "!=": lambda one, other: one != other,
    "<>": lambda one, other: one != other,
    "<": lambda one, other: one < other,  # type: ignore[operator]
    "<=": lambda one, other: one <= other,  # type: ignore[operator]
    ">": lambda one, other: one > other,  # type: ignore[operator]
    ">=": lambda one, other: one >= other,  # type: ignore[operator]
}


@dataclass(frozen=True, slots=True)
class Term:
    """One comparison; event "" is the row's own."""

    event: str
    column: str
    operator: str
    value: str

    def holds(self, values: Mapping[str, str]) -> bool:
        """For the values of a row; numbers are compared as numbers."""
        found = values.get(self.column, "")
        try:
            return _COMPARE[self.operator](float(found), float(self.value))
        except ValueError:
            return _COMPARE[self.operator](found, self.value)


@dataclass(frozen=True, slots=True)
class FilterLogic:
    """All of the terms, or any of them."""

    terms: tuple[Term, ...]
    joined_by: Callable[[list[bool]], bool]

    def holds(self, values_of: Callable[[str], Mapping[str, str]]) -> bool:
        """`values_of` gives the values at an event ("" for the row's own)."""
        return self.joined_by([term.holds(values_of(term.event)) for term in self.terms])


def parse(text: str, dictionary: Dictionary) -> FilterLogic:
    """Raises a `Refusal` for what is not understood."""
    parts = re.split(r"\s+(and|or)\s+", text.strip(), flags=re.IGNORECASE)
    joints = {joint.lower() for joint in parts[1::2]}
    if len(joints) > 1:
        raise _not_understood(text)
    return FilterLogic(
        tuple(_term(part, text, dictionary) for part in parts[::2]), any if joints == {"or"} else all
    )


def _term(part: str, whole: str, dictionary: Dictionary) -> Term:
    match = _TERM.fullmatch(part)
    if match is None:
        raise _not_understood(whole)
    field, code = match["field"], match["code"]
    name = checkbox_column(field, code) if code else field
    if name not in dictionary.columns():
        raise Refusal(400, f"The filterLogic names a field that is not in the project: [{field}]")
    value = next(found for found in (match["double"], match["single"], match["number"]) if found is not None)
    # A box that is not ticked is stored nowhere.
    if code and value == "0":
        value = ""
    return Term(match["event"] or "", name, match["operator"], value)


def _not_understood(text: str) -> Refusal:
    return Refusal(400, f"The double does not understand this filterLogic (the real API may): {text}")
