"""The SQL that compares rows with what is recorded of their documents, whatever the site database says.

A record that is right proves nothing about rows: somebody restored one table, an update failed half-way by
hand, a disk lied. So every kind of row is held against its record, each by what both of them say.

| rows | counted as `double` | counted as `incomplete` |
|---|---|---|
| `sessions` `corrections`, one-row `kinds` | no record; the record alone is marked | absent, stale, marked |
| `quarantine` | of a revision that is no leaf | none of the winner, and it is `quarantined` |
| `losing_revisions` | of no leaf, or of another winner | |
| `conflicts` | an open one, and the record is `projected` | none open, and it is `conflicted` |
| `task_runs` `scores` `quality_flags` | of no session, or of no task run | a task run without any score |
| `trial_rows`, in full proofs | more than `n_trials`, or one index twice | fewer |
| `trial_extras`, in full proofs | of no trial | absent |

What none of this sees is a value that was changed, and a single score, flag or closed conflict that is
missing: `sync-server rebuild --dry-run` makes all of them anew and compares.
"""

from typing import Final

from reporting.projection.kinds import KINDS

JOIN_BY_HASH: Final = "SET LOCAL enable_nestloop = off"
"""Before any of these, in one transaction. Tables that were filled a moment ago have no statistics; Postgres
then takes each for a few rows, and compares every session with every document: hours instead of seconds.
"""

_FOUND: Final = "SELECT key, count(*) OVER () FROM ({}) AS found (key) ORDER BY key LIMIT %(limit)s"

# Of these, a document has one row: table, the row's document, type, whether of any leaf.
_ONE_ROW: Final = (
    ("sessions", "'session:' || part.id", "session", "false"),
    ("corrections", "part.doc_id", "correction", "false"),
    *((kind.table, kind.owner, kind.type, str(kind.any_leaf)) for kind in KINDS.values()),
)

_UNEXPLAINED: Final = """
    SELECT {key} FROM {table} AS part LEFT JOIN documents AS d ON d.site = part.site AND d.doc_id = {key}
    WHERE part.site = %(site)s AND (
        d.doc_id IS NULL OR d.state IN ('quarantined', 'stored')
        OR (d.source_missing_at IS NOT NULL AND part.source_missing_at IS NULL)
    )
"""

# The row is of the winner; of another leaf where the winner is quarantined.
_ABSENT_OR_STALE: Final = """
    SELECT d.doc_id FROM documents AS d LEFT JOIN {table} AS part ON part.site = d.site AND d.doc_id = {key}
    WHERE d.site = %(site)s AND d.type = '{type}' AND d.state IN ('projected', 'conflicted') AND (
        part.site IS NULL
        OR (part.source_missing_at IS NOT NULL AND d.source_missing_at IS NULL)
        OR NOT (part.rev = d.winner_rev OR (part.rev = ANY(d.leaves) AND ({any_leaf} OR EXISTS (
            SELECT FROM quarantine AS q
            WHERE q.site = d.site AND q.doc_id = d.doc_id AND q.rev = d.winner_rev
        ))))
    )
"""

_OF_NO_SESSION: Final = """
    SELECT 'session:' || session_id FROM {table} AS part
    WHERE site = %(site)s AND NOT EXISTS (
        SELECT FROM sessions WHERE sessions.site = part.site AND sessions.id = part.session_id
    )
"""
_OF_NO_TASK_RUN: Final = """
    SELECT 'session:' || session_id FROM {table} AS part
    WHERE site = %(site)s AND task IS NOT NULL AND NOT EXISTS (
        SELECT FROM task_runs AS ran
        WHERE ran.site = part.site AND ran.session_id = part.session_id AND ran.task = part.task
          AND ran.run = part.run
    )
"""

_DOUBLE: Final = (
    *(_UNEXPLAINED.format(table=table, key=key) for table, key, *_ in _ONE_ROW),
    *(_OF_NO_SESSION.format(table=table) for table in ("task_runs", "quality_flags")),
    *(_OF_NO_TASK_RUN.format(table=table) for table in ("scores", "quality_flags")),
    """
    SELECT 'session:' || session_id
    FROM conflicts AS part LEFT JOIN documents AS d
      ON d.site = part.site AND d.doc_id = 'session:' || part.session_id
    WHERE part.site = %(site)s AND (
        d.doc_id IS NULL OR d.state IN ('quarantined', 'stored')
        OR (d.state = 'projected' AND part.state <> 'resolved')
    )
    """,
    """
    SELECT part.doc_id FROM quarantine AS part LEFT JOIN documents AS d USING (site, doc_id)
    WHERE part.site = %(site)s AND (d.leaves IS NULL OR part.rev <> ALL(d.leaves))
    """,
    """
    SELECT part.doc_id FROM losing_revisions AS part LEFT JOIN documents AS d USING (site, doc_id)
    WHERE part.site = %(site)s AND (
        d.leaves IS NULL OR part.rev <> ALL(d.leaves) OR part.winner_rev <> d.winner_rev
    )
    """,
)

_INCOMPLETE: Final = (
    *(
        _ABSENT_OR_STALE.format(table=table, key=key, type=type_, any_leaf=any_leaf)
        for table, key, type_, any_leaf in _ONE_ROW
    ),
    """
    SELECT doc_id FROM documents AS d
    WHERE site = %(site)s AND state = 'quarantined' AND NOT EXISTS (
        SELECT FROM quarantine AS q WHERE q.site = d.site AND q.doc_id = d.doc_id AND q.rev = d.winner_rev
    )
    """,
    """
    SELECT doc_id FROM documents AS d
    WHERE site = %(site)s AND type = 'session' AND state = 'conflicted' AND NOT EXISTS (
        SELECT FROM conflicts AS c
        WHERE c.site = d.site AND 'session:' || c.session_id = d.doc_id AND c.state <> 'resolved'
    )
    """,
    """
    SELECT 'session:' || session_id FROM task_runs AS ran
    WHERE site = %(site)s AND NOT EXISTS (
        SELECT FROM scores AS s
        WHERE s.site = ran.site AND s.session_id = ran.session_id AND s.task = ran.task AND s.run = ran.run
    )
    """,
)

# A task run says how many trials it has. Indexes of a part (`trial_extras`) differ in their last six bits, so
# the bits that are set tell how many different ones there are.
_TRIALS: Final = """
    SELECT 'session:' || session_id
    FROM (
        SELECT session_id, task, run, sum(n) AS n, sum(n_different) AS n_different,
               bool_or(n IS NULL) AS has_stray_extras, bool_or(has_extras IS NULL) AS lacks_extras
        FROM (
            SELECT session_id, task, run, trial_index >> 6 AS part, count(*) AS n,
                   bit_count(bit_or(1::bigint << (trial_index & 63))::bit(64)) AS n_different
            FROM trial_rows WHERE site = %(site)s
            GROUP BY session_id, task, run, trial_index >> 6
        ) AS counted
        FULL JOIN (
            SELECT session_id, task, run, part, true AS has_extras FROM trial_extras WHERE site = %(site)s
        ) AS extras USING (session_id, task, run, part)
        GROUP BY session_id, task, run
    ) AS there
    FULL JOIN (
        SELECT session_id, task, run, n_trials FROM task_runs WHERE site = %(site)s
    ) AS said USING (session_id, task, run)
    WHERE
"""
_TOO_MANY: Final = f"{_TRIALS} coalesce(n, 0) > coalesce(n_trials, 0) OR n > n_different OR has_stray_extras"
_TOO_FEW: Final = f"{_TRIALS} coalesce(n_different, 0) < n_trials OR lacks_extras"

DOUBLE: Final = _FOUND.format(" UNION ".join(_DOUBLE))
INCOMPLETE: Final = _FOUND.format(" UNION ".join(_INCOMPLETE))
DOUBLE_WITH_TRIALS: Final = _FOUND.format(" UNION ".join((*_DOUBLE, _TOO_MANY)))
INCOMPLETE_WITH_TRIALS: Final = _FOUND.format(" UNION ".join((*_INCOMPLETE, _TOO_FEW)))
