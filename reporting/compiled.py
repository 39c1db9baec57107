"""SQLAlchemy's statements in the projector's own transaction, which is psycopg's and not SQLAlchemy's.

One statement serves the asynchronous service and the projector alike; only how it is sent differs.
"""

from collections.abc import Mapping
from typing import Any

import psycopg
from sqlalchemy import ClauseElement
from sqlalchemy.dialects.postgresql.psycopg import dialect as psycopg_dialect

_DIALECT = psycopg_dialect()  # type: ignore[no-untyped-call]  # SQLAlchemy's constructor has no types


def compiled(statement: ClauseElement) -> tuple[str, Mapping[str, Any]]:
    """SQL as psycopg takes it, and its parameters as SQLAlchemy would send them (JSON and bytes encoded);
    None for those that are bound later.
    """
    made = statement.compile(dialect=_DIALECT, compile_kwargs={"render_postcompile": True})
    # SQLAlchemy offers no public way to what it would send.
    processors: Mapping[str, Any] = made._bind_processors  # type: ignore[attr-defined]
    return str(made), {
        name: processors[name](value) if name in processors else value for name, value in made.params.items()
    }


def execute_in(connection: psycopg.Connection, statement: ClauseElement) -> psycopg.Cursor[Any]:
    """Execute the statement on this connection."""
    text, parameters = compiled(statement)
    return connection.execute(text.encode(), parameters)


def without_parameters(statement: ClauseElement) -> str:
    """SQL with its values in place, for definitions of views, which take no parameters; not for data."""
    return str(statement.compile(dialect=_DIALECT, compile_kwargs={"literal_binds": True})).replace("%%", "%")
