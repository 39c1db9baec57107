"""`/api/quarantine`: what was stored but could not become rows, and why. Any person may read that of the
sites that their studies reach.

What is done about it is in `quarantine_desk`.
"""

from typing import Literal

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
)
from sync_server.api.call import Call, ListQuery, Nothing, PageOf
from sync_server.api.parameters import Text
from sync_server.api.route import get


class QuarantineQuery(ListQuery, frozen=True, kw_only=True):
    """`code` is the reason's, `type` the document's type (`session`, `consent`, …)."""

    site: Text | None = None
    code: Text | None = None
    type: Text | None = None
    waived: Literal["true", "false"] | None = None

    @property
    def wanted(self) -> QuarantineFilter:
        waived = None if self.waived is None else self.waived == "true"
        return QuarantineFilter(site=self.site, code=self.code, type=self.type, waived=waived)


async def get_quarantine(call: Call[QuarantineQuery, Nothing]) -> PageOf[QuarantineRow]:
    """List quarantined revisions, the latest first."""
    statement = select_quarantine(call.query.wanted, call.caller.scope("results.read"))
    return await call.page(QuarantineRow, statement, sortable=SORTABLE, key=LATEST_FIRST)


async def get_groups(call: Call[QuarantineQuery, Nothing]) -> PageOf[QuarantineGroup]:
    """List the causes of quarantine, the largest first."""
    statement = select_groups(call.query.wanted, call.caller.scope("results.read"))
    return await call.page(QuarantineGroup, statement, sortable=SORTABLE_GROUPS, key=LARGEST_FIRST)


ROUTES = [
    get("/api/quarantine", get_quarantine, right="results.read"),
    get("/api/quarantine/groups", get_groups, right="results.read"),
]
