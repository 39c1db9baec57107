"""The dictionary of datasets: what each column is called, means, may hold, and how it can be asked for."""

from typing import Any

import msgspec

from reporting.research.datasets import DATASETS
from reporting.research.filters import OPERATORS
from reporting.research.variables import Dataset, Identifying, Language, Rule, Type, Unit, Variable


class AllowedValue(msgspec.Struct, frozen=True):
    """A value that there may be, and what it means."""

    code: str
    label: str


class VariableTold(msgspec.Struct, frozen=True):
    """A column. `missing`: what it means that there is no value; null: there always is one, unless `rule`
    takes it: what de-identification makes of it. `operators`: how it is filtered. `values`: empty where it
    is no closed list. The last three: of scores.
    """

    name: str
    label: str
    type: Type
    unit: Unit | None
    values: list[AllowedValue]
    missing: str | None
    identifying: Identifying
    rule: Rule
    operators: list[str]
    task: str | None
    score: str | None
    scoring_version: int | None


class DatasetTold(msgspec.Struct, frozen=True):
    """A dataset: what one row is, and by which columns it is told apart."""

    name: str
    label: str
    row: str
    key: list[str]
    variables: list[VariableTold]


class Dictionary(msgspec.Struct, frozen=True):
    """All datasets, labels in one language."""

    language: Language
    datasets: list[DatasetTold]


def dictionary(language: Language) -> Dictionary:
    """What there is, in this language."""
    return Dictionary(language, [_dataset(each, language) for each in DATASETS.values()])


def _dataset(dataset: Dataset, language: Language) -> DatasetTold:
    return DatasetTold(
        dataset.name,
        dataset.label.in_language(language),
        dataset.row.in_language(language),
        list(dataset.key),
        [_variable(each, language) for each in dataset.variables],
    )


def _variable(variable: Variable, language: Language) -> VariableTold:
    told: dict[str, Any] = {
        name: getattr(variable, name)
        for name in (
            *("name", "type", "unit", "missing", "identifying", "rule", "task", "score"),
            "scoring_version",
        )
    }
    return VariableTold(
        label=variable.label.in_language(language),
        values=[AllowedValue(each.code, each.label.in_language(language)) for each in variable.values],
        operators=[each.value for each in OPERATORS[variable.type]],
        **told,
    )
