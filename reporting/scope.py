"""Of which studies and sites somebody may see or change something.

A scope is a list of parts; what any part covers is in it. A part without study covers everything, one
without site every site of its study. What belongs to a site and no study (a tablet, a quarantined document)
is covered by every part that reaches the site: named in it, or one of its study's sites.

| part | (SRO, lima) | (SRO, quito) | study SRO as a whole | site lima |
|---|---|---|---|---|
| every study | yes | yes | yes | yes |
| SRO | yes | yes | yes | if SRO runs there |
| SRO at lima | yes | no | to read | yes |
| other study | no | no | no | if it runs there |
"""

from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, and_, false, or_, true


class Part(NamedTuple):
    """`sites` are those at which the study runs now, where `site` is None."""

    study: str | None = None
    site: str | None = None
    sites: frozenset[str] = frozenset()

    def reaches(self, site: str) -> bool:
        """Whether things of this site that belong to no study are covered."""
        if self.study is None:
            return self.site in (None, site)
        return self.site == site or (self.site is None and site in self.sites)


class Scope(NamedTuple):
    """What any of the parts covers."""

    parts: tuple[Part, ...]

    @property
    def is_everything(self) -> bool:
        """Whether nothing is outside."""
        return any(part.study is None and part.site is None for part in self.parts)

    def covers(self, study: str, site: str | None) -> bool:
        """What belongs to a study and one of its sites; `site` None: to none of them yet, as study-wide."""
        return any(
            part.study in (None, study) and (part.site is None or (site is not None and part.site == site))
            for part in self.parts
        )

    def covers_site(self, site: str) -> bool:
        """What belongs to a site and to no study."""
        return any(part.reaches(site) for part in self.parts)

    def sees_study(self, study: str) -> bool:
        """Whether a study may be read: also by who may read one of its sites only."""
        return any(part.study in (None, study) for part in self.parts)

    @property
    def reached_sites(self) -> frozenset[str] | None:
        """The sites of `covers_site`; None: all."""
        if self.is_everything:
            return None
        named = {part.site for part in self.parts if part.site is not None}
        return frozenset(named).union(*(part.sites for part in self.parts if part.site is None))


EVERYTHING = Scope((Part(),))


def within(
    scope: Scope, *, study: ColumnElement[Any] | None = None, site: ColumnElement[Any] | None = None
) -> ColumnElement[bool]:
    """Condition: the row is in the scope, by its study, its site, or both."""
    if scope.is_everything:
        return true()
    if study is None:
        if site is None:
            raise TypeError("a row is in a scope by its study, its site, or both")
        return site.in_(sorted(scope.reached_sites or ()))
    alternatives = []
    for part in scope.parts:
        conditions = [] if part.study is None else [study == part.study]
        if part.site is not None and site is not None:
            conditions.append(site == part.site)
        alternatives.append(and_(true(), *conditions))
    return or_(false(), *alternatives)
