"""Choosing the index that answers a query, as CouchDB chooses it, and saying what was wrong with the choice.

    usable          every column is required by the selector or sorted by, and the sort is a run of columns
                    (after columns that an `$eq` makes constant)
    best of those   the longest run of leading columns with ranges, then the fewest columns, then by name
    none usable     `_all_docs`: every document in the order of ids; never for a sort: no_usable_index

An index with a partial filter is considered only when `use_index` names it.
"""

from collections.abc import Mapping, Sequence

import msgspec

from replication.mango.collation import ID_PATH, Path
from replication.mango.definition import ALL_DOCS, DESIGN, Index
from replication.mango.query import Query
from replication.mango.ranges import (
    KeyRange,
    column_ranges,
    index_range,
    is_constant,
    prefix_length,
    requires,
)
from replication.mango.refusal import QueryRefused
from replication.mango.selector import AnyOf, Node

NO_INDEX_WARNING = "No matching index found, create an index to optimize query time."
SCAN_WARNING = (
    "The number of documents examined is high in proportion to the number of results returned. "
    "Consider adding a more specific index to improve this."
)
_SCAN_RATIO = 10
_IMPLICIT = frozenset({("_id",), ("_rev",)})


class Plan(msgspec.Struct, frozen=True):
    """The index to read and its range. `usable` are all that would do, the best first.

    `empty`: no document can meet the selector.
    """

    index: Index
    keys: KeyRange
    empty: bool
    usable: tuple[Index, ...]


def choose(indexes: Sequence[Index], query: Query) -> Plan:
    """The plan for a query, given the indexes of the database without `_all_docs`. Raises QueryRefused."""
    named = [index for index in indexes if _is_named(index, query.use_index)]
    considered = [ALL_DOCS, *(index for index in indexes if not index.is_partial or index in named)]
    usable = [index for index in considered if not unusable_because(index, query)]
    if not usable:
        raise QueryRefused(
            "no_usable_index", "No index exists for this sort, try indexing by the sort fields."
        )
    candidates = [index for index in usable if index in named]
    if not candidates:
        if not query.allow_fallback and (query.use_index or len(usable) == 1):
            raise _invalid_index(query.use_index)
        candidates = usable
    ranges = column_ranges(query.selector)
    ordered = sorted(candidates, key=lambda index: _preference(index, ranges))
    best = ordered[0]
    nothing = isinstance(query.selector, AnyOf) and not query.selector.parts
    return Plan(
        index=best,
        keys=index_range(best.paths, ranges),
        empty=nothing or any(column.empty for column in ranges.values()),
        usable=(*ordered, *(index for index in usable if index not in ordered)),
    )


def _is_named(index: Index, use_index: tuple[str, ...]) -> bool:
    if not use_index or index.ddoc is None:
        return False
    return index.ddoc == DESIGN + use_index[0] and use_index[1:] in ((), (index.name,))


def _preference(index: Index, ranges: Mapping[Path, KeyRange]) -> tuple[bool, int, int, str, str]:
    covered = prefix_length(index.paths, ranges)
    return index.ddoc is None, -covered, len(index.paths), index.ddoc or "", index.name


def unusable_because(index: Index, query: Query) -> list[str]:
    """Why the index cannot answer the query, in `_explain`'s words; nothing when it can."""
    reasons = []
    if index.ddoc is None:
        if not query.sort:
            return []
        fields_fit = ID_PATH in column_ranges(query.selector)
        sort_fits = query.sort_paths == (ID_PATH,)
    else:
        needed = frozenset(index.paths) - frozenset(query.sort_paths) - _IMPLICIT
        fields_fit = requires(query.selector, needed)
        sort_fits = _sorts(index.paths, query.sort_paths, query.selector)
    if not fields_fit:
        reasons.append("field_mismatch")
    if not sort_fits:
        reasons.append("sort_order_mismatch")
    return reasons


def _sorts(columns: tuple[Path, ...], sort: tuple[Path, ...], selector: Node) -> bool:
    if not sort:
        return True
    for place, column in enumerate(columns):
        if column == sort[0]:
            return columns[place : place + len(sort)] == sort
        if not is_constant(selector, column):
            return False
    return False


def _invalid_index(use_index: tuple[str, ...]) -> QueryRefused:
    if not use_index:
        return QueryRefused("invalid_index", "You must specify an index with the `use_index` parameter.")
    named = ", ".join((f"_design/{use_index[0]}", *use_index[1:]))
    reason = f"{named} specified by `use_index` could not be found or it is not suitable."
    return QueryRefused("invalid_index", reason)


def warnings(plan: Plan, query: Query, *, examined: int, found: int) -> list[str]:
    """What the answer should tell of the index that was used; counts are of documents."""
    told = []
    if query.use_index and not _is_named(plan.index, query.use_index):
        named = ", ".join((f"_design/{query.use_index[0]}", *query.use_index[1:]))
        kind = "it is not a valid index" if query.use_index[1:] else "it does not contain a valid index"
        told.append(f"{named} was not used because {kind} for this query.")
    if plan.index.ddoc is None:
        told.append(NO_INDEX_WARNING)
    if examined > _SCAN_RATIO * max(found, 1):
        told.append(SCAN_WARNING)
    return told
