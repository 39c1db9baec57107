"""Trials in the manner of BIDS, with the participants of the roster and those who are in the trials alone;
where there are conditions on trials, with those who are in these.
"""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, Select

from reporting.research.audience import Audience, Wanted
from reporting.research.datasets import TRIALS
from reporting.research.exporting import Part, participants_with_trials, typed_rows
from reporting.research.roster_datasets import PARTICIPANTS
from reporting.research.variables import Language
from sync_server.exports.bids import Keys, write_bids
from sync_server.exports.dataset_tables import table_of
from sync_server.exports.described import Batch, Column, ColumnType, Table
from sync_server.exports.whole_file import Written

_KEYS: Final = Keys(participant="participant", session="session_id", task="task", run="run")
_ORDER: Final = ("participant", "session_id", "task", "run", "trial_index")

Source = tuple[Connection, Audience, Wanted, Part]


def write_bids_of(
    source: Source,
    language: Language,
    folder: Path,
    batches: Callable[[Select[Any], str], Iterator[Batch]],
    name: str,
) -> tuple[Written, Table]:
    """Write `trials_bids.zip`; also what its `participants.tsv` holds. Raises CannotHold, OSError."""
    _, audience, wanted, part = source
    identified = audience is Audience.IDENTIFIED
    roster = _code_first(table_of(PARTICIPANTS, language, identified=identified))
    written = write_bids(
        table_of(TRIALS, language, identified=identified, chosen=part.columns),
        batches(typed_rows(TRIALS, audience, wanted, part, order=_ORDER), TRIALS.name),
        folder,
        keys=_KEYS,
        participants=roster,
        participant_batches=_everybody(source, len(roster.columns)),
        description={"Name": name, "GeneratedBy": [{"Name": "Metricis Sync"}]},
    )
    label = Column("participant_id", ColumnType.TEXT, roster.columns[0].label)
    return written, Table(roster.name, roster.label, (label, *roster.columns[1:]))


def _code_first(table: Table) -> Table:
    at = table.position("participant")
    columns = (table.columns[at], *table.columns[:at], *table.columns[at + 1 :])
    return Table(table.name, table.label, columns)


def _everybody(source: Source, width: int) -> Iterable[Batch]:
    connection, audience, wanted, part = source
    at = [each.name for each in PARTICIPANTS.variables].index("participant")
    rows = [
        (row[at], *row[:at], *row[at + 1 :])
        for row in connection.execute(typed_rows(PARTICIPANTS, audience, wanted))
    ]
    with_trials = list(connection.scalars(participants_with_trials(TRIALS, audience, wanted, part)))
    if part.has_conditions:
        rows = [row for row in rows if row[0] in set(with_trials)]
    known = {row[0] for row in rows}
    rows += [(code, *([None] * (width - 1))) for code in with_trials if code not in known]
    yield rows
