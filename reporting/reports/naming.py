"""Whom a report is about: by the name under which the caller sees them, code or pseudonym.

Who may see pseudonyms only asks by one: a report that answered to a code would tell which pseudonym it has.
"""

from typing import Any

from sqlalchemy import Connection, Select, select, union_all

from reporting.reports.scope import Reach
from reporting.research.audience import Audience, Wanted
from reporting.research.sources import participant_rows, session_rows


def audience_of(reach: Reach) -> Audience:
    """As whom the datasets are read."""
    return Audience.IDENTIFIED if reach.identified else Audience.DEIDENTIFIED


def select_code(shown: str, reach: Reach) -> Select[Any]:
    """Statement: the code of whom the caller sees under this name, on the roster or from sessions."""
    audience, wanted = audience_of(reach), Wanted(reach.study, reach.sites)
    people = [
        select(rows.c.key_participant).where(rows.c.participant == shown)
        for rows in (
            participant_rows(audience, wanted).subquery("on_roster"),
            session_rows(audience, wanted).subquery("with_sessions"),
        )
    ]
    return select(union_all(*people).subquery().c.key_participant).limit(1)


def find_code(connection: Connection, shown: str, reach: Reach) -> str | None:
    """Their code; None: nobody in reach is seen under this name."""
    code: str | None = connection.scalar(select_code(shown, reach))
    return code
