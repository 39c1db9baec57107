"""Visits that sessions complete, in the transaction that writes the sessions.

A tablet comes back from the field after nine days and pushes the session of day one. By then its visit is
`missed`, and another tablet has done it as well: the first session, by when it began, completes the visit,
and the other one is flagged `visit_completed_twice`, with the first.

| what happens | outcome |
|---|---|
| a completed session comes, early, late, or before its participant is known | its visit is completed |
| a correction names another participant or visit, or abandons the session | both visits are made anew |
| it is deleted, quarantined, gone; found again | the visit is open again, by its day; completed again |
| two tablets complete one visit, at one site or two, any order | one completion; the later one is flagged |
| one tablet, several sittings | one completion, by the first; no flag |
| two sites bring the two sessions at once | whoever has the participant's lock second sees both |
| the batch is undone or repeated | nothing, or the same |

Flags of one site's sessions depend on sessions of another. A batch may write them there without that site's
lock, since whoever replaces a flagged session takes the participant's lock first (`people_of`).
"""

from collections.abc import Collection, Iterable, Sequence
from datetime import UTC, datetime
from typing import Final

import psycopg

from reporting.compiled import execute_in
from reporting.quality import RULES
from reporting.quality.clock import FIRST_TABLETS
from reporting.steps import perform_in
from reporting.visits.generation import up_to_date_everywhere
from reporting.visits.statements import lock_participants, pages

CODE: Final = "visit_completed_twice"
_PAGE: Final = 500

People = set[tuple[str, str]]
"""(study, participant)"""

_PEOPLE: Final = """
SELECT study, participant, bool_or(EXISTS (
    SELECT FROM quality_flags AS flag
    WHERE flag.site = sessions.site AND flag.session_id = sessions.id AND flag.code = 'visit_completed_twice'
))
FROM sessions WHERE site = %(site)s AND id = ANY(%(session_ids)s) AND visit IS NOT NULL
GROUP BY study, participant
"""

_PEOPLE_AT: Final = """
SELECT DISTINCT study, participant FROM sessions WHERE site = %(site)s AND visit IS NOT NULL
"""

_DROP: Final = """
DELETE FROM quality_flags USING sessions
WHERE quality_flags.code = 'visit_completed_twice'
  AND sessions.site = quality_flags.site AND sessions.id = quality_flags.session_id
  AND sessions.participant = ANY(%(participants)s::text[])
  AND (sessions.study, sessions.participant)
      IN (SELECT * FROM unnest(%(studies)s::text[], %(participants)s::text[]))
"""

# The order is that of `statements.select_sittings`: what completes the visit is never flagged.
_FLAG: Final = """
WITH sitting AS (
    SELECT site, id, study, participant, visit, device_id,
           coalesce(started_at_corrected, CASE WHEN started_at >= %(first_tablets)s THEN started_at END)
               AS began
    FROM sessions
    WHERE participant = ANY(%(participants)s::text[])
      AND (study, participant) IN (SELECT * FROM unnest(%(studies)s::text[], %(participants)s::text[]))
      AND visit IS NOT NULL AND status = 'completed' AND source_missing_at IS NULL
), first AS (
    SELECT DISTINCT ON (study, participant, visit) * FROM sitting
    ORDER BY study, participant, visit, began NULLS LAST, site COLLATE "C", id COLLATE "C"
)
INSERT INTO quality_flags (site, session_id, code, detail, rule_version)
SELECT sitting.site, sitting.id, 'visit_completed_twice',
       jsonb_build_object('visit', visit, 'first_site', first.site, 'first_session', first.id),
       %(rule_version)s
FROM sitting JOIN first USING (study, participant, visit)
WHERE (sitting.site, sitting.device_id) IS DISTINCT FROM (first.site, first.device_id)
"""


def people_of(connection: psycopg.Connection, site: str, session_ids: Sequence[str]) -> People:
    """Whose visits these sessions are of, as their rows are now. Call it before they are replaced, too: it
    takes the locks of those who have flags among them.
    """
    if not session_ids:
        return set()
    rows = connection.execute(_PEOPLE, {"site": site, "session_ids": list(session_ids)}).fetchall()
    flagged = [(study, participant) for study, participant, is_flagged in rows if is_flagged]
    if flagged:
        execute_in(connection, lock_participants(flagged))
    return {(study, participant) for study, participant, _ in rows}


def people_at(connection: psycopg.Connection, site: str) -> People:
    """Whose visits any sessions of the site are of."""
    return {(study, participant) for study, participant in connection.execute(_PEOPLE_AT, {"site": site})}


def complete_visits(
    connection: psycopg.Connection, site: str, session_ids: Sequence[str], before: Collection[tuple[str, str]]
) -> People:
    """Bring visits and flags up to date after the rows of these sessions were replaced, in the batch's
    transaction; whose. `before`: whose visits they were of until then (`people_of`).
    """
    people = {*before, *people_of(connection, site, session_ids)}
    bring_up_to_date(connection, people)
    return people


def bring_up_to_date(connection: psycopg.Connection, people: Collection[tuple[str, str]]) -> None:
    """Visits and flags of these (study, participant), from the sessions there are."""
    if people:
        perform_in(connection, up_to_date_everywhere(people, datetime.now(UTC)))
        flag_twice(connection, people)


def hold(connection: psycopg.Connection, people: Iterable[tuple[str, str]]) -> None:
    """Nobody else changes their visits and flags until the transaction ends."""
    execute_in(connection, lock_participants(people))


def flag_twice(connection: psycopg.Connection, people: Iterable[tuple[str, str]]) -> None:
    """Flags of these people's sessions, at all sites, anew. Their locks are held."""
    for some in pages(sorted(people), _PAGE):
        parameters = {
            "studies": [study for study, _ in some],
            "participants": [participant for _, participant in some],
            "first_tablets": FIRST_TABLETS,
            "rule_version": RULES[CODE].version,
        }
        connection.execute(_DROP, parameters)
        connection.execute(_FLAG, parameters)
