"""What an export is asked for, and what does not go together. Pure.

| format | datasets |
|---|---|
| `csv`, `ndjson`, `parquet`, `excel`, `spss` | any, each a file |
| `redcap` | `sessions_wide` alone: REDCap takes one instance of one instrument a row |
| `bids` | `trials` alone: BIDS knows task runs of sessions; the participants come with them |
"""

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, get_args

import msgspec
from msgspec import Meta

from reporting.research.datasets import DATASETS
from reporting.research.variables import Language

Format = Literal["csv", "ndjson", "parquet", "excel", "spss", "redcap", "bids"]
DatasetName = Literal[
    "sessions_wide", "scores_long", "trials", "participants", "visits", "quality", "provenance"
]

FORMATS: Final = get_args(Format)
_ALONE: Final[Mapping[str, str]] = {"redcap": "sessions_wide", "bids": "trials"}


class DoesNotGo(ValueError):
    """The format does not hold these datasets; the message says what it holds."""


class ExportRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Datasets, in which format. `language`: of labels. `guard`: in CSV, an apostrophe before texts that a
    spreadsheet would compute.
    """

    datasets: Annotated[tuple[DatasetName, ...], Meta(min_length=1, max_length=len(DATASETS))]
    format: Format = "csv"
    language: Language = "en"
    guard: bool = False

    def as_json(self) -> dict[str, Any]:
        """The same request is the same JSON: datasets once each, in their own order."""
        told: dict[str, Any] = msgspec.to_builtins(self)
        return {**told, "datasets": [name for name in DATASETS if name in self.datasets]}


def check(request: ExportRequest) -> None:
    """Raises DoesNotGo."""
    only = _ALONE.get(request.format)
    if only is not None and set(request.datasets) != {only}:
        raise DoesNotGo(f"An export as {request.format} is of the dataset {only} alone.")
    if request.guard and request.format != "csv":
        raise DoesNotGo("guard is for csv: no other format has formulas.")
