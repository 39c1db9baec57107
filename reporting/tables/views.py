"""Views: relations that people read, laid out otherwise on the disk.

`trials` is one row a trial. Four fifths of a trial are `extra`, which repeats itself from trial to trial and
is asked for seldom. So the rows lie in `trial_rows`, narrow; the extras of up to 64 trials lie together in
`trial_extras`, where Postgres compresses them. A query that does not name `extra` never touches them: the
planner leaves the join out, because the key of `trial_extras` shows that it changes nothing.

`trial_rows` has an index by session and no key by trial, which would need as many bytes as the rows. A trial
comes once all the same: its task run's rows in all three tables are written in one transaction, and those of
`task_runs` and `trial_extras` have keys; within a task run, validation has seen that indexes differ.
"""

from typing import Final

from sqlalchemy import Boolean, Column, Connection, Double, Integer, MetaData, Table, Text, event, text
from sqlalchemy.dialects.postgresql import JSONB

from reporting.tables.base import metadata

PART_BITS: Final = 6
"""The extras of trials with equal higher bits of their index are one value."""

trials = Table(
    "trials",
    MetaData(),
    Column("site", Text),
    Column("session_id", Text),
    Column("task", Text),
    Column("run", Integer),
    Column("trial_index", Integer),
    Column("stage", Text),
    Column("rt_ms", Double),
    Column("correct", Boolean),
    Column("response", JSONB),
    Column("condition", Text),
    Column("time_elapsed_ms", Double),
    Column("extra", JSONB, comment="every other member of the jsPsych row"),
)

CREATE_TRIALS: Final = """
CREATE VIEW trials AS
SELECT t.site, t.session_id, t.task, t.run, t.trial_index, t.stage, t.rt_ms, t.correct, t.response,
       t.condition, t.time_elapsed_ms, e.extras -> t.trial_index::text AS extra
FROM trial_rows AS t
LEFT JOIN trial_extras AS e
  ON e.site = t.site AND e.session_id = t.session_id AND e.task = t.task AND e.run = t.run
 AND e.part = t.trial_index >> 6
"""


@event.listens_for(metadata, "after_create")
def _create(_: MetaData, connection: Connection, **_options: object) -> None:
    connection.execute(text(CREATE_TRIALS))


@event.listens_for(metadata, "before_drop")
def _drop(_: MetaData, connection: Connection, **_options: object) -> None:
    connection.execute(text("DROP VIEW IF EXISTS trials"))
