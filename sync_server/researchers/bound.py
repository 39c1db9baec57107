"""A service does not start where row-level security hides rows from it: it would work on half of them."""

from typing import Final

import psycopg
import structlog

from reporting.engine import connect

FENCED: Final = ("sessions", "participants", "visits")
"""Tables whose rows somebody has a grant for; all others are reached through these."""

log = structlog.get_logger()


class RowSecurityActive(Exception):
    """Rows are hidden from the service; the message says from whom, and what to run."""


def check_not_bound(database_url: str) -> None:
    """Raises RowSecurityActive where row security hides rows from the service's role. A Postgres that is
    away, or has no such tables, hides nothing yet.
    """
    asked = """
        SELECT string_agg(relname::text, ', ' ORDER BY relname), current_user FROM pg_class
        WHERE oid IN (SELECT to_regclass('public.' || name) FROM unnest(%s::text[]) AS name)
          AND row_security_active(oid)
    """
    try:
        with connect(database_url, application_name="metricis-start", kind="watchful") as connection:
            row = connection.execute(asked, (list(FENCED),)).fetchone()
    except psycopg.OperationalError as error:
        log.warning("row security not looked at", error=str(error))
        return
    if row is not None and row[0] is not None:
        hidden, role = row
        raise RowSecurityActive(
            f"Row-level security hides the rows of {hidden} from {role}, the service's role in Postgres. "
            f'As a superuser, run ALTER ROLE "{role}" BYPASSRLS, or all that '
            f"`sync-server researchers sql --service-role {role}` prints."
        )
