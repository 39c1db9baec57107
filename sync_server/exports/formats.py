"""The formats by name; their libraries are loaded when a format is asked for.

`csv`, `ndjson` and `redcap` need nothing. The libraries of the others weigh more than everything else
together, and a hub in a cupboard never writes them: they are the extra `exports`.

| what | what follows |
|---|---|
| an unknown format | CannotHold, with those there are |
| a format whose library is not installed | FormatNotInstalled, with what to install |
"""

import importlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final, cast

from sync_server.exports.described import Batch, CannotHold, Table
from sync_server.exports.whole_file import Written

Writer = Callable[[Table, Iterable[Batch], Path], Written]

_WRITERS: Final = {
    "ndjson": ("ndjson", "write_ndjson"),
    "parquet": ("parquet", "write_parquet"),
    "excel": ("excel", "write_excel"),
    "spss": ("spss", "write_spss"),
    "redcap": ("delimited", "write_redcap_csv"),
}

FORMATS: Final = tuple(_WRITERS)
"""Those that write any table; CSV is `copied`, BIDS wants more than a table (`bids.write_bids`)."""

MEDIA_TYPES: Final = {
    ".zip": "application/zip",
    ".csv": "text/csv; charset=utf-8",
    ".gz": "application/gzip",
    ".parquet": "application/vnd.apache.parquet",
    ".xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    ".sav": "application/x-spss-sav",
    ".json": "application/json",
}
"""By the last suffix of `Written.name`."""


class FormatNotInstalled(RuntimeError):
    """The library of a format is not installed; the message says how to get it."""


def writer_of(name: str) -> Writer:
    """The writer of the format `name`. Raises CannotHold, FormatNotInstalled."""
    if name not in _WRITERS:
        raise CannotHold(f"There is no format {name!r}; there are {', '.join(FORMATS)}.")
    module, function = _WRITERS[name]
    try:
        return cast(Writer, getattr(importlib.import_module(f"sync_server.exports.{module}"), function))
    except ModuleNotFoundError as error:
        message = f"The format {name} needs {error.name}: pip install 'metricis-sync[exports]'."
        raise FormatNotInstalled(message) from error
