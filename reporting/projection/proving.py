"""The SQL of a proof: what Postgres has recorded of a site. Whether its rows say the same: see `row_proof`.

One statement sees one moment; a batch commits as a whole; so a projector at work makes none of these
statements see half a document. Every statement that finds documents answers (key, how many there are in all),
for at most `limit` keys.
"""

from typing import Final

from reporting.projection.kinds import KINDS

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
)

MARK_CORRECTIONS_GONE: Final = """
UPDATE corrections SET source_missing_at = now()
WHERE site = %(site)s AND doc_id = ANY(%(doc_ids)s) AND source_missing_at IS NULL
RETURNING session_id
"""

MARK_SITE_GONE: Final = (
    """
    UPDATE sessions SET source_missing_at = now() WHERE site = %(site)s AND source_missing_at IS NULL
    """,
    *(kind.mark_all for kind in KINDS.values()),
    """
    UPDATE corrections SET source_missing_at = now() WHERE site = %(site)s AND source_missing_at IS NULL
    """,
    """
    UPDATE documents SET source_missing_at = coalesce(source_missing_at, now()), epoch = ''
    WHERE site = %(site)s AND epoch <> ''
    """,
)

# Nothing is dropped that may be the only copy: a session, status or correction without a record and without a
# document is recorded as gone, as far as its rows tell what its record was.
_RECORD_SESSIONS: Final = """
INSERT INTO documents (site, doc_id, type, winner_rev, leaves, state, epoch, source_missing_at)
SELECT site, 'session:' || id, 'session',
       coalesce((
           SELECT max(winner_rev) FROM losing_revisions AS l
           WHERE l.site = sessions.site AND l.doc_id = 'session:' || id
       ), rev),
       ARRAY(
           SELECT leaf FROM (
               SELECT sessions.rev
               UNION SELECT unnest(ARRAY[l.rev, l.winner_rev]) FROM losing_revisions AS l
               WHERE l.site = sessions.site AND l.doc_id = 'session:' || id
               UNION SELECT q.rev FROM quarantine AS q
               WHERE q.site = sessions.site AND q.doc_id = 'session:' || id
           ) AS known (leaf) ORDER BY leaf COLLATE "C"
       ),
       CASE WHEN EXISTS (
           SELECT FROM conflicts AS c
           WHERE c.site = sessions.site AND c.session_id = sessions.id AND c.state <> 'resolved'
       ) THEN 'conflicted' ELSE 'projected' END,
       '', now()
FROM sessions WHERE site = %(site)s AND id = ANY(%(session_ids)s)
ON CONFLICT (site, doc_id) DO NOTHING
"""

_RECORD_CORRECTIONS: Final = """
INSERT INTO documents (site, doc_id, type, winner_rev, leaves, state, epoch, source_missing_at)
SELECT site, doc_id, 'correction', rev, ARRAY[rev], 'projected', '', now()
FROM corrections WHERE site = %(site)s AND doc_id = ANY(%(doc_ids)s)
ON CONFLICT (site, doc_id) DO NOTHING
"""
RECORD_AS_GONE: Final = (
    _RECORD_SESSIONS,
    _RECORD_CORRECTIONS,
    *(kind.record_as_gone for kind in KINDS.values()),
)

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
    *(_REMOVE_PART_DOCUMENTS.format(table=table) for table in ("quarantine", "losing_revisions")),
)

# --- proofs ------------------------------------------------------------------------------------------------

# An incremental proof looks at what has changed since the last one, so it must not follow one with a defect:
# of the defect it would see nothing, and say that all is well. Until a full proof finds nothing, none does.
LAST_SOUND_PROOF: Final = """
WITH of_epoch AS (
    SELECT kind, update_seq, finished_at,
           missing = 0 AND coalesce((counts ->> 'double')::bigint, 0) = 0
           AND coalesce((counts ->> 'incomplete')::bigint, 0) = 0 AS is_sound
    FROM proofs WHERE site = %(site)s AND epoch = %(epoch)s
)
SELECT update_seq FROM of_epoch
WHERE finished_at >= (SELECT max(finished_at) FROM of_epoch WHERE kind = 'full' AND is_sound)
  AND NOT EXISTS (
      SELECT FROM of_epoch AS unsound
      WHERE NOT is_sound
        AND finished_at >= (SELECT max(finished_at) FROM of_epoch WHERE kind = 'full' AND is_sound)
  )
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
