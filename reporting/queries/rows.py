"""Result rows as typed values that encode to JSON as they are.

A row type's fields *are* the columns that are selected, so the two cannot drift apart. JSON columns come as
the text that Postgres holds and go out unread: a tablet's 30-digit integer would not survive a decoder, and
decoding the trials of a page costs more than selecting them.
"""

from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Dialect, Label, Table, Text, cast
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.types import TypeDecorator

_NULL = msgspec.Raw(b"null")


class _JsonText(TypeDecorator[msgspec.Raw]):
    impl = Text
    cache_ok = True

    def process_result_value(self, value: str | None, dialect: Dialect) -> msgspec.Raw:  # noqa: ARG002
        return _NULL if value is None else msgspec.Raw(value.encode())


def columns_of(
    row_type: type[msgspec.Struct], table: Table, *, besides: Sequence[Label[Any]] = ()
) -> list[ColumnElement[Any]]:
    """The columns of `table` that `row_type` has fields for, in its fields' order: `row_type(*row)` fits.

    `besides` are fields that no column has, by their labels.
    """
    labels = {label.name: label for label in besides}
    return [
        labels[name] if name in labels else _readable(table.c[name]) for name in row_type.__struct_fields__
    ]


def _readable(column: ColumnElement[Any]) -> ColumnElement[Any]:
    return cast(column, _JsonText) if isinstance(column.type, JSONB) else column
