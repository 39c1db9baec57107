"""From the variables of a dataset to the columns that writers know: the one mapping. Pure."""

from collections.abc import Mapping, Sequence
from typing import Final

from reporting.research.variables import Dataset, Language, Rule, Type, Variable
from sync_server.exports.described import Allowed, Column, ColumnType, Table

_TYPES: Final[Mapping[Type, ColumnType]] = {
    Type.TEXT: ColumnType.TEXT,
    Type.INTEGER: ColumnType.INTEGER,
    Type.NUMBER: ColumnType.NUMBER,
    Type.BOOLEAN: ColumnType.BOOLEAN,
    Type.DATE: ColumnType.DATE,
    Type.TIMESTAMP: ColumnType.TIMESTAMP,
    Type.JSON: ColumnType.TEXT,
}
_TAKEN_AWAY: Final = frozenset({Rule.DATE, Rule.CLOCK, Rule.JUDGED, Rule.MEMBERS, Rule.WITHHOLD})


def table_of(
    dataset: Dataset, language: Language, *, identified: bool, chosen: Sequence[Variable] | None = None
) -> Table:
    """The table of the dataset's rows, as `typed_rows` selects them; of the chosen columns."""
    variables = dataset.variables if chosen is None else chosen
    columns = tuple(column_of(each, language, identified=identified) for each in variables)
    return Table(dataset.name, dataset.label.in_language(language), columns)


def column_of(variable: Variable, language: Language, *, identified: bool) -> Column:
    """The variable as a column; what de-identification takes away counts as missing too."""
    label = variable.label.in_language(language)
    missing = [variable.missing] if variable.missing else []
    if not identified and variable.rule in _TAKEN_AWAY:
        missing.append("withheld by the study's policy")
    return Column(
        variable.name,
        _TYPES[variable.type],
        f"{label} (JSON)" if variable.type is Type.JSON else label,
        unit=variable.unit.value if variable.unit else "",
        allowed=tuple(Allowed(one.code, one.label.in_language(language)) for one in variable.values),
        missing=", or ".join(missing),
    )
