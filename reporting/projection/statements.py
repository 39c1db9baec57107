"""The projector's SQL, named. Values go in as parameters; nothing here is built from data.

Ids are arrays, so that a batch takes the same few statements whatever its size.
"""

from typing import Final

# --- checkpoint --------------------------------------------------------------------------------------------

LOAD_CHECKPOINT: Final = """
SELECT site, database, epoch, batch, since, rereading FROM checkpoints WHERE site = %(site)s
"""

LOCK_CHECKPOINT: Final = """
SELECT site, database, epoch, batch, since, rereading FROM checkpoints WHERE site = %(site)s FOR UPDATE
"""

INSERT_CHECKPOINT: Final = """
INSERT INTO checkpoints (site, database, epoch, batch, since, rereading)
VALUES (%(site)s, %(database)s, %(epoch)s, 0, %(since)s, true)
ON CONFLICT (site) DO NOTHING
"""

RESTART_CHECKPOINT: Final = """
UPDATE checkpoints
SET database = %(database)s, epoch = %(epoch)s, batch = 0, since = %(since)s, pending = NULL,
    rereading = true, advanced_at = now(), complete_through = NULL
WHERE site = %(site)s
"""

ADVANCE_CHECKPOINT: Final = """
UPDATE checkpoints
SET batch = %(batch)s, since = %(since)s, pending = %(pending)s, rereading = %(rereading)s,
    advanced_at = now(), changed_at = CASE WHEN %(has_changes)s THEN now() ELSE changed_at END,
    complete_through = greatest(complete_through, %(complete_through)s::timestamptz)
WHERE site = %(site)s
"""

# No advance in the feed: whoever measures a lag by `advanced_at` would see none while the feed waits.
NOTE_REPLAYED_BATCH: Final = """
UPDATE checkpoints SET batch = %(batch)s WHERE site = %(site)s
"""

# --- replays -----------------------------------------------------------------------------------------------

SITES_WITH_REPLAYS: Final = "SELECT DISTINCT site FROM replays"

UNREAD: Final = "unread leaves"
"""Who asks for the replay of a document whose leaves the feed named and did not give."""

# Those that are awaited come last: any number of them must not hold up the others.
LOAD_REPLAYS: Final = """
SELECT doc_id, ticket, requested_by = %(unread)s AND requested_at > now() - %(patience)s AS awaited
FROM replays WHERE site = %(site)s ORDER BY awaited, ticket LIMIT %(limit)s
"""

REQUEST_REPLAYS: Final = """
INSERT INTO replays (site, doc_id, cause, requested_by)
SELECT %(site)s, doc_id, %(cause)s, %(requested_by)s FROM unnest(%(doc_ids)s::text[]) AS asked (doc_id)
ON CONFLICT (site, doc_id) DO UPDATE
SET ticket = DEFAULT, cause = excluded.cause, requested_at = now(), requested_by =
    CASE replays.requested_by WHEN %(unread)s THEN replays.requested_by ELSE excluded.requested_by END
"""

END_REPLAYS: Final = """
DELETE FROM replays
USING unnest(%(doc_ids)s::text[], %(tickets)s::bigint[]) AS done (doc_id, ticket)
WHERE replays.site = %(site)s AND replays.doc_id = done.doc_id AND replays.ticket = done.ticket
"""

# --- what is known of the batch's documents ----------------------------------------------------------------

RECORDED_DOCUMENTS: Final = """
SELECT doc_id, leaves, state, epoch, source_missing_at IS NOT NULL
FROM documents WHERE site = %(site)s AND doc_id = ANY(%(doc_ids)s)
"""

RECEIPTS: Final = """
SELECT log.doc_id, log.rev, log.received_at, log.request_id,
       CASE WHEN log.original IS NOT NULL THEN coalesce(log.reason, '') END AS normalised
FROM unnest(%(doc_ids)s::text[], %(revs)s::text[]) AS asked (doc_id, rev)
JOIN ingest_log AS log
  ON log.site = %(site)s AND log.doc_id = asked.doc_id AND log.rev = asked.rev AND log.outcome = 'received'
"""

# --- replacing rows as a whole -----------------------------------------------------------------------------

# Scores of another version than the current one leave their values in the history, once: what replaces them
# is of the current version.
DELETE_SCORES: Final = """
WITH gone AS (
    DELETE FROM scores WHERE site = %(site)s AND session_id = ANY(%(session_ids)s) RETURNING *
)
INSERT INTO score_history (site, session_id, task, run, name, value, scoring_version)
SELECT site, session_id, task, run, name, value, scoring_version
FROM gone LEFT JOIN unnest(%(tasks)s::text[], %(versions)s::integer[]) AS defined (task, version) USING (task)
WHERE scoring_version <> coalesce(version, %(generic_version)s)
"""

DELETE_SESSION_ROWS: Final = (
    "DELETE FROM trial_rows WHERE site = %(site)s AND session_id = ANY(%(session_ids)s)",
    "DELETE FROM trial_extras WHERE site = %(site)s AND session_id = ANY(%(session_ids)s)",
    DELETE_SCORES,
    "DELETE FROM task_runs WHERE site = %(site)s AND session_id = ANY(%(session_ids)s)",
    "DELETE FROM quality_flags WHERE site = %(site)s AND session_id = ANY(%(session_ids)s)",
    "DELETE FROM conflicts WHERE site = %(site)s AND session_id = ANY(%(session_ids)s)",
    "DELETE FROM sessions WHERE site = %(site)s AND id = ANY(%(session_ids)s)",
)

DELETE_DOCUMENT_ROWS: Final = (
    "DELETE FROM quarantine WHERE site = %(site)s AND doc_id = ANY(%(doc_ids)s)",
    "DELETE FROM documents WHERE site = %(site)s AND doc_id = ANY(%(doc_ids)s)",
)

COPY_TRIAL_ROWS: Final = """
COPY trial_rows (site, session_id, task, run, trial_index, stage, rt_ms, correct, response, condition,
                 time_elapsed_ms)
FROM STDIN
"""

COPY_TRIAL_EXTRAS: Final = """
COPY trial_extras (site, session_id, task, run, part, extras) FROM STDIN
"""

COPY_SESSIONS: Final = """
COPY sessions (site, id, study, participant, visit, status, started_at, ended_at, utc_offset_minutes,
               language, battery_id, battery_version, device_id, device_model, device_os, app_version, rev,
               schema, received_at, clock_offset_s, started_at_corrected, ended_at_corrected, trials_digest)
FROM STDIN
"""

COPY_TASK_RUNS: Final = """
COPY task_runs (site, session_id, task, run, status, started_at, ended_at, params, summary, n_trials)
FROM STDIN
"""

COPY_SCORES: Final = """
COPY scores (site, session_id, task, run, name, value, scoring_version) FROM STDIN
"""

COPY_FLAGS: Final = """
COPY quality_flags (site, session_id, task, run, trial_index, code, detail, rule_version) FROM STDIN
"""

COPY_CONFLICTS: Final = """
COPY conflicts (site, session_id, path, winner_rev, winner_value, other_rev, other_value, state, correction)
FROM STDIN
"""

COPY_QUARANTINE: Final = """
COPY quarantine (site, doc_id, rev, type, code, path, message, rules_version) FROM STDIN
"""

COPY_DOCUMENTS: Final = """
COPY documents (site, doc_id, type, winner_rev, leaves, state, epoch) FROM STDIN
"""

# --- documents that are seen again, deleted, or gone -------------------------------------------------------

REFRESH_DOCUMENTS: Final = """
UPDATE documents
SET epoch = %(epoch)s, source_missing_at = CASE WHEN state = 'deleted' THEN source_missing_at END
WHERE site = %(site)s AND doc_id = ANY(%(doc_ids)s)
"""

SESSIONS_FOUND_AGAIN: Final = """
UPDATE sessions SET source_missing_at = NULL
WHERE site = %(site)s AND id = ANY(%(session_ids)s) AND source_missing_at IS NOT NULL
"""

# While a document was gone its replays were done without it. What they were for may concern it still.
REPLAY_FOUND_AGAIN: Final = """
INSERT INTO replays (site, doc_id, cause, requested_by)
SELECT site, doc_id, CASE WHEN state = 'quarantined' THEN 'rules' ELSE 'correction' END, 'projector'
FROM documents
WHERE site = %(site)s AND doc_id = ANY(%(doc_ids)s) AND (
    state = 'quarantined'
    OR EXISTS (
        SELECT FROM corrections
        WHERE corrections.site = documents.site AND 'session:' || corrections.session_id = documents.doc_id
    )
)
ON CONFLICT (site, doc_id) DO UPDATE SET ticket = DEFAULT, cause = excluded.cause, requested_at = now()
"""

MARK_DELETED: Final = (
    "UPDATE documents SET source_missing_at = now() WHERE site = %(site)s AND doc_id = ANY(%(doc_ids)s)",
    """
    UPDATE sessions SET source_missing_at = now()
    WHERE site = %(site)s AND id = ANY(%(session_ids)s) AND source_missing_at IS NULL
    """,
)

MARK_GONE: Final = (
    """
    UPDATE sessions SET source_missing_at = now()
    FROM documents
    WHERE documents.site = %(site)s AND documents.epoch <> %(epoch)s
      AND sessions.site = documents.site AND 'session:' || sessions.id = documents.doc_id
      AND sessions.source_missing_at IS NULL
    """,
    """
    UPDATE documents SET source_missing_at = now()
    WHERE site = %(site)s AND epoch <> %(epoch)s AND source_missing_at IS NULL
    """,
)

# --- references --------------------------------------------------------------------------------------------

FLAG_UNKNOWN_REFERENCES: Final = """
WITH written AS (
    SELECT * FROM sessions WHERE site = %(site)s AND id = ANY(%(session_ids)s)
), unknown (site, id, code, detail) AS (
    SELECT site, id, 'unknown_study', jsonb_build_object('study', study)
    FROM written
    WHERE NOT EXISTS (SELECT FROM studies WHERE studies.code = written.study)
    UNION ALL
    SELECT site, id, 'unknown_participant', jsonb_build_object('study', study, 'participant', participant)
    FROM written
    WHERE NOT EXISTS (
        SELECT FROM participants
        WHERE participants.study = written.study AND participants.code = written.participant
    )
    UNION ALL
    SELECT site, id, 'unknown_battery', jsonb_build_object('id', battery_id, 'version', battery_version)
    FROM written
    WHERE battery_id IS NOT NULL AND NOT EXISTS (
        SELECT FROM batteries
        WHERE batteries.id = written.battery_id AND batteries.version = written.battery_version
    )
)
INSERT INTO quality_flags (site, session_id, code, detail, rule_version)
SELECT site, id, code, detail, version
FROM unknown JOIN unnest(%(codes)s::text[], %(versions)s::integer[]) AS rule (code, version) USING (code)
"""
