"""Has the feed been continued, or is this another feed than the one the checkpoint speaks of?

A site database is recreated, restored from yesterday's backup, rolled back with its disk; or Postgres is. The
feed position in the checkpoint then points into a history that is no more, and reading on from it silently
leaves documents out. So the projector writes a mark into the site database *before* it commits a batch, and
compares the two before every reading:

| mark | checkpoint | outcome |
|---|---|---|
| (epoch, n) | (epoch, n) | continue |
| (epoch, n + 1) | (epoch, n) | continue: the last batch was announced, and not committed |
| (epoch, less than n) | (epoch, n) | the site database is older than the checkpoint: read from the start |
| (epoch, more than n + 1) | (epoch, n) | Postgres is older than the site database: read from the start |
| another epoch, or none | any | recreated, or never read: read from the start |
| any | none, or of another database | read from the start |

Reading from the start begins a new epoch. It costs a look at every document's leaves, but no body of those
that are recorded already.
"""

from reporting.projection.batch import Checkpoint
from reporting.projection.feed import Mark


def is_continued(mark: Mark | None, checkpoint: Checkpoint) -> bool:
    """Whether the site database with this mark is the one whose changes `checkpoint` has followed."""
    if mark is None or mark.epoch != checkpoint.epoch:
        return False
    return mark.batch in (checkpoint.batch, checkpoint.batch + 1)
