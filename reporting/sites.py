"""A site's name and the name of its database.

Gateway, projector and command line all have to agree which database belongs to which site, and a site name
ends up in a URL path and a file name. So the name is checked once, here, against a pattern that is safe in
all of them, and the two names are derived from each other nowhere else.
"""

import re

SITE_PATTERN = r"[a-z][a-z0-9_-]{0,62}"

_SITE = re.compile(SITE_PATTERN)
_PREFIX = "site-"


class InvalidSiteName(ValueError):
    """A site name is a lower-case letter, then up to 62 lower-case letters, digits, `_` or `-`."""

    def __init__(self, site: str) -> None:
        self.site = site
        super().__init__(f"{site!r} is no site name: {self.__doc__}")


def is_site(name: str) -> bool:
    """Whether `name` can be a site's name."""
    return _SITE.fullmatch(name) is not None


def database_of(site: str) -> str:
    """`"lima"` → `"site-lima"`. Raises InvalidSiteName."""
    if not is_site(site):
        raise InvalidSiteName(site)
    return _PREFIX + site


def site_of(database: str) -> str | None:
    """`"site-lima"` → `"lima"`; None when the database is no site's."""
    site = database.removeprefix(_PREFIX)
    return site if site != database and is_site(site) else None
