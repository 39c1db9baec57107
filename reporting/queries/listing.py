"""Lists that their reader orders: by which column, in which direction.

Only named columns can be ordered by, so a list is never ordered by what no index or nobody's eye could bear.
Ties are broken by the list's own key, or two pages could both show a row, and none another.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Select


class Order(msgspec.Struct, frozen=True):
    """By which name, ascending unless told otherwise. Rows without a value come last."""

    by: str
    descending: bool = False


class NotSortable(ValueError):
    """The list cannot be sorted by that."""

    def __init__(self, by: str, sortable: Sequence[str]) -> None:
        self.by = by
        self.sortable = sortable
        super().__init__(f"cannot sort by {by}: it can be {', '.join(sortable)}")


def in_order(
    statement: Select[*tuple[Any, ...]],
    order: Order | None,
    *,
    sortable: Mapping[str, ColumnElement[Any]],
    key: Sequence[ColumnElement[Any]],
) -> Select[*tuple[Any, ...]]:
    """The statement, ordered as wanted, then by its key. Raises NotSortable."""
    if order is None:
        return statement.order_by(*key)
    if order.by not in sortable:
        raise NotSortable(order.by, list(sortable))
    column = sortable[order.by]
    return statement.order_by((column.desc() if order.descending else column.asc()).nulls_last(), *key)
