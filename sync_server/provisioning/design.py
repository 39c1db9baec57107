"""How the site databases of an Apache CouchDB are made."""

from typing import NamedTuple

from sync_server.settings import Settings


class SiteDesign(NamedTuple):
    """Shards and copies of each (None: CouchDB's default), and whether it validates by itself."""

    q: int | None = None
    n: int | None = None
    validation: bool = True


def site_design(settings: Settings) -> SiteDesign | None:
    """What the settings say; None where the embedded store holds the site databases."""
    if settings.couchdb_url is None:
        return None
    return SiteDesign(settings.couchdb_q, settings.couchdb_n, settings.couchdb_validation)
