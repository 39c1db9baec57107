"""The SQL of a proof: what Postgres has recorded of a site, and whether its rows say the same.

One statement sees one moment; a batch commits as a whole; so a projector at work makes none of these
statements see half a document. Every statement that finds documents answers (key, how many there are in all),
for at most `limit` keys.
"""

from typing import Final

# `gone` is what the feed does not show any more. A deleted document is marked as well, but still shown,
# unless a reading from the start has not found it.
_GONE: Final = """
(source_missing_at IS NOT NULL AND (state <> 'deleted' OR (epoch <> %(epoch)s AND NOT %(rereading)s)))
"""

BUCKETS: Final = f"""
SELECT bucket, count(*), bit_xor(fingerprint)
FROM (
    SELECT ('x' || left(md5(doc_id), 3))::bit(12)::integer AS bucket,
           ('x' || left(md5(doc_id || ' ' || array_to_string(leaves, ' ')), 16))::bit(64)::bigint
               AS fingerprint
    FROM documents WHERE site = %(site)s AND NOT {_GONE}
) AS folded
GROUP BY bucket
"""  # noqa: S608 (put together from our own text)

RECORDED_IN_BUCKETS: Final = f"""
SELECT doc_id, state FROM documents
WHERE site = %(site)s AND doc_id > %(after)s AND NOT {_GONE}
  AND ('x' || left(md5(doc_id), 3))::bit(12)::integer = ANY(%(buckets)s)
ORDER BY doc_id LIMIT %(limit)s
"""  # noqa: S608 (put together from our own text)

STATES: Final = f"""
SELECT CASE
           WHEN {_GONE} THEN 'gone'
           WHEN state = 'quarantined' AND NOT EXISTS (
               SELECT FROM quarantine AS entry
               WHERE entry.site = documents.site AND entry.doc_id = documents.doc_id AND NOT EXISTS (
                   SELECT FROM waivers
                   WHERE waivers.site = entry.site AND waivers.doc_id = entry.doc_id
                     AND waivers.code = entry.code AND waivers.path = entry.path
               )
           ) AND EXISTS (
               SELECT FROM quarantine AS entry
               WHERE entry.site = documents.site AND entry.doc_id = documents.doc_id
           ) THEN 'waived'
           ELSE state
       END AS counted_as, count(*)
FROM documents WHERE site = %(site)s GROUP BY 1
"""  # noqa: S608 (put together from our own text)

_FOUND: Final = "SELECT key, count(*) OVER () FROM ({}) AS found (key) ORDER BY key LIMIT %(limit)s"

_DOUBLE: Final = """
    SELECT 'session:' || sessions.id
    FROM sessions LEFT JOIN documents AS d ON d.site = sessions.site AND d.doc_id = 'session:' || sessions.id
    WHERE sessions.site = %(site)s AND (d.doc_id IS NULL OR d.state IN ('quarantined', 'stored'))
    UNION
    SELECT 'session:' || session_id FROM (
        SELECT site, session_id FROM task_runs WHERE site = %(site)s
        UNION SELECT site, session_id FROM scores WHERE site = %(site)s
        UNION SELECT site, session_id FROM quality_flags WHERE site = %(site)s
    ) AS part
    WHERE NOT EXISTS (
        SELECT FROM sessions WHERE sessions.site = part.site AND sessions.id = part.session_id
    )
    UNION
    SELECT 'session:' || session_id FROM conflicts
    WHERE site = %(site)s AND NOT EXISTS (
        SELECT FROM documents AS d WHERE d.site = conflicts.site AND d.doc_id = 'session:' || session_id
    )
    UNION
    SELECT doc_id FROM (
        SELECT site, doc_id FROM quarantine WHERE site = %(site)s
        UNION SELECT site, doc_id FROM corrections WHERE site = %(site)s
        UNION SELECT site, doc_id FROM losing_revisions WHERE site = %(site)s
    ) AS part
    WHERE NOT EXISTS (
        SELECT FROM documents AS d WHERE d.site = part.site AND d.doc_id = part.doc_id
    )
"""

# A task run says how many trials it has; all of them are counted.
_TRIALS: Final = """
    SELECT 'session:' || session_id
    FROM (
        SELECT session_id, task, run, count(*) AS n FROM trial_rows WHERE site = %(site)s
        GROUP BY session_id, task, run
    ) AS counted
    FULL JOIN (
        SELECT session_id, task, run, n_trials FROM task_runs WHERE site = %(site)s
    ) AS said USING (session_id, task, run)
    WHERE
"""

_INCOMPLETE: Final = """
    SELECT doc_id FROM documents AS d
    WHERE site = %(site)s AND type = 'session' AND state IN ('projected', 'conflicted') AND NOT EXISTS (
        SELECT FROM sessions WHERE sessions.site = d.site AND 'session:' || sessions.id = d.doc_id
    )
    UNION
    SELECT doc_id FROM documents AS d
    WHERE site = %(site)s AND state = 'quarantined' AND NOT EXISTS (
        SELECT FROM quarantine WHERE quarantine.site = d.site AND quarantine.doc_id = d.doc_id
    )
"""

DOUBLE: Final = _FOUND.format(_DOUBLE)
INCOMPLETE: Final = _FOUND.format(_INCOMPLETE)
DOUBLE_WITH_TRIALS: Final = _FOUND.format(f"{_DOUBLE} UNION {_TRIALS} coalesce(n, 0) > coalesce(n_trials, 0)")
INCOMPLETE_WITH_TRIALS: Final = _FOUND.format(f"{_INCOMPLETE} UNION {_TRIALS} coalesce(n, 0) < n_trials")

# --- repairs -----------------------------------------------------------------------------------------------

# The empty epoch is that of no reading: a deleted document that is gone is told by it from one that is shown.
MARK_GONE: Final = (
    """
    UPDATE documents SET source_missing_at = coalesce(source_missing_at, now()), epoch = ''
    WHERE site = %(site)s AND doc_id = ANY(%(doc_ids)s)
    """,
    """
    UPDATE sessions SET source_missing_at = now()
    WHERE site = %(site)s AND id = ANY(%(session_ids)s) AND source_missing_at IS NULL
    """,
    """
    UPDATE device_status SET source_missing_at = now()
    WHERE site = %(site)s AND device = ANY(%(devices)s) AND source_missing_at IS NULL
    """,
)

MARK_SITE_GONE: Final = (
    """
    UPDATE sessions SET source_missing_at = now() WHERE site = %(site)s AND source_missing_at IS NULL
    """,
    """
    UPDATE device_status SET source_missing_at = now() WHERE site = %(site)s AND source_missing_at IS NULL
    """,
    """
    UPDATE documents SET source_missing_at = coalesce(source_missing_at, now()), epoch = ''
    WHERE site = %(site)s AND epoch <> ''
    """,
)

# Nothing is dropped that may be the only copy: a session without a record and without a document is recorded
# as gone.
RECORD_SESSIONS_AS_GONE: Final = """
INSERT INTO documents (site, doc_id, type, winner_rev, leaves, state, epoch, source_missing_at)
SELECT site, 'session:' || id, 'session', rev, ARRAY[rev], 'projected', '', now()
FROM sessions WHERE site = %(site)s AND id = ANY(%(session_ids)s)
ON CONFLICT (site, doc_id) DO NOTHING
RETURNING doc_id
"""

# Parts of a session that neither Postgres nor the site database knows: nobody can say whose they are.
_REMOVE_PARTS: Final = """
DELETE FROM {table} WHERE site = %(site)s AND session_id = ANY(%(session_ids)s)
  AND NOT EXISTS (
      SELECT FROM documents AS d WHERE d.site = {table}.site AND d.doc_id = 'session:' || {table}.session_id
  )
"""
_REMOVE_PART_DOCUMENTS: Final = """
DELETE FROM {table} WHERE site = %(site)s AND doc_id = ANY(%(doc_ids)s) AND NOT EXISTS (
    SELECT FROM documents AS d WHERE d.site = {table}.site AND d.doc_id = {table}.doc_id
)
"""
REMOVE_PARTS: Final = (
    *(
        _REMOVE_PARTS.format(table=table)
        for table in ("trial_rows", "trial_extras", "scores", "task_runs", "quality_flags", "conflicts")
    ),
    *(
        _REMOVE_PART_DOCUMENTS.format(table=table)
        for table in ("quarantine", "corrections", "losing_revisions")
    ),
)

# --- proofs ------------------------------------------------------------------------------------------------

# Of one with a defect, what comes after it would be compared and the defect forgotten.
LAST_SOUND_PROOF: Final = """
SELECT update_seq FROM proofs
WHERE site = %(site)s AND epoch = %(epoch)s AND missing = 0
ORDER BY finished_at DESC LIMIT 1
"""

RECORD_PROOF: Final = """
INSERT INTO proofs (site, kind, started_at, finished_at, epoch, update_seq, counts, missing, repaired)
VALUES (%(site)s, %(kind)s, %(started_at)s, clock_timestamp(), %(epoch)s, %(update_seq)s, %(counts)s,
        %(missing)s, %(repaired)s)
RETURNING finished_at
"""

RECORDED_SITES: Final = "SELECT site FROM checkpoints"

PROOFS_DUE: Final = """
SELECT asked.site,
       extract(epoch FROM now() - max(finished_at))::float8,
       extract(epoch FROM now() - max(finished_at) FILTER (WHERE kind = 'full'))::float8
FROM unnest(%(sites)s::text[]) AS asked (site) LEFT JOIN proofs USING (site)
GROUP BY asked.site
"""
