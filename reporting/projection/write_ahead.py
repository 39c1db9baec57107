"""The mark, written before the commit: what makes a rewind noticeable (see `rewind`)."""

from reporting.errors import SourceReplaced
from reporting.projection.batch import Checkpoint
from reporting.projection.feed import Mark, SiteFeed
from reporting.projection.rewind import is_continued


async def write_ahead(feed: SiteFeed, checkpoint: Checkpoint) -> None:
    """Announce the batch after `checkpoint` in the database it was read from.

    Raises SourceReplaced when that database is no more, and FeedUnavailable.
    """
    if not is_continued(await feed.read_mark(checkpoint.database), checkpoint):
        raise SourceReplaced(checkpoint.site)
    await feed.write_mark(checkpoint.database, Mark(checkpoint.epoch, checkpoint.batch + 1))
