"""Groups of a dataset's rows, and what is computed of each: counts, means, deviations, percentiles.

`group_by=task,condition&aggregate=count,mean:rt_ms,p10:rt_ms` answers `task, condition, count, mean_rt_ms,
p10_rt_ms`, a row a group, ordered by the group. Computed is what the asker would see row by row: missing is
left out of everything but `count`, and what a policy withholds is missing.

| aggregate | of | is |
|---|---|---|
| `count` | rows | how many |
| `count:x` | anything | how many are not missing |
| `mean:x`, `sum:x` | numbers, true and false | mean (share of true), sum (number of true) |
| `sd:x` | numbers | standard deviation of the sample (n - 1) |
| `median:x`, `p10:x`, `p97.5:x` | numbers | percentile, interpolated |
| `min:x`, `max:x` | numbers, dates, moments | least, greatest |

As in statistics, NaN, infinity and numbers beyond ±1e100 count as missing in means, sums, deviations and
percentiles: one of them would be all that is left of a mean, and the squares of two overflow.

An answer has `MOST_GROUPS` groups at most: more is no summary any more. It reads every row that its filters
let through, and is given up after a while (`RESEARCH_STATEMENT_SECONDS`).
"""

import re
from typing import Any, Final, NamedTuple

from sqlalchemy import ColumnElement, Double, FromClause, Integer, Select, cast, func, literal_column, select

from reporting.research.filters import NoSuchFilter, find_variable
from reporting.research.query import Prepared
from reporting.research.samples import LARGEST
from reporting.research.variables import Dataset, Type, Variable

MOST_GROUPS: Final = 10_000
_MOST_GROUPED_BY: Final = 6
_MOST_AGGREGATES: Final = 40
_NUMBERS: Final = (Type.INTEGER, Type.NUMBER)
_ORDERED: Final = (*_NUMBERS, Type.DATE, Type.TIMESTAMP)
_TAKES: Final = {
    "count": tuple(Type),
    "mean": (*_NUMBERS, Type.BOOLEAN),
    "sum": (*_NUMBERS, Type.BOOLEAN),
    "sd": _NUMBERS,
    "median": _NUMBERS,
    "min": _ORDERED,
    "max": _ORDERED,
}
_PERCENTILE: Final = re.compile(r"p([0-9]{1,2}(?:\.[0-9]{1,3})?|100)")
_KNOWN: Final = (*_TAKES, "p10 (any percentile)")


class Aggregate(NamedTuple):
    """What is computed; `variable` None: of rows. `percent` of a percentile."""

    name: str
    function: str
    variable: Variable | None
    percent: float | None = None

    @property
    def type(self) -> Type:
        """What its values are."""
        if self.function == "count" or self.variable is None:
            return Type.INTEGER
        return self.variable.type if self.function in ("min", "max") else Type.NUMBER


class Summary(NamedTuple):
    """Groups and what is computed of each."""

    group_by: tuple[Variable, ...]
    aggregates: tuple[Aggregate, ...]


def read_summary(dataset: Dataset, group_by: str | None, aggregate: str | None) -> Summary | None:
    """What the texts ask for; None: rows. Raises NoSuchFilter."""
    if group_by is None and aggregate is None:
        return None
    names = split(group_by)
    if len(names) > _MOST_GROUPED_BY:
        raise NoSuchFilter(f"group_by takes {_MOST_GROUPED_BY} columns at most.", parameter="group_by")
    grouped = tuple(find_variable(dataset, name, "group_by") for name in names)
    for variable in grouped:
        if variable.type is Type.JSON:
            raise NoSuchFilter(f"Nothing is grouped by {variable.name}: it is JSON.", parameter="group_by")
    asked = split(aggregate) or ["count"]
    if len(asked) > _MOST_AGGREGATES:
        raise NoSuchFilter(f"aggregate takes {_MOST_AGGREGATES} at most.", parameter="aggregate")
    computed = tuple(_read(dataset, each) for each in asked)
    found = [*names, *(each.name for each in computed)]
    for name in found:
        if found.count(name) > 1:
            raise NoSuchFilter(f"{name} is asked for twice.", parameter="aggregate")
    return Summary(grouped, computed)


def split(text: str | None) -> list[str]:
    """Names between commas."""
    return [name.strip() for name in (text or "").split(",") if name.strip()]


def summarise(prepared: Prepared, summary: Summary) -> Select[Any]:
    """Statement: a row a group, one more than may be answered where there are more."""
    question = prepared.question
    rows = question.rows
    groups = [rows.c[variable.name] for variable in summary.group_by]
    computed = [_expression(rows, each).label(each.name) for each in summary.aggregates]
    return (
        select(*groups, *computed)
        .where(*prepared.conditions(rows))
        .group_by(*groups)
        .order_by(*(group.asc().nulls_first() for group in groups))
        .limit(MOST_GROUPS + 1)
    )


def _read(dataset: Dataset, text: str) -> Aggregate:
    function, _, name = text.partition(":")
    percentile = _PERCENTILE.fullmatch(function)
    if function not in _TAKES and percentile is None:
        raise NoSuchFilter(
            f"There is no aggregate {function[:100]}; there are {', '.join(_KNOWN)}.", parameter="aggregate"
        )
    if not name:
        if function != "count":
            raise NoSuchFilter(
                f"{function} of what? Say {function}:<column>.",
                parameter="aggregate",
                columns=list(dataset.by_name),
            )
        return Aggregate("count", "count", None)
    variable = find_variable(dataset, name, "aggregate")
    taken = _NUMBERS if percentile else _TAKES[function]
    if variable.type not in taken:
        raise NoSuchFilter(
            f"{function} is not computed of {name}, which is of type {variable.type}.", parameter="aggregate"
        )
    label = f"{function.replace('.', '_')}_{name}"
    return Aggregate(label, function, variable, float(percentile[1]) if percentile else None)


def _expression(rows: FromClause, asked: Aggregate) -> ColumnElement[Any]:
    if asked.variable is None:
        return func.count()
    column = rows.c[asked.variable.name]
    if asked.function == "count":
        return func.count(column)
    if asked.function in ("min", "max"):
        return func.min(column) if asked.function == "min" else func.max(column)
    number = cast(cast(column, Integer) if asked.variable.type is Type.BOOLEAN else column, Double)
    counts = func.abs(number) <= literal_column(str(LARGEST), Double)
    if asked.percent is not None or asked.function == "median":
        share = literal_column(str((50.0 if asked.percent is None else asked.percent) / 100), Double)
        return func.percentile_cont(share).within_group(number).filter(counts)
    if asked.function == "sd":
        return func.stddev_samp(number).filter(counts)
    return (func.avg(number) if asked.function == "mean" else func.sum(number)).filter(counts)
