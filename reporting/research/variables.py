"""What a variable of a dataset is: all that a codebook, a comment in Postgres or an SPSS label says of it.

A column called `stroop_rt` may be a median or a difference, milliseconds or seconds, and empty because the
task was not done or because every answer was wrong. Written down in four places, the four differ. Here it is
written once, as a value, and views, comments, codebooks and labels are made from it.
"""

from collections.abc import Mapping
from enum import StrEnum
from functools import cached_property
from typing import Final, Literal

import msgspec

Language = Literal["en", "fr"]

LONGEST_NAME: Final = 63
"""Bytes, of Postgres. Stata takes 32: its format shortens."""
LONGEST_LABEL: Final = 80
"""Characters, of Stata; SPSS takes 256."""


class Text(msgspec.Struct, frozen=True):
    """A label in the languages of exports."""

    en: str
    fr: str

    def in_language(self, language: Language) -> str:
        """The label in one of them."""
        return self.fr if language == "fr" else self.en


class Type(StrEnum):
    """What a variable's values are, whatever format they are written in."""

    TEXT = "text"
    INTEGER = "integer"
    NUMBER = "number"
    """Float64."""
    BOOLEAN = "boolean"
    DATE = "date"
    TIMESTAMP = "timestamp"
    """A moment, UTC."""
    JSON = "json"


class Unit(StrEnum):
    """What a number counts."""

    MILLISECONDS = "ms"
    SECONDS = "s"
    MINUTES = "min"
    DAYS = "days"
    SHARE = "share (0-1)"
    DIGITS = "digits"
    LETTERS = "letters"
    COUNT = "count"


class Identifying(StrEnum):
    """What a value says about who somebody is."""

    NO = "no"
    INDIRECT = "indirect"
    """Together with something else: a date, a device, what was typed."""
    DIRECT = "direct"
    """By itself, to whoever has the study's list."""


class Rule(StrEnum):
    """What de-identification makes of a value; a grant of identified data shows it as it is.

    No rule changes a variable's type, so that a query written for one study runs on another's data.
    """

    KEEP = "keep"
    PSEUDONYM = "pseudonym"
    """A participant's code: as it is or a pseudonym, by the study's policy."""
    KEY = "key"
    """An identifier of something else: a keyed digest where codes are pseudonyms, equal in all datasets."""
    DATE = "date"
    """As it is, shifted by the participant's own number of days, or missing, by the study's policy. The
    days since enrolment that stand beside the dates that are analysed are kept by every policy."""
    CLOCK = "clock"
    """As it is where dates are, or else missing: what clocks of servers and devices say is of one moment for
    several participants, or of a season, and tells by how much their dates were shifted."""
    TODAY = "today"
    """As it is where dates are; else a visit that is due counts as planned: that its window is open today
    tells which day today is for the participant."""
    JUDGED = "judged"
    """Kept where it is a number or true or false, or where the trial is judged (`correct` is not missing):
    what is right or wrong says nothing about a person; a questionnaire's text may. Else missing."""
    MEMBERS = "members"
    """Only the members that scoring and quality rules read (`datasets.KEPT_MEMBERS`), where they are numbers
    or as short as a word; whatever else a task logs may hold what a participant typed."""
    WITHHOLD = "withhold"
    """Missing."""


class Value(msgspec.Struct, frozen=True):
    """An allowed value and what it means."""

    code: str
    label: Text


class Variable(msgspec.Struct, frozen=True, kw_only=True):
    """A column of a dataset."""

    name: str
    label: Text
    type: Type
    unit: Unit | None = None
    values: tuple[Value, ...] = ()
    """All that there may be; empty: not a closed list."""
    missing: str | None = None
    """What it means that there is no value; None: there always is one, unless the rule takes it."""
    identifying: Identifying = Identifying.NO
    rule: Rule = Rule.KEEP
    task: str | None = None
    """Of a score: the task it is of."""
    score: str | None = None
    """Of a score: its name in `scores_long`."""
    scoring_version: int | None = None
    """Of a score: the version of the definition that scores its task now."""

    @property
    def comment(self) -> str:
        """What Postgres tells of the column: label, unit and what missing means."""
        unit = f" [{self.unit.value}]" if self.unit else ""
        missing = f"; missing: {self.missing}" if self.missing else ""
        return f"{self.label.en}{unit}{missing}"


class Dataset(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """A view of the schema `research`."""

    name: str
    label: Text
    row: Text
    """What one row is."""
    key: tuple[str, ...]
    """Variables that together are there once: they order exports and pages."""
    nullable_key: tuple[str, ...] = ()
    """Those of `key` that may be missing; missing comes first, and is equal to missing."""
    variables: tuple[Variable, ...]

    @cached_property
    def by_name(self) -> Mapping[str, Variable]:
        """The variables by name, in order."""
        return {variable.name: variable for variable in self.variables}

    def find(self, name: str) -> Variable | None:
        """The variable of this name, if there is one."""
        return self.by_name.get(name)
