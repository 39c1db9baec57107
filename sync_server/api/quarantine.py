"""`/api/quarantine`: what was stored but could not become rows, and why. Any person may read that of the
sites that their studies reach; the documents themselves who decides about them.

| asked for a document | answer |
|---|---|
| that is not quarantined (any more), at this revision | 404 |
| that the site database no longer has, or that is no JSON | the problem, and no document |
| the site database is away | 503 |

What is done about it is in `quarantine_desk`.
"""

from typing import Literal

import msgspec

from reporting.queries.quarantine import (
    LARGEST_FIRST,
    LATEST_FIRST,
    SORTABLE,
    SORTABLE_GROUPS,
    QuarantineFilter,
    QuarantineGroup,
    QuarantineRow,
    select_groups,
    select_quarantine,
    select_revision,
)
from reporting.sites import database_of
from sync_server.api.call import Call, ListQuery, Nothing, PageOf
from sync_server.api.parameters import Text
from sync_server.api.route import get
from sync_server.errors import NotFound
from sync_server.keys import CORRECTION_WRITER


class QuarantineQuery(ListQuery, frozen=True, kw_only=True):
    """`code` is the reason's, `type` the document's type (`session`, `consent`, …), `at` a group's
    path.
    """

    site: Text | None = None
    code: Text | None = None
    type: Text | None = None
    at: Text | None = None
    waived: Literal["true", "false"] | None = None

    @property
    def wanted(self) -> QuarantineFilter:
        waived = None if self.waived is None else self.waived == "true"
        return QuarantineFilter(site=self.site, code=self.code, type=self.type, path=self.at, waived=waived)


class DocumentQuery(msgspec.Struct, frozen=True, kw_only=True):
    """`document` is its id; without `rev` the revision that was quarantined last. `content=false`: only what
    is wrong with it.
    """

    document: Text
    rev: Text | None = None
    content: bool = True


class QuarantinedDocument(QuarantineRow, frozen=True, kw_only=True):
    """The problem, and the revision as its tablet has saved it; null where it cannot be read (any more), or
    was not asked for.
    """

    document: msgspec.Raw | None


async def get_quarantine(call: Call[QuarantineQuery, Nothing]) -> PageOf[QuarantineRow]:
    """List quarantined revisions, the latest first."""
    statement = select_quarantine(call.query.wanted, call.caller.scope("results.read"))
    return await call.page(QuarantineRow, statement, sortable=SORTABLE, key=LATEST_FIRST)


async def get_groups(call: Call[QuarantineQuery, Nothing]) -> PageOf[QuarantineGroup]:
    """List the causes of quarantine, the largest first."""
    statement = select_groups(call.query.wanted, call.caller.scope("results.read"))
    return await call.page(QuarantineGroup, statement, sortable=SORTABLE_GROUPS, key=LARGEST_FIRST)


async def get_document(call: Call[DocumentQuery, Nothing]) -> QuarantinedDocument:
    """Read a quarantined revision, as it is in the site database, and what is wrong with it."""
    site, asked = call.path("site"), call.query
    call.caller.require_at_site("results.decide", site)
    found = (await call.connection.execute(select_revision(site, asked.document, asked.rev))).one_or_none()
    if found is None:
        raise NotFound(f"{asked.document} is not quarantined in site {site}.")
    row = QuarantineRow(*found)
    body = None
    if asked.content:
        body = await call.request.app[CORRECTION_WRITER].leaf(database_of(site), row.doc_id, row.rev)
    return QuarantinedDocument(**msgspec.structs.asdict(row), document=_as_json(body))


def _as_json(body: bytes | None) -> msgspec.Raw | None:
    if body is None:
        return None
    try:
        msgspec.json.decode(body)
    except (ValueError, RecursionError):
        return None
    return msgspec.Raw(body)


ROUTES = [
    get("/api/quarantine", get_quarantine, right="results.read"),
    get("/api/quarantine/groups", get_groups, right="results.read"),
    get("/api/quarantine/documents/{site}", get_document, right="results.decide"),
]
