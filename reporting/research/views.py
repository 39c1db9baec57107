"""The datasets as views of Postgres, in two layers, so that no dataset can forget who may see what.

| schema, owner | holds | may read |
|---|---|---|
| `research_rows`, `metricis_research_rows` | what `current_user` has a grant for | the tables it is made of |
| `research`, `metricis_research` | datasets | the layer above; tables that hang on sessions |

Both are made from the relations of the audience `LOGIN`, and so are the columns that the owners may read:
there is no other list. `current_user` is the login that asks, however deep views are nested: with whose
rights a table is read is the owner's affair, what the function answers is not. The inner views are no
security barriers, so that Postgres plans a dataset as one query (a grant becomes a semi-join, trials are
reached by their index); the outer ones are, so that a function of the login's choosing sees no row that the
grant has not let through.

Row-level security says the same once more, for a view that forgets it. It is no substitute: a policy is asked
of every row that is looked at, and cannot be what rows are found by.

| what happens | what follows |
|---|---|
| a study has no policy | pseudonyms and dates are NULL for who is not `identified` |
| two grants cover a row, one of them `identified` | it is shown identified |
| a grant runs out or is withdrawn | the next statement does not see its rows |
| a relation reads another column of a table | its owner is let read it when the views are made anew |
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple

from sqlalchemy import (
    Column,
    ColumnElement,
    FromClause,
    Select,
    Table,
    func,
    literal_column,
    or_,
    select,
    tuple_,
)
from sqlalchemy.sql.visitors import iterate

from reporting.compiled import without_parameters
from reporting.research.audience import Audience
from reporting.research.datasets import DATASETS
from reporting.research.relations import OF_SESSIONS, relation
from reporting.research.sources import ROWS
from reporting.research.sources import SCHEMA as ROWS_SCHEMA
from reporting.research.variables import Dataset
from reporting.tables import participants, research_grants, sessions, visits

SCHEMA: Final = "research"


class View(NamedTuple):
    """A view, what it is, and what its columns mean."""

    schema: str
    name: str
    statement: Select[Any]
    comment: str
    comments: Mapping[str, str]


def inner_views() -> list[View]:
    """Those of `research_rows`."""
    return [
        View(ROWS_SCHEMA, name, make(Audience.LOGIN), f"Of {name}, those that the login may see.", {})
        for name, make in ROWS.items()
    ]


def dataset_views() -> list[View]:
    """What researchers read."""
    return [
        View(
            SCHEMA,
            dataset.name,
            _in_no_telling_order(dataset),
            f"{dataset.label.en}. One row: {dataset.row.en}.",
            {variable.name: variable.comment for variable in dataset.variables},
        )
        for dataset in DATASETS.values()
    ]


def _in_no_telling_order(dataset: Dataset) -> Select[Any]:
    """People by what they are shown as: on the disk they lie as they were enrolled, often by their codes.
    What hangs on sessions is too much to be sorted at each question.
    """
    statement = relation(dataset, Audience.LOGIN)
    if dataset.name in OF_SESSIONS:
        return statement
    return statement.order_by(statement.selected_columns["participant"])


def create(view: View) -> Iterator[str]:
    """Statements that make the view and say what it is; the view must not be there."""
    name = f"{view.schema}.{view.name}"
    options = " WITH (security_barrier)" if view.schema == SCHEMA else ""
    yield f"CREATE VIEW {name}{options} AS {without_parameters(view.statement)}"
    yield f"COMMENT ON VIEW {name} IS {_literal(view.comment)}"
    for column, comment in view.comments.items():
        yield f"COMMENT ON COLUMN {name}.{column} IS {_literal(comment)}"


def read_by(views: Iterable[View]) -> dict[str, list[str]]:
    """Columns of tables that the views read, by table: what their owner has to be let read."""
    found: dict[str, set[str]] = {}
    for view in views:
        for element in iterate(view.statement):
            if isinstance(element, ColumnElement):
                for column in element.base_columns:
                    if isinstance(column, Column) and isinstance(column.table, Table):
                        found.setdefault(column.table.name, set()).add(column.name)
    return {table: sorted(columns) for table, columns in sorted(found.items())}


def row_conditions() -> dict[str, str]:
    """By table: who may see a row of it, through whatever view of the inner views' owner."""
    p, s = participants, sessions.alias("s")
    # Who came to a granted site for a session is known there, wherever they are on the roster.
    at_site = (s.c.study == p.c.study, s.c.participant == p.c.code, _is_granted(s))
    came = select(s.c.id).where(*at_site).correlate(p).exists()
    return {
        "sessions": _condition(sessions, _is_granted(sessions)),
        "participants": _condition(p, or_(_is_granted(p), came)),
        "visits": _condition(visits, _is_granted(visits)),
    }


def _is_granted(rows: FromClause) -> ColumnElement[bool]:
    # Two lists that are made once a query: a question that depends on the row would be asked for each.
    g = research_grants.alias("g")
    valid = (
        g.c.login == literal_column("current_user"),
        or_(g.c.expires_at.is_(None), g.c.expires_at > func.now()),
    )
    studies = select(g.c.study).where(g.c.site.is_(None), *valid)
    places = select(g.c.study, g.c.site).where(g.c.site.is_not(None), *valid)
    return or_(rows.c.study.in_(studies), tuple_(rows.c.study, rows.c.site).in_(places))


def _condition(of: Table, condition: ColumnElement[bool]) -> str:
    # By itself it would be about any row: within a query of the table it is about the query's.
    query = without_parameters(select(literal_column("1")).select_from(of).where(condition))
    return query.partition("WHERE ")[2]


def _literal(text: str) -> str:
    quoted = text.replace("'", "''")
    return f"'{quoted}'"
