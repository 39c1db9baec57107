"""What an export is asked for, and what does not go together. Pure.

| format | datasets |
|---|---|
| `csv`, `ndjson`, `parquet`, `excel`, `spss` | any, each a file |
| `redcap` | `sessions_wide` alone: REDCap takes one instance of one instrument a row |
| `bids` | `trials` alone: BIDS knows task runs of sessions; the participants come with them |

Conditions are those of `GET /api/research/{dataset}`, written as there (`rt_ms.gte=200`, `from=2016-07-01`),
and hold of every dataset of the export: one that does not know a condition would hold rows that nobody asked
for, so the export is refused.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, NamedTuple, get_args

import msgspec
from msgspec import Meta

from reporting.research.datasets import DATASETS
from reporting.research.filters import Filter, NoSuchFilter, chosen_variables, period, read_filters
from reporting.research.variables import Dataset, Language, Variable

Format = Literal["csv", "ndjson", "parquet", "excel", "spss", "redcap", "bids"]
DatasetName = Literal[
    "sessions_wide", "scores_long", "trials", "participants", "visits", "quality", "provenance"
]
ColumnName = Annotated[str, Meta(min_length=1, max_length=63)]
Condition = Annotated[str, Meta(min_length=1, max_length=5000)]

FORMATS: Final = get_args(Format)
MOST_CONDITIONS: Final = 50
_ALONE: Final[Mapping[str, str]] = {"redcap": "sessions_wide", "bids": "trials"}
NAMING: Final[Mapping[str, tuple[str, ...]]] = {
    "redcap": ("participant",),
    "bids": ("participant", "session_id", "task", "run"),
}
"""Columns that name records or files: read whether they are chosen or not."""


class DoesNotGo(ValueError):
    """The format does not hold these datasets; the message says what it holds."""


class ExportRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Datasets, in which format. `language`: of labels. `guard`: in CSV, an apostrophe before texts that a
    spreadsheet would compute. `columns`: of a dataset, in this order; all of one that is not named.
    `where`: conditions on the rows of each dataset, as in the query of `GET /api/research/{dataset}`.
    """

    datasets: Annotated[tuple[DatasetName, ...], Meta(min_length=1, max_length=len(DATASETS))]
    format: Format = "csv"
    language: Language = "en"
    guard: bool = False
    columns: dict[DatasetName, Annotated[tuple[ColumnName, ...], Meta(max_length=1000)]] = {}
    where: Annotated[
        tuple[Condition, ...],
        Meta(
            max_length=MOST_CONDITIONS,
            description="`rt_ms.gte=200`, `task.in=stroop,simon`, `from=2016-07-01`",
        ),
    ] = ()

    def as_json(self) -> dict[str, Any]:
        """The same request is the same JSON: datasets and conditions once each, in an order of their own."""
        told: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(self))
        datasets = [name for name in DATASETS if name in self.datasets]
        return {**told, "datasets": datasets, "where": sorted(self.where)}


class Asked(NamedTuple):
    """What is asked of a dataset."""

    columns: tuple[Variable, ...]
    filters: tuple[Filter, ...]


def asked_of(request: ExportRequest) -> dict[str, Asked]:
    """By dataset. Raises NoSuchFilter."""
    for name in request.columns:
        if name not in request.datasets:
            raise NoSuchFilter(f"columns: {name} is no dataset of this export.", parameter="columns")
    naming = NAMING.get(request.format, ())
    asked = {}
    for name in request.as_json()["datasets"]:
        dataset = DATASETS[name]
        columns = chosen_variables(dataset, request.columns.get(name))
        named = tuple(dataset.by_name[each] for each in naming if name in request.columns)
        columns = (*named, *(each for each in columns if each not in named))
        asked[name] = Asked(columns, _filters(dataset, request.where))
    return asked


def check(request: ExportRequest) -> None:
    """Raises DoesNotGo, NoSuchFilter."""
    only = _ALONE.get(request.format)
    if only is not None and set(request.datasets) != {only}:
        raise DoesNotGo(f"An export as {request.format} is of the dataset {only} alone.")
    if request.guard and request.format != "csv":
        raise DoesNotGo("guard is for csv: no other format has formulas.")
    asked = asked_of(request)
    naming = set(NAMING.get(request.format, ()))
    if only is not None and {each.name for each in asked[only].columns} <= naming:
        raise NoSuchFilter(
            f"columns: {', '.join(sorted(naming))} name files and records; name a column besides.",
            parameter="columns",
        )


def on_record(request: Mapping[str, Any]) -> dict[str, Any]:
    """The request without what its conditions ask for: that may be a participant's code."""
    where = [text.partition("=")[0] for text in request["where"]]
    return {**request, "where": where}


def _filters(dataset: Dataset, where: tuple[str, ...]) -> tuple[Filter, ...]:
    given: list[tuple[str, str]] = []
    ends: dict[str, str] = {}
    for text in where:
        parameter, is_told, value = text.partition("=")
        if not is_told:
            raise NoSuchFilter(
                f"{text[:100]}: a condition is a column, an operator and a value, as in rt_ms.gte=200.",
                parameter=text[:100],
            )
        if parameter not in ("from", "to"):
            given.append((parameter, value))
        elif parameter in ends:
            raise NoSuchFilter(f"{parameter} is given twice.", parameter=parameter)
        else:
            ends[parameter] = value
    return (*read_filters(dataset, given), *period(dataset, ends.get("from"), ends.get("to")))
