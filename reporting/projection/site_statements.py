"""SQL about sites as a whole, named: whose they are, how they stand, how far they are complete."""

from typing import Final

# --- locks -------------------------------------------------------------------------------------------------
#
# Advisory locks of two integers: a class of ours, and a key. pg_locks shows the two unsigned.

MEMBERS: Final = 0x4D530001
"""Class of the lock that says "a projector runs"; its key is the connection's backend."""

SITES: Final = 0x4D530002
"""Class of the sites' locks."""

BECOME_MEMBER: Final = "SELECT pg_try_advisory_lock(%(members)s, pg_backend_pid())"

SURVEY: Final = """
WITH held AS (
    SELECT classid::bigint AS class, pid = pg_backend_pid() AS mine,
           (objid::bigint + 2147483648) %% 4294967296 - 2147483648 AS key
    FROM pg_locks
    WHERE locktype = 'advisory' AND objsubid = 2 AND granted
      AND classid IN (%(members)s::bigint::oid, %(sites)s::bigint::oid)
      AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
)
SELECT clock_timestamp(), pg_backend_pid(),
       (SELECT count(*) FROM held WHERE class = %(members)s),
       ARRAY(SELECT key FROM held WHERE class = %(sites)s AND mine),
       ARRAY(SELECT key FROM held WHERE class = %(sites)s AND NOT mine)
"""

LOCK: Final = """
SELECT key FROM unnest(%(keys)s::integer[]) AS wanted (key) WHERE pg_try_advisory_lock(%(sites)s, key)
"""

UNLOCK: Final = """
SELECT pg_advisory_unlock(%(sites)s, key) FROM unnest(%(keys)s::integer[]) AS given (key)
"""

# --- states ------------------------------------------------------------------------------------------------

WRITE_STATES: Final = """
INSERT INTO site_states (site, state, since, failures, error, next_try_at, projector)
SELECT site, state, now(), failures, error, now() + next_try_s * interval '1 second', %(projector)s
FROM unnest(%(sites)s::text[], %(states)s::text[], %(failures)s::integer[], %(errors)s::text[],
            %(next_tries)s::double precision[]) AS told (site, state, failures, error, next_try_s)
ON CONFLICT (site) DO UPDATE
SET state = excluded.state, failures = excluded.failures, error = excluded.error,
    next_try_at = excluded.next_try_at, projector = excluded.projector,
    since = CASE WHEN site_states.state = excluded.state THEN site_states.since ELSE excluded.since END
"""

FORGET_STATES: Final = "DELETE FROM site_states WHERE site = ANY(%(sites)s)"

# A site that another projector has seen first is not in this one's list yet.
FORGET_OTHER_STATES: Final = """
DELETE FROM site_states WHERE NOT site = ANY(%(sites)s) AND since < now() - interval '1 minute'
"""

# --- watermarks --------------------------------------------------------------------------------------------

# Rows that a batch holds are left out: it moves on by itself, and nobody waits for anybody.
ADVANCE_IDLE: Final = """
WITH idle AS (
    SELECT checkpoints.site, seen.at
    FROM unnest(%(sites)s::text[], %(epochs)s::text[], %(batches)s::bigint[], %(sinces)s::text[],
                %(moments)s::timestamptz[]) AS seen (site, epoch, batch, since, at)
    JOIN checkpoints ON checkpoints.site = seen.site AND checkpoints.epoch = seen.epoch
      AND checkpoints.batch = seen.batch AND checkpoints.since = seen.since AND NOT checkpoints.rereading
    FOR UPDATE OF checkpoints SKIP LOCKED
)
UPDATE checkpoints SET complete_through = idle.at
FROM idle
WHERE checkpoints.site = idle.site
  AND (checkpoints.complete_through IS NULL OR checkpoints.complete_through < idle.at)
"""

CHANGED_CHECKPOINTS: Final = """
SELECT seen.site
FROM unnest(%(sites)s::text[], %(epochs)s::text[], %(batches)s::bigint[], %(sinces)s::text[])
     AS seen (site, epoch, batch, since)
LEFT JOIN checkpoints ON checkpoints.site = seen.site
WHERE (checkpoints.epoch, checkpoints.batch, checkpoints.since)
      IS DISTINCT FROM (seen.epoch, seen.batch, seen.since)
"""

READ_CLOCK: Final = "SELECT clock_timestamp()"
