"""Is this site database the one whose changes the checkpoint has followed, while a projector may be at work?

Mark and checkpoint lie in two systems. A batch that commits between looking at the one and at the other makes
them disagree although nothing is wrong; so the checkpoint is looked at before and after the mark.
"""

from typing import Final

from reporting.projection.batch import Checkpoint
from reporting.projection.checkpoint import load_checkpoint
from reporting.projection.connections import Lease
from reporting.projection.feed import SiteDatabase, SiteFeed
from reporting.projection.rewind import is_continued

_LOOKS: Final = 50


async def followed_checkpoint(feed: SiteFeed, lease: Lease, database: SiteDatabase) -> Checkpoint | None:
    """The site's checkpoint; None where the site has to be read from its start. Raises FeedUnavailable."""
    stored = await lease.run(load_checkpoint, database.site)
    for _ in range(_LOOKS):
        if stored is None or stored.database != database.database:
            return None
        mark = await feed.read_mark(database.database)
        if is_continued(mark, stored):
            return stored
        before, stored = stored, await lease.run(load_checkpoint, database.site)
        if stored == before:
            return None
    return None
