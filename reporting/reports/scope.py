"""Of what a report is: one study, some of its sites, and how much of participants may be seen."""

from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, and_

from reporting.tables import sessions


class Reach(NamedTuple):
    """`sites` None: the whole study; else these only, and participants of no known site are outside."""

    study: str
    sites: tuple[str, ...] | None
    identified: bool

    def holds(self, study: ColumnElement[Any], site: ColumnElement[Any]) -> ColumnElement[bool]:
        """Condition: the row is in reach."""
        conditions = [study == self.study]
        if self.sites is not None:
            conditions.append(site.in_(self.sites))
        return and_(*conditions)

    def holds_session(self) -> ColumnElement[bool]:
        """Condition: the session is in reach, and its document in the site database."""
        s = sessions.c
        return and_(self.holds(s.study, s.site), s.source_missing_at.is_(None))


class NotThere(LookupError):
    """There is nothing to report on; the message says what is missing, and is for who asked."""
