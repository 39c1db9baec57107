"""The kinds of documents that become one row each, in one place: which row, in which table, found by what.

A session becomes rows of many tables (`rows`), a correction has its session projected again (`corrections`).
Every other kind is one row, replaced as a whole, marked while its document is gone, and marked no longer when
it is found again. Whoever adds a kind adds a `Kind`, its table to `tables.RESULTS`, and a function from its
valid leaves to its row; writing, marking, rebuilding, proving and repairing read this list.

| what happens to the document | its row |
|---|---|
| a change, any leaf valid | replaced |
| only invalid leaves | removed: quarantine says why |
| deleted, gone from the site database, unseen by a rebuild | stays, `source_missing_at` is set |
| found again, as it was | `source_missing_at` is NULL again |

Statements are put together from our own names, never from data; all take `site`, and `names` of rows or
`doc_ids` of documents.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from sqlalchemy import Table

from reporting import tables
from reporting.projection.batch import Receipt
from reporting.projection.consent_rows import ConsentRow, consent_row
from reporting.projection.copy_text import Row, row_encoder
from reporting.projection.device_rows import DeviceRow, device_row

Leaves = Sequence[tuple[str, Any]]
"""Valid live leaves, one at least: revision as rows spell it, and what `validate` made of it."""

RowOf = Callable[[str, Leaves, Mapping[str, Receipt]], Row]
"""(site, valid leaves, receipts by revision) → the row."""


class Kind:
    """One kind. `name` is the column that holds the document's id without its prefix."""

    def __init__(
        self,
        type_: str,
        table: Table,
        name: str,
        columns: Sequence[str],
        row: RowOf,
        *,
        any_leaf: bool = False,
    ) -> None:
        """`columns` are those that rows of `row` have, in order; the row may be of `any_leaf`, or is of the
        highest valid one.
        """
        self.type = type_
        self.table = table.name
        self.owner = f"'{type_}:' || {name}"
        """The id of the document that a row belongs to, in SQL."""
        self.row = row
        self.any_leaf = any_leaf
        self.encode = row_encoder(table, columns)
        named = {
            "table": table.name,
            "name": name,
            "type": type_,
            "owner": self.owner,
            "owner_in_full": f"'{type_}:' || {table.name}.{name}",
            "columns": ", ".join(columns),
        }
        self.copy = "COPY {table} ({columns}) FROM STDIN".format(**named)
        self.delete = _DELETE.format(**named)
        self.mark = _MARK.format(**named)
        self.find_again = _FIND_AGAIN.format(**named)
        self.mark_not_in_epoch = _MARK_NOT_IN_EPOCH.format(**named)
        self.mark_unseen = _MARK_UNSEEN.format(**named)
        self.mark_all = _MARK_ALL.format(**named)
        self.record_as_gone = _RECORD_AS_GONE.format(**named)

    def names(self, keys: Iterable[str]) -> list[str]:
        """The names of the rows that documents of this kind among `keys` have."""
        prefix = f"{self.type}:"
        return [key.removeprefix(prefix) for key in keys if key.startswith(prefix)]


_DELETE: Final = """
DELETE FROM {table} WHERE site = %(site)s AND {name} = ANY(%(names)s)
"""

_MARK: Final = """
UPDATE {table} SET source_missing_at = now()
WHERE site = %(site)s AND {name} = ANY(%(names)s) AND source_missing_at IS NULL
"""

_FIND_AGAIN: Final = """
UPDATE {table} SET source_missing_at = NULL
WHERE site = %(site)s AND {name} = ANY(%(names)s) AND source_missing_at IS NOT NULL
"""

_MARK_NOT_IN_EPOCH: Final = """
UPDATE {table} SET source_missing_at = now()
FROM documents
WHERE documents.site = %(site)s AND documents.epoch <> %(epoch)s
  AND {table}.site = documents.site AND {owner_in_full} = documents.doc_id
  AND {table}.source_missing_at IS NULL
"""

_MARK_UNSEEN: Final = """
UPDATE public.{table} SET source_missing_at = now()
WHERE site = %(site)s AND source_missing_at IS NULL AND NOT EXISTS (
    SELECT FROM pg_temp.documents AS fresh
    WHERE fresh.site = {table}.site AND fresh.doc_id = {owner_in_full} AND fresh.state <> 'deleted'
)
"""

_MARK_ALL: Final = """
UPDATE {table} SET source_missing_at = now() WHERE site = %(site)s AND source_missing_at IS NULL
"""

_RECORD_AS_GONE: Final = """
INSERT INTO documents (site, doc_id, type, winner_rev, leaves, state, epoch, source_missing_at)
SELECT site, {owner}, '{type}', rev, ARRAY[rev], 'projected', '', now()
FROM {table} WHERE site = %(site)s AND {owner} = ANY(%(doc_ids)s)
ON CONFLICT (site, doc_id) DO NOTHING
"""

KINDS: Final[Mapping[str, Kind]] = {
    kind.type: kind
    for kind in (
        Kind("device", tables.device_status, "device", DeviceRow._fields, device_row),
        Kind("consent", tables.consents, "id", ConsentRow._fields, consent_row, any_leaf=True),
    )
}
"""By document type."""
