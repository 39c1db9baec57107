"""The SQL of a rebuild: fresh tables beside the live ones, compared and exchanged by document.

Fresh tables are temporary tables of the same names. Postgres looks for a name among the temporary tables
first, so every statement of the projector writes there without knowing it, and finds the ingest log, the
waivers and the references where they always are. With the search path turned round the very same statements
mean the live tables.

A row belongs to a document. Rows are compared as a whole, except for what says *when* something was written:

| column | compared as |
|---|---|
| `projected_at`, `quarantined_at`, `epoch` | not at all |
| `source_missing_at` | set or not |

Of a document whose leaves are all deletions, or that is gone, what it was projected to before stays; so those
tables are left alone for it.

Statements are put together from the tables' definitions, never from data.
"""

from collections.abc import Sequence
from typing import Final

from psycopg import sql
from sqlalchemy import Table

from reporting import tables
from reporting.projection.kinds import KINDS

FRESH: Final = (
    *tables.RESULTS,
    tables.replays,
    tables.checkpoints,
    tables.outbox,
    tables.visit_definitions,
)
"""What a rebuild has of its own. Replays: a correction may come after its session in the feed. The outbox:
what is found again has been told already; who has changed rows by it is told by what watches them. Visit
definitions: without any, sessions that are read again complete nothing; the exchange does that.
"""

# Flags of a site's sessions depend on consents of all.
CONSENTS_OF_OTHER_SITES: Final = """
INSERT INTO pg_temp.consents SELECT * FROM public.consents WHERE site <> %(site)s
"""

# Which session of a visit is the first depends on sessions of all sites, too.
SITTINGS_OF_OTHER_SITES: Final = """
INSERT INTO pg_temp.sessions
SELECT * FROM public.sessions AS live
WHERE site <> %(site)s AND visit IS NOT NULL AND status = 'completed' AND source_missing_at IS NULL
  AND (study, participant, visit) IN (SELECT study, participant, visit FROM pg_temp.sessions)
"""

_OWNERS: Final = (
    {"sessions": "'session:' || id"}
    | {kind.table: kind.owner for kind in KINDS.values()}
    | dict.fromkeys(
        ("task_runs", "trial_rows", "trial_extras", "scores", "quality_flags", "conflicts"),
        "'session:' || session_id",
    )
)
"""The id of the document that a row belongs to, as rows spell it; elsewhere `doc_id`."""

_KEPT: Final = frozenset({*_OWNERS, "corrections"})
"""Rows that stay when their document is deleted."""

_TELLS_WHEN: Final = frozenset({"projected_at", "quarantined_at", "epoch"})

TO_FRESH: Final = "SET LOCAL search_path = pg_temp, public"
TO_LIVE: Final = "SET LOCAL search_path = public, pg_temp"

PREPARE: Final = "SET temp_buffers = '64MB'"
"""Has to come before the session's first temporary table."""

SETTLE_EPOCHS: Final = """
UPDATE public.documents SET epoch = %(epoch)s
FROM pg_temp.documents AS fresh
WHERE documents.site = %(site)s AND fresh.site = documents.site AND fresh.doc_id = documents.doc_id
  AND documents.epoch <> %(epoch)s
"""

# The rebuild has seen everything there is: what it has not seen is gone.
MARK_UNSEEN: Final = (
    """
    UPDATE public.sessions SET source_missing_at = now()
    WHERE site = %(site)s AND source_missing_at IS NULL AND NOT EXISTS (
        SELECT FROM pg_temp.documents AS fresh
        WHERE fresh.site = sessions.site AND fresh.doc_id = 'session:' || sessions.id
          AND fresh.state <> 'deleted'
    )
    """,
    *(kind.mark_unseen for kind in KINDS.values()),
    """
    UPDATE public.corrections SET source_missing_at = now()
    WHERE site = %(site)s AND source_missing_at IS NULL AND NOT EXISTS (
        SELECT FROM pg_temp.documents AS fresh
        WHERE fresh.site = corrections.site AND fresh.doc_id = corrections.doc_id
          AND fresh.state <> 'deleted'
    )
    """,
    """
    UPDATE public.documents SET source_missing_at = now()
    WHERE site = %(site)s AND source_missing_at IS NULL AND NOT EXISTS (
        SELECT FROM pg_temp.documents AS fresh
        WHERE fresh.site = documents.site AND fresh.doc_id = documents.doc_id
    )
    """,
)


def create_fresh() -> list[sql.Composed]:
    """Statements: empty fresh tables, which go with their connection."""
    create = sql.SQL("CREATE TEMP TABLE {} (LIKE {} INCLUDING ALL)")
    return [create.format(sql.Identifier(table.name), _live(table.name)) for table in FRESH]


def analyze_fresh() -> list[sql.Composed]:
    """Tell Postgres how large the fresh tables are: nothing does for temporary tables by itself."""
    return [sql.SQL("ANALYZE {}").format(_fresh(table.name)) for table in tables.RESULTS]


def differing(table: Table) -> sql.Composed:
    """Statement: the documents (keys) of %(site)s of which live and fresh rows of `table` are not the same.

    Rows are hashed and the hashes of a document added up, so that order does not matter.
    """
    per_document = sql.SQL(
        "SELECT {owner} AS owner, count(*) AS n, sum(hashtextextended(ROW({columns})::text, 0)) AS hash"
        " FROM {table} WHERE site = %(site)s GROUP BY 1"
    )
    parts = {"owner": _owner(table), "columns": sql.SQL(", ").join(_compared(table))}
    return sql.SQL(
        "WITH live AS ({live}), fresh AS ({fresh})"
        " SELECT owner FROM live FULL JOIN fresh USING (owner)"
        " LEFT JOIN pg_temp.documents AS document"
        " ON document.site = %(site)s AND document.doc_id = owner"
        " WHERE (live.n, live.hash) IS DISTINCT FROM (fresh.n, fresh.hash)"
        " AND document.state IS NOT NULL{and_alive} ORDER BY 1"
    ).format(
        live=per_document.format(table=_live(table.name), **parts),
        fresh=per_document.format(table=_fresh(table.name), **parts),
        and_alive=sql.SQL(" AND document.state <> 'deleted'" if table.name in _KEPT else ""),
    )


def remove_live(table: Table) -> sql.Composed:
    """Statement: drop the live rows of the documents %(doc_ids)s."""
    return sql.SQL("DELETE FROM {} WHERE site = %(site)s AND {} = ANY(%(doc_ids)s)").format(
        _live(table.name), _owner(table)
    )


def insert_fresh(table: Table) -> sql.Composed:
    """Statement: the fresh rows of the documents %(doc_ids)s become live."""
    return sql.SQL(
        "INSERT INTO {live} ({columns}) SELECT {columns} FROM {fresh}"
        " WHERE site = %(site)s AND {owner} = ANY(%(doc_ids)s)"
    ).format(
        live=_live(table.name),
        fresh=_fresh(table.name),
        owner=_owner(table),
        columns=sql.SQL(", ").join(sql.Identifier(column.name) for column in table.columns),
    )


def is_kept(table: Table) -> bool:
    """Whether rows of `table` stay when their document is deleted."""
    return table.name in _KEPT


def _compared(table: Table) -> Sequence[sql.Composable]:
    return [
        sql.SQL("source_missing_at IS NULL")
        if column.name == "source_missing_at"
        else sql.Identifier(column.name)
        for column in table.columns
        if column.name not in _TELLS_WHEN
    ]


def _owner(table: Table) -> sql.SQL:
    return sql.SQL(_OWNERS.get(table.name, "doc_id"))


def _live(name: str) -> sql.Identifier:
    return sql.Identifier("public", name)


def _fresh(name: str) -> sql.Identifier:
    return sql.Identifier("pg_temp", name)
