"""SQL of corrections and losing revisions. Values go in as parameters; nothing here is built from data."""

from typing import Final

LOAD_CORRECTIONS: Final = """
SELECT doc_id, session_id, number, kind, reason, author, made_at, body::text
FROM corrections
WHERE site = %(site)s AND session_id = ANY(%(session_ids)s) AND source_missing_at IS NULL
ORDER BY session_id, number
"""

DELETE_CORRECTIONS: Final = """
DELETE FROM corrections WHERE site = %(site)s AND doc_id = ANY(%(doc_ids)s)
"""

COPY_CORRECTIONS: Final = """
COPY corrections (site, doc_id, session_id, number, rev, kind, reason, author, made_at, body) FROM STDIN
"""

DELETE_LOSING_REVISIONS: Final = """
DELETE FROM losing_revisions WHERE site = %(site)s AND doc_id = ANY(%(doc_ids)s)
"""

COPY_LOSING_REVISIONS: Final = """
COPY losing_revisions (site, doc_id, rev, winner_rev, body) FROM STDIN
"""

# --- deleted, gone, and found again: the row stays, and is not applied meanwhile ---------------------------

MARK_DELETED: Final = """
UPDATE corrections SET source_missing_at = now()
WHERE site = %(site)s AND doc_id = ANY(%(doc_ids)s) AND source_missing_at IS NULL
"""

MARK_GONE: Final = """
WITH gone AS (
    UPDATE corrections SET source_missing_at = now()
    FROM documents
    WHERE documents.site = %(site)s AND documents.epoch <> %(epoch)s
      AND corrections.site = documents.site AND corrections.doc_id = documents.doc_id
      AND corrections.source_missing_at IS NULL
    RETURNING corrections.session_id
)
INSERT INTO replays (site, doc_id, cause, requested_by)
SELECT DISTINCT %(site)s, 'session:' || session_id, 'correction', 'projector' FROM gone
ON CONFLICT (site, doc_id) DO UPDATE SET ticket = DEFAULT, cause = excluded.cause, requested_at = now()
"""

FOUND_AGAIN: Final = """
WITH found AS (
    UPDATE corrections SET source_missing_at = NULL
    WHERE site = %(site)s AND doc_id = ANY(%(doc_ids)s) AND source_missing_at IS NOT NULL
    RETURNING session_id
)
INSERT INTO replays (site, doc_id, cause, requested_by)
SELECT DISTINCT %(site)s, 'session:' || session_id, 'correction', 'projector' FROM found
ON CONFLICT (site, doc_id) DO UPDATE SET ticket = DEFAULT, cause = excluded.cause, requested_at = now()
"""

# --- audit -------------------------------------------------------------------------------------------------

RECORD_CORRECTION: Final = """
INSERT INTO audit_log (actor, actor_kind, role, action, entity, entity_id, study, site, reason, before, after,
                       request_id, source)
VALUES (%(actor)s, 'person', %(role)s, %(action)s, 'document', %(entity_id)s,
        (SELECT study FROM sessions WHERE site = %(site)s AND id = %(session)s), %(site)s, %(reason)s,
        %(before)s::jsonb, %(after)s::jsonb, %(request_id)s, %(source)s)
ON CONFLICT (source) DO NOTHING
"""
