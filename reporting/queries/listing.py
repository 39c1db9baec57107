"""Lists that their reader orders: by which column, in which direction.

Only named columns can be ordered by, so a list is never ordered by what no index or nobody's eye could bear.
Ties are broken by the list's own key, or two pages could both show a row, and none another.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, UnaryExpression
from sqlalchemy.sql import operators


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


def order_of(
    order: Order | None,
    *,
    sortable: Mapping[str, ColumnElement[Any]],
    key: Sequence[ColumnElement[Any]],
) -> list[ColumnElement[Any]]:
    """What to order by: as wanted, then by the list's key. Raises NotSortable."""
    if order is None:
        return list(key)
    if order.by not in sortable:
        raise NotSortable(order.by, list(sortable))
    column = sortable[order.by]
    return [(column.desc() if order.descending else column.asc()).nulls_last(), *key]


def backwards(order: Sequence[ColumnElement[Any]]) -> list[ColumnElement[Any]]:
    """The same order from its end."""
    return [_backwards(each) for each in order]


def _backwards(each: ColumnElement[Any]) -> ColumnElement[Any]:
    if not isinstance(each, UnaryExpression):
        return each.desc()
    if each.modifier is operators.nulls_last_op:
        return _backwards(each.element).nulls_first()
    if each.modifier is operators.nulls_first_op:
        return _backwards(each.element).nulls_last()
    if each.modifier is operators.desc_op:
        return each.element.asc()
    return each.element.desc() if each.modifier is operators.asc_op else each.desc()
