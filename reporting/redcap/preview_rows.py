"""What a preview reads of us: a page of a study's sessions, and what the ledger has of them. Statements."""

from collections.abc import Collection
from typing import Any

from sqlalchemy import Select, Text, and_, func, literal, select
from sqlalchemy.dialects.postgresql import ARRAY

from reporting.redcap.ledger import FIELDS, Session
from reporting.scope import Scope, within
from reporting.tables import redcap_ledger, sessions


def select_page(
    study: str, scope: Scope, *, site: str | None = None, ids: Collection[str] | None = None
) -> Select[str, str]:
    """Statement: (site, session id) of the study's sessions that are not gone, in one order."""
    s = sessions.c
    statement = (
        select(s.site, s.id)
        .where(s.study == study, s.source_missing_at.is_(None), within(scope, study=s.study, site=s.site))
        .order_by(s.site, s.id)
    )
    if site is not None:
        statement = statement.where(s.site == site)
    return statement if ids is None else statement.where(s.id.in_(sorted(ids)))


def select_known(project: str, of: Collection[Session]) -> Select[*tuple[Any, ...]]:
    """Statement: the sessions' rows that are not retired; the fields of LedgerRow. At least one session."""
    r = redcap_ledger.c
    ordered = sorted(of)
    given = (
        func.unnest(
            literal([site for site, _ in ordered], ARRAY(Text)),
            literal([session for _, session in ordered], ARRAY(Text)),
        )
        .table_valued("site", "session_id", name="given")
        .render_derived()
    )
    at = and_(r.site == given.c.site, r.session_id == given.c.session_id)
    return (
        select(*(r[name] for name in FIELDS))
        .select_from(given)
        .join(redcap_ledger, at)
        .where(r.project == project, r.state != "retired")
    )
