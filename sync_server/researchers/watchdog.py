"""What researchers' logins may not go on with: statements, transactions and connections.

A login may set its own `statement_timeout` to nothing. A statement without end holds memory and disk; an open
transaction without end keeps Postgres from clearing away old rows, and holds up migrations.

| what is found | what follows |
|---|---|
| a statement longer than 15 minutes (`RESEARCH_STATEMENT_MINUTES`) | it is cancelled |
| idle in a transaction longer than 15 minutes (`RESEARCH_IDLE_MINUTES`) | the connection is ended |
| a transaction of two hours (`RESEARCH_TRANSACTION_MINUTES`) | likewise |
| a login without a valid grant | its connections are ended |
| a login of which the service's role is no member | it is left alone: nothing of it is shown |
"""

from datetime import datetime, timedelta
from typing import NamedTuple

import structlog
from sqlalchemy import Connection, DateTime, Integer, Text, and_, case, column, func, or_, select, table
from sqlalchemy.dialects.postgresql import OID

from reporting.research.grants import valid_grant
from reporting.tables import research_grants

log = structlog.get_logger()


class Limits(NamedTuple):
    """How long a statement may run, a transaction may be idle, and be open."""

    statement: timedelta = timedelta(minutes=15)
    idle: timedelta = timedelta(minutes=15)
    transaction: timedelta = timedelta(hours=2)


_activity = table(
    "pg_stat_activity",
    column("pid", Integer),
    column("datname", Text),
    column("usename", Text),
    column("usesysid", OID),
    column("state", Text),
    column("query_start", DateTime(timezone=True)),
    column("state_change", DateTime(timezone=True)),
    column("xact_start", DateTime(timezone=True)),
    schema="pg_catalog",
)


def watch_researchers(connection: Connection, now: datetime, limits: Limits = Limits()) -> None:  # noqa: B008
    """Cancel and end what goes on for too long, or without a grant. `now`: the database's clock."""
    a = _activity.c
    granted = valid_grant().where(research_grants.c.login == a.usename)
    ends = or_(
        ~granted,
        and_(a.state.like("idle in transaction%"), a.state_change < now - limits.idle),
        a.xact_start < now - limits.transaction,
    )
    cancels = and_(a.state == "active", a.query_start < now - limits.statement)
    found = (
        select(
            a.usename,
            case((ends, "ended"), else_="cancelled").label("outcome"),
            case((ends, func.pg_terminate_backend(a.pid)), else_=func.pg_cancel_backend(a.pid)).label("done"),
        )
        .where(a.datname == func.current_database())
        .where(a.usename.like(r"researcher\_%"))
        .where(func.pg_has_role(a.usesysid, "USAGE"))
        .where(or_(ends, cancels))
    )
    for login, outcome, done in connection.execute(found):
        log.warning("researcher held up", login=login, outcome=outcome, done=done)
