"""Datasets as exports read them: every row, in one order without ties, as statements.

The order is that of the raw keys, which are never in the file. `csv_rows` has Postgres write the values as
text, for COPY; `typed_rows` is read row by row, for formats that keep types. JSON is text in both.

| value | in CSV |
|---|---|
| null | nothing; an empty text is `""` |
| boolean | `true`, `false` |
| number | the shortest text that is read back as the same double; `NaN`, `Infinity`, `-Infinity` |
| date, moment | ISO 8601; moments in UTC with microseconds and `Z` |
| a text that a spreadsheet would compute | as it is; with `guard` an apostrophe before it |
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from sqlalchemy import ColumnElement, FromClause, Select, Text, and_, case, cast, func, literal, select

from reporting.compiled import compiled
from reporting.research.audience import Audience, Wanted
from reporting.research.query import Prepared, Question
from reporting.research.relations import sort_key
from reporting.research.variables import Dataset, Type, Variable
from reporting.tables import sessions, task_runs

FORMULA: Final = r"^'*[=+\-@＝＋－＠\t\r\n]"
"""What a spreadsheet would compute begins like this: for Postgres and for Python."""


class Part(NamedTuple):
    """Which columns, in their order, and which rows of a dataset; None: all."""

    columns: Sequence[Variable] | None = None
    prepared: Prepared | None = None
    """A question of the same dataset, audience and study."""

    @property
    def has_conditions(self) -> bool:
        """Whether some rows may not be in it."""
        return self.prepared is not None and bool(self.prepared.question.filters)

    def conditions(self, rows: FromClause) -> list[ColumnElement[bool]]:
        """Which rows of the dataset's relation."""
        return [] if self.prepared is None else self.prepared.conditions(rows)


WHOLE: Final = Part()


def typed_rows(
    dataset: Dataset, audience: Audience, wanted: Wanted, part: Part = WHOLE, *, order: Sequence[str] = ()
) -> Select[Any]:
    """Statement: the columns in their order. `order`: variables to order by before the raw keys."""
    rows = Question(dataset, audience, wanted).rows
    chosen = dataset.variables if part.columns is None else part.columns
    columns = [_typed(rows.c[each.name], each).label(each.name) for each in chosen]
    found = select(*columns).where(*part.conditions(rows))
    return found.order_by(*(rows.c[name] for name in (*order, *sort_key(dataset))))


def csv_rows(
    dataset: Dataset, audience: Audience, wanted: Wanted, part: Part = WHOLE, *, guard: bool
) -> Select[Any]:
    """Statement: the same rows, every value as COPY has to write it."""
    rows = Question(dataset, audience, wanted).rows
    chosen = dataset.variables if part.columns is None else part.columns
    columns = [_written(rows.c[each.name], each, guard=guard).label(each.name) for each in chosen]
    found = select(*columns).where(*part.conditions(rows))
    return found.order_by(*(rows.c[name] for name in sort_key(dataset)))


def copy_csv(statement: Select[Any]) -> tuple[str, Mapping[str, Any]]:
    """COPY of the statement's rows to the client as CSV with a header, and its parameters for psycopg."""
    text, parameters = compiled(statement)
    return f"COPY ({text}) TO STDOUT (FORMAT csv, HEADER, ENCODING 'UTF8')", parameters


def count_rows(dataset: Dataset, audience: Audience, wanted: Wanted, part: Part = WHOLE) -> Select[int]:
    """Statement: how many rows to expect. Of all trials what the task runs say, which is read in no time."""
    if dataset.name != "trials" or part.has_conditions:
        rows = Question(dataset, audience, wanted).rows
        return select(func.count()).select_from(rows).where(*part.conditions(rows))
    s, t = sessions.c, task_runs.c
    joined = task_runs.join(sessions, and_(s.site == t.site, s.id == t.session_id))
    of_study = [s.study == wanted.study, s.source_missing_at.is_(None)]
    if wanted.sites is not None:
        of_study.append(s.site.in_(wanted.sites))
    return select(func.coalesce(func.sum(t.n_trials), 0)).select_from(joined).where(*of_study)


def participants_with_trials(
    dataset: Dataset, audience: Audience, wanted: Wanted, part: Part = WHOLE
) -> Select[Any]:
    """Statement: the codes of those who have rows in the dataset, in order."""
    rows = Question(dataset, audience, wanted).rows
    found = select(rows.c.participant).where(*part.conditions(rows))
    return found.distinct().order_by(rows.c.participant)


def _typed(value: ColumnElement[Any], variable: Variable) -> ColumnElement[Any]:
    return cast(value, Text) if variable.type is Type.JSON else value


def _written(value: ColumnElement[Any], variable: Variable, *, guard: bool) -> ColumnElement[Any]:
    written: ColumnElement[Any] = value
    match variable.type:
        case Type.BOOLEAN:
            written = cast(value, Text)
        case Type.TIMESTAMP:
            written = func.to_char(func.timezone("UTC", value), 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
        case Type.DATE:
            written = func.to_char(value, "YYYY-MM-DD")
        case _:
            pass
    # JSON that begins like a formula is a number.
    if not guard or variable.type is not Type.TEXT:
        return written
    return case((written.op("~")(literal(FORMULA)), literal("'").op("||")(written)), else_=written)
