"""`_explain`: the plan of a query, and why each other index was not chosen, in CouchDB's members."""

from collections.abc import Iterator, Sequence
from typing import Any

from replication.mango.definition import ALL_DOCS, Index
from replication.mango.fields import join_field
from replication.mango.matching import selector_json
from replication.mango.plan import Plan, unusable_because
from replication.mango.query import Query
from replication.mango.ranges import column_ranges, prefix_length
from replication.mango.selector import All, AnyOf, At, Node, Not


def explanation(database: str, indexes: Sequence[Index], query: Query, plan: Plan) -> dict[str, Any]:
    """The answer of `_explain`. `indexes` are those of the database without `_all_docs`."""
    return {
        "dbname": database,
        "index": plan.index.to_json(),
        "partitioned": False,
        "selector": selector_json(query.selector),
        "opts": _options(query),
        "limit": query.limit,
        "skip": query.skip,
        "fields": list(query.fields),
        "index_candidates": list(_candidates(indexes, query, plan)),
        "selector_hints": [_hints(query.selector)],
        "mrargs": {
            "include_docs": query.r == 1,
            "view_type": "map",
            "reduce": False,
            "partition": None,
            "direction": "rev" if query.descending else "fwd",
            "stable": query.stable or query.stale,
            "update": query.may_update,
            "conflicts": query.conflicts,
        },
        "covering": False,
    }


def _options(query: Query) -> dict[str, Any]:
    return {
        "use_index": list(query.use_index),
        "bookmark": query.bookmark,
        "limit": query.limit,
        "skip": query.skip,
        "sort": dict(query.sort),
        "fields": list(query.fields),
        "partition": "",
        "r": query.r,
        "conflicts": query.conflicts,
        "stale": "ok" if query.stale else False,
        "update": query.update,
        "stable": query.stable,
        "execution_stats": query.execution_stats,
        "allow_fallback": query.allow_fallback,
    }


def _candidates(indexes: Sequence[Index], query: Query, plan: Plan) -> Iterator[dict[str, Any]]:
    for index in (ALL_DOCS, *indexes):
        if index == plan.index:
            continue
        usable = index in plan.usable
        if usable:
            reasons, ranking = [_not_preferred(index, query, plan)], plan.usable.index(index)
        else:
            ranking = len(plan.usable)
            reasons = unusable_because(index, query) or ["is_partial"]
        analysis = {
            "usable": usable,
            "reasons": [{"name": reasons[0]}],
            "ranking": ranking,
            "covering": None if index.ddoc is None else False,
        }
        yield {"index": index.to_json(), "analysis": analysis}


def _not_preferred(index: Index, query: Query, plan: Plan) -> str:
    if index.ddoc is None:
        return "unfavored_type"
    if query.use_index and plan.usable.index(index) > 0 and _named(plan.index, query):
        return "excluded_by_user"
    ranges = column_ranges(query.selector)
    if prefix_length(index.paths, ranges) < prefix_length(plan.index.paths, ranges):
        return "less_overlap"
    if len(index.paths) > len(plan.index.paths):
        return "too_many_fields"
    return "alphabetically_comes_after"


def _named(index: Index, query: Query) -> bool:
    return index.ddoc == f"_design/{query.use_index[0]}"


def _hints(selector: Node) -> dict[str, Any]:
    indexable = {join_field(path) for path in column_ranges(selector)}
    unindexable = {join_field(path) for path in _paths(selector)} - indexable
    return {
        "type": "json",
        "indexable_fields": sorted(indexable),
        "unindexable_fields": sorted(unindexable),
    }


def _paths(node: Node) -> Iterator[tuple[str, ...]]:
    match node:
        case All(parts) | AnyOf(parts):
            for part in parts:
                yield from _paths(part)
        case Not(part):
            yield from _paths(part)
        case At(path):
            yield path
