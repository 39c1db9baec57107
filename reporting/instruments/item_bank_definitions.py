"""Calibrated items: what item response theory knows of each, and on whom it was found out.

| model | an item has | because |
|---|---|---|
| `1PL` | `b` | one difficulty, the same discrimination everywhere |
| `2PL` | `a` `b` | discrimination and difficulty |
| `3PL` | `a` `b` `c` | and what guessing gives |
| `GRM` | `a` `thresholds` | graded responses: one threshold fewer than categories, ascending |
"""

import itertools
from datetime import date
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from reporting.instruments.json_values import UnusableJson, check_json

MAX_CONTENT_BYTES = 16 * 1024

Discrimination = Annotated[float, Meta(gt=0, le=10)]
Difficulty = Annotated[float, Meta(ge=-10, le=10)]
Guessing = Annotated[float, Meta(ge=0, lt=1)]
ItemId = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$(?!\n)", max_length=64)]

_PARAMETERS = ("a", "b", "c", "thresholds")
_OF_MODEL = {"1PL": {"b"}, "2PL": {"a", "b"}, "3PL": {"a", "b", "c"}, "GRM": {"a", "thresholds"}}


class Item(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """One item; `content` is what the app shows."""

    id: ItemId
    a: Discrimination | None = None
    b: Difficulty | None = None
    c: Guessing | None = None
    thresholds: Annotated[list[Difficulty], Meta(min_length=1, max_length=20)] | None = None
    content: dict[str, Any] = {}


class Calibration(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """On whom, when and with what the parameters were estimated."""

    sample: Annotated[str, Meta(min_length=1, max_length=1000)]
    n: Annotated[int, Meta(ge=1, lt=2**31)]
    calibrated_on: date
    software: Annotated[str, Meta(min_length=1, max_length=200)]


class ItemBankDefinition(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Items of one model."""

    model: Literal["1PL", "2PL", "3PL", "GRM"]
    items: Annotated[list[Item], Meta(min_length=1, max_length=5000)]
    calibration: Calibration
    description: Annotated[str, Meta(max_length=5000)] = ""


class InvalidItemBank(ValueError):
    """Items that do not fit their model or each other; `path` as in `$.definition.items[3].a`."""

    def __init__(self, path: str, problem: str) -> None:
        self.path = path
        self.problem = problem
        super().__init__(f"{path}: {problem}")


def check_item_bank(definition: ItemBankDefinition) -> None:
    """Raises InvalidItemBank with the first problem."""
    seen: dict[str, int] = {}
    for index, item in enumerate(definition.items):
        path = f"$.definition.items[{index}]"
        if item.id in seen:
            raise InvalidItemBank(f"{path}.id", f"{item.id} is the id of items[{seen[item.id]}] too")
        seen[item.id] = index
        _check_item(item, definition.model, path)


def _check_item(item: Item, model: str, path: str) -> None:
    for name in _PARAMETERS:
        is_given, is_wanted = getattr(item, name) is not None, name in _OF_MODEL[model]
        if is_given != is_wanted:
            verb = "needs" if is_wanted else "has no"
            raise InvalidItemBank(f"{path}.{name}", f"an item of a {model} bank {verb} {name}")
    steps = item.thresholds or []
    if any(low >= high for low, high in itertools.pairwise(steps)):
        raise InvalidItemBank(f"{path}.thresholds", "thresholds ascend, each above the one before")
    try:
        check_json(item.content, f"{path}.content", max_bytes=MAX_CONTENT_BYTES)
    except UnusableJson as error:
        raise InvalidItemBank(error.path, error.problem) from error
