"""What a coordinator does to quarantined documents in Postgres: waive, no longer waive, retry.

Statements; whoever executes them writes the audit entry in the same transaction. The third act, a patch, is a
document in the site database (see `documents.corrections`).

| act | twice | for a problem that is not there |
|---|---|---|
| waive | one waiver: the second is not answered | not answered |
| no longer waive | the second is not answered | not answered |
| retry | one replay, with a new ticket | not answered |
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import (
    ARRAY,
    ColumnElement,
    Insert,
    Select,
    Text,
    TextClause,
    and_,
    any_,
    bindparam,
    delete,
    literal,
    select,
    text,
    tuple_,
)
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.sql.dml import ReturningDelete

from reporting.documents.text import without_nul
from reporting.tables import quarantine, replays, waivers


class Problem(NamedTuple):
    """What is waived: a code at a path of a document, whatever revision has it."""

    site: str
    doc_id: str
    code: str
    path: str


def select_problems(problems: Sequence[Problem]) -> Select[*tuple[Any, ...]]:
    """Statement: those of the problems that a quarantined revision has now."""
    q = quarantine.c
    return select(q.site, q.doc_id, q.code, q.path).where(_among(q, problems)).distinct()


def insert_waivers(problems: Sequence[Problem], *, reason: str, waived_by: str) -> Insert:
    """Statement: waive them; answers those that were not waived yet."""
    w = waivers.c
    why = {"reason": without_nul(reason), "waived_by": waived_by}
    rows = [{**problem._asdict(), **why} for problem in problems]
    statement = insert(waivers).values(rows).on_conflict_do_nothing()
    return statement.returning(w.site, w.doc_id, w.code, w.path)


def delete_waivers(problems: Sequence[Problem]) -> ReturningDelete[*tuple[Any, ...]]:
    """Statement: waive them no longer; answers those that were, with reason and person."""
    w = waivers.c
    return (
        delete(waivers)
        .where(_among(w, problems))
        .returning(w.site, w.doc_id, w.code, w.path, w.reason, w.waived_by)
    )


def insert_retries(
    site: str, *, doc_ids: Sequence[str] | None, code: str | None, requested_by: str
) -> Insert:
    """Statement: replay a site's quarantined documents that are named, or have the code; answers them."""
    q = quarantine.c
    conditions: list[ColumnElement[bool]] = [q.site == site]
    if doc_ids is not None:
        conditions.append(q.doc_id == any_(bindparam(None, list(doc_ids), type_=ARRAY(Text))))
    if code is not None:
        conditions.append(q.code == code)
    wanted = (
        select(q.site, q.doc_id, literal("retry"), literal(requested_by)).where(and_(*conditions)).distinct()
    )
    statement = insert(replays).from_select(["site", "doc_id", "cause", "requested_by"], wanted)
    return statement.on_conflict_do_update(
        index_elements=["site", "doc_id"],
        set_={
            "ticket": _default(),
            "cause": statement.excluded.cause,
            "requested_by": statement.excluded.requested_by,
            "requested_at": _default(),
        },
    ).returning(replays.c.doc_id)


def _among(columns: Any, problems: Sequence[Problem]) -> ColumnElement[bool]:
    key = tuple_(columns.site, columns.doc_id, columns.code, columns.path)
    return key.in_([tuple(problem) for problem in problems])


def _default() -> TextClause:
    return text("DEFAULT")
