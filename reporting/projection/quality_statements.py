"""SQL of the flags that no document shows by itself: twins, missing tasks, references that appear.

Values go in as parameters; nothing here is built from data. Tables are named without a schema, so that a
rebuild in temporary tables of the same names runs the same statements.
"""

from typing import Final

# --- sessions that are the same sitting ---------------------------------------------------------------------

# One index scan a distinct key, by subqueries that the planner cannot turn into joins: of a table that has
# just been filled it knows nothing yet, and would read all of it for every batch.
COMPANIONS: Final = """
WITH mine AS (
    SELECT trials_digest, study, participant, started_at FROM sessions
    WHERE site = %(site)s AND id = ANY(%(session_ids)s)
)
SELECT unnest(ARRAY(
    SELECT id FROM sessions
    WHERE site = %(site)s AND trials_digest = digests.trials_digest
))
FROM (SELECT DISTINCT trials_digest FROM mine WHERE trials_digest IS NOT NULL) AS digests
UNION
SELECT unnest(ARRAY(
    SELECT id FROM sessions
    WHERE site = %(site)s AND study = starts.study AND started_at = starts.started_at
      AND participant = starts.participant
))
FROM (SELECT DISTINCT study, participant, started_at FROM mine) AS starts
"""

DROP_DUPLICATE_FLAGS: Final = """
DELETE FROM quality_flags
WHERE site = %(site)s AND session_id = ANY(%(session_ids)s) AND code = 'duplicate_session'
"""

# By groups and not by pairs: a tablet that saves one sitting under a thousand ids costs a thousand rows, not
# a million. Each is shown its group's first session, and the first one the second.
FLAG_DUPLICATES: Final = """
WITH mine AS (
    SELECT id, trials_digest, study, participant, started_at FROM sessions
    WHERE site = %(site)s AND id = ANY(%(session_ids)s) AND source_missing_at IS NULL
), same_trials AS (
    SELECT trials_digest, ARRAY(
        SELECT id FROM sessions
        WHERE site = %(site)s AND trials_digest = digests.trials_digest AND source_missing_at IS NULL
        ORDER BY id COLLATE "C" LIMIT 2
    ) AS first_two
    FROM (SELECT DISTINCT trials_digest FROM mine WHERE trials_digest IS NOT NULL) AS digests
), same_start AS (
    SELECT study, participant, started_at, ARRAY(
        SELECT id FROM sessions
        WHERE site = %(site)s AND study = starts.study AND started_at = starts.started_at
          AND participant = starts.participant AND source_missing_at IS NULL
        ORDER BY id COLLATE "C" LIMIT 2
    ) AS first_two
    FROM (SELECT DISTINCT study, participant, started_at FROM mine) AS starts
), twins AS (
    SELECT id,
           CASE WHEN same_trials.first_two[1] = id THEN same_trials.first_two[2]
                ELSE same_trials.first_two[1] END AS trials_of,
           CASE WHEN same_start.first_two[1] = id THEN same_start.first_two[2]
                ELSE same_start.first_two[1] END AS start_of
    FROM mine
    LEFT JOIN same_trials USING (trials_digest)
    LEFT JOIN same_start USING (study, participant, started_at)
)
INSERT INTO quality_flags (site, session_id, code, detail, rule_version)
SELECT %(site)s, id, 'duplicate_session',
       jsonb_strip_nulls(jsonb_build_object('same_trials_as', trials_of, 'same_start_as', start_of)),
       %(rule_version)s
FROM twins
WHERE trials_of IS NOT NULL OR start_of IS NOT NULL
"""

GONE_SESSIONS: Final = """
SELECT id FROM sessions WHERE site = %(site)s AND source_missing_at = now()
"""
"""Those that this very transaction has marked: `now()` is when it began."""

# --- completed sessions without some of their battery's tasks -----------------------------------------------

FLAG_MISSING_TASKS: Final = """
INSERT INTO quality_flags (site, session_id, code, detail, rule_version)
SELECT sessions.site, sessions.id, 'missing_tasks', jsonb_build_object('tasks', lacking.tasks),
       %(rule_version)s
FROM sessions
JOIN batteries ON batteries.id = sessions.battery_id AND batteries.version = sessions.battery_version
CROSS JOIN LATERAL (
    SELECT jsonb_agg(DISTINCT task) AS tasks FROM unnest(batteries.tasks) AS wanted (task)
    WHERE NOT EXISTS (
        SELECT FROM task_runs
        WHERE task_runs.site = sessions.site AND task_runs.session_id = sessions.id
          AND task_runs.task = wanted.task AND task_runs.n_trials > 0
    )
) AS lacking
WHERE sessions.site = %(site)s AND sessions.id = ANY(%(session_ids)s)
  AND sessions.status = 'completed' AND lacking.tasks IS NOT NULL
"""

# Where a battery's tasks have become known, or others, since its sessions were written. In pages of ids, each
# replaced as a whole: `after` is the last id of the page before.
SESSIONS_WITH_TASKS: Final = """
SELECT sessions.id
FROM sessions
LEFT JOIN batteries ON batteries.id = sessions.battery_id AND batteries.version = sessions.battery_version
WHERE sessions.site = %(site)s AND sessions.id > %(after)s
  AND (
    batteries.tasks IS NOT NULL
    OR EXISTS (
        SELECT FROM quality_flags
        WHERE quality_flags.site = sessions.site AND quality_flags.session_id = sessions.id
          AND quality_flags.code = 'missing_tasks'
    )
  )
ORDER BY sessions.id LIMIT %(limit)s
"""

DROP_MISSING_TASKS: Final = """
DELETE FROM quality_flags
WHERE site = %(site)s AND session_id = ANY(%(session_ids)s) AND code = 'missing_tasks'
"""

# --- references that appear ---------------------------------------------------------------------------------

REFERENCES: Final = """
SELECT (SELECT row(count(*), max(created_at))::text FROM studies)
       || (SELECT row(count(*), max(created_at))::text FROM participants)
       || (SELECT row(count(*), max(created_at))::text FROM batteries),
       (SELECT md5(coalesce(string_agg(row(id, version, tasks)::text, ',' ORDER BY id, version), ''))
        FROM batteries)
"""

PROJECTED_SITES: Final = "SELECT site FROM checkpoints ORDER BY site"

# The lock that every batch of the site takes first. A site whose batch has it is left for the next look.
LOCK_SITE: Final = "SELECT FROM checkpoints WHERE site = %(site)s FOR UPDATE SKIP LOCKED"

RESOLVE_REFERENCES: Final = (
    """
    DELETE FROM quality_flags USING studies
    WHERE quality_flags.site = %(site)s AND quality_flags.code = 'unknown_study'
      AND quality_flags.detail ->> 'study' = studies.code
    """,
    """
    DELETE FROM quality_flags USING participants
    WHERE quality_flags.site = %(site)s AND quality_flags.code = 'unknown_participant'
      AND quality_flags.detail ->> 'study' = participants.study
      AND quality_flags.detail ->> 'participant' = participants.code
    """,
    """
    DELETE FROM quality_flags USING batteries
    WHERE quality_flags.site = %(site)s AND quality_flags.code = 'unknown_battery'
      AND quality_flags.detail ->> 'id' = batteries.id
      AND (quality_flags.detail ->> 'version')::integer = batteries.version
    """,
)

# --- entries that older rules have quarantined --------------------------------------------------------------

JUDGED_BY_OLDER_RULES: Final = """
SELECT site, doc_id FROM quarantine WHERE rules_version < %(rules_version)s
ORDER BY site, doc_id, rev LIMIT %(limit)s FOR UPDATE SKIP LOCKED
"""

NOTE_RULES: Final = """
UPDATE quarantine SET rules_version = %(rules_version)s
WHERE site = %(site)s AND doc_id = ANY(%(doc_ids)s) AND rules_version < %(rules_version)s
"""

STORED_WITHOUT_ROWS: Final = """
SELECT site, doc_id FROM documents
WHERE type = ANY(%(types)s) AND state = 'stored' AND source_missing_at IS NULL AND NOT EXISTS (
    SELECT FROM replays WHERE replays.site = documents.site AND replays.doc_id = documents.doc_id
)
ORDER BY site, doc_id LIMIT %(limit)s
"""
