"""Sessions as REDCap imports them: instances of one repeating instrument, a participant a record.

    record_id, redcap_repeat_instrument, redcap_repeat_instance, study, site, …

`record_id` is the participant's code or pseudonym, an instance is the participant's nth session by its start,
of those in the file: conditions that leave sessions out number the others otherwise.
A session that came in late moves those after it: import into an empty instrument, or push instead
([REDCAP](docs/REDCAP.md)), which keeps instances.
"""

from collections.abc import Iterable, Iterator
from typing import Any, Final

from sqlalchemy import Select

from reporting.research.audience import Audience, Wanted
from reporting.research.exporting import WHOLE, Part, typed_rows
from reporting.research.variables import Dataset
from sync_server.exports.described import Batch, Column, ColumnType, Table

INSTRUMENT: Final = "session"
_ORDER: Final = ("participant", "started_at", "started_day")
_LEADING: Final = (
    Column("record_id", ColumnType.TEXT, "Record: participant code"),
    Column("redcap_repeat_instrument", ColumnType.TEXT, "Repeating instrument"),
    Column("redcap_repeat_instance", ColumnType.INTEGER, "Instance: the participant's nth session"),
)


def redcap_table(table: Table) -> Table:
    """The table with REDCap's own columns before the others; the participant is the record."""
    others = tuple(column for column in table.columns if column.name != "participant")
    return Table(table.name, table.label, (*_LEADING, *others))


def redcap_select(dataset: Dataset, audience: Audience, wanted: Wanted, part: Part = WHOLE) -> Select[Any]:
    """Statement: a participant's sessions together, in the order of their starts."""
    return typed_rows(dataset, audience, wanted, part, order=_ORDER)


def redcap_batches(batches: Iterable[Batch], *, participant: int) -> Iterator[Batch]:
    """The rows of `redcap_table`; the code stands at `participant`."""
    before: object = None
    instance = 0
    for batch in batches:
        numbered = []
        for row in batch:
            code = row[participant]
            instance = instance + 1 if code == before else 1
            before = code
            rest = (*row[:participant], *row[participant + 1 :])
            numbered.append((code, INSTRUMENT, instance, *rest))
        yield numbered
