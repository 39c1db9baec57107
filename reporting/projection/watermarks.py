"""Through which moment a site is complete: `checkpoints.complete_through`.

The promise is "every document that was acknowledged before this moment is judged", so the moment may be too
early and never too late. It is a reading of Postgres's clock from *before* the turn looked at the site
database's mark and read its feed; one that is some seconds old serves as well. Where the feed then had
nothing after the page, everything that was acknowledged until that moment was in the page or before it.

| how a turn ends | the moment |
|---|---|
| a batch that reached the feed's end | commits with the batch |
| a batch with more behind it, a replay | stays |
| nothing to read | noted by `advance_idle`, for many sites at once, some seconds later |
| … and another projector went on since | left out: the checkpoint is another |
| … and a batch of the site commits at that moment | left out: the batch moves on by itself |
| the site is read from its start again | NULL until the feed's end is reached: it may be another feed |
| Postgres was restored | as it was then, and true of the rows as they were then; then as above |
| … or the checkpoint is changed beneath the projector | it is read again, see `advance_idle` |

Postgres's clock has to be one clock: after a failover to a machine whose clock is behind, moments stand until
it has caught up, because they never go back. An Apache CouchDB of several nodes may acknowledge a document
that its feed shows a moment later; the promise is then as good as the nodes' agreement.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

import psycopg

from reporting.projection import site_statements as statements
from reporting.projection.batch import Checkpoint


class Sighting(NamedTuple):
    """At that moment of Postgres's clock, or later, the feed had nothing after the checkpoint."""

    checkpoint: Checkpoint
    at: datetime


def read_clock(connection: psycopg.Connection) -> datetime:
    """Postgres's clock."""
    ((at,),) = connection.execute(statements.READ_CLOCK)
    moment: datetime = at
    return moment


def advance_idle(connection: psycopg.Connection, sightings: Sequence[Sighting]) -> set[str]:
    """Advance these sites, where the checkpoint is still that of the sighting; the sites where it is not.

    An idle site asks Postgres nothing. Without this look, one whose rows were put back to yesterday's beneath
    a projector that remembers today's checkpoint would stay so until its next push.
    """
    seen = {
        "sites": [seen.checkpoint.site for seen in sightings],
        "epochs": [seen.checkpoint.epoch for seen in sightings],
        "batches": [seen.checkpoint.batch for seen in sightings],
        "sinces": [seen.checkpoint.since for seen in sightings],
    }
    connection.execute(statements.ADVANCE_IDLE, {**seen, "moments": [seen.at for seen in sightings]})
    return {site for (site,) in connection.execute(statements.CHANGED_CHECKPOINTS, seen)}
