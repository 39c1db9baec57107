"""What a report was made from: how complete the data are, which scoring, which revisions."""

from hashlib import sha256
from typing import Any

from sqlalchemy import Connection, Select, and_, select

from reporting.queries.sites import SiteRow, select_sites
from reporting.reports.contents import Provenance, ScoringVersion, SiteCompleteness, StudyHeading
from reporting.reports.naming import audience_of
from reporting.reports.scope import Reach
from reporting.reports.score_rows import FETCHED_ROWS
from reporting.research.audience import Wanted
from reporting.research.sources import session_rows
from reporting.scope import EVERYTHING
from reporting.scoring import DEFINITIONS
from reporting.tables import research_policies, scores, sessions, studies, study_sites


def read_heading(connection: Connection, study: str) -> StudyHeading | None:
    """The study; None where there is none of the code."""
    s = studies.c
    row = connection.execute(select(s.code, s.title, s.status).where(s.code == study)).one_or_none()
    return None if row is None else StudyHeading(*row)


def read_standing(connection: Connection, reach: Reach) -> tuple[SiteCompleteness, ...]:
    """How far the data of each site are here: of the study's sites, and those that have sessions of it."""
    s, runs = sessions.c, study_sites.c
    in_study = select(runs.site).where(reach.holds(runs.study, runs.site))
    with_sessions = select(s.site).where(reach.holds_session()).distinct()
    names = sorted({row.site for row in connection.execute(in_study.union(with_sessions))})
    rows = (SiteRow(*row) for row in connection.execute(select_sites(EVERYTHING)))
    known = {row.site: row for row in rows if row.site in names}
    return tuple(_standing(name, known.get(name)) for name in names)


def _standing(site: str, row: SiteRow | None) -> SiteCompleteness:
    if row is None:
        return SiteCompleteness(site, None, None, 0, 0, 0, 0, 0)
    return SiteCompleteness(
        site=site,
        name=row.name,
        complete_through=row.complete_through,
        devices_outstanding=row.devices_outstanding,
        documents_outstanding=row.documents_outstanding,
        quarantined=row.quarantined,
        waived=row.waived,
        conflicts=row.conflicts,
    )


def read_provenance(connection: Connection, reach: Reach, participant: str | None = None) -> Provenance:
    """Of all sessions in reach, or of one participant's."""
    s, n = sessions.c, scores.c
    is_read = reach.holds_session()
    if participant is not None:
        is_read = and_(is_read, s.participant == participant)
    versions = connection.execute(
        select(n.task, n.scoring_version)
        .join(sessions, and_(s.site == n.site, s.id == n.session_id))
        .where(is_read)
        .distinct()
        .order_by(n.task, n.scoring_version)
    )
    by_task: dict[str, tuple[int, ...]] = {}
    for task, version in versions:
        by_task[task] = (*by_task.get(task, ()), version)
    digest, number = sha256(), 0
    revisions = connection.execute(
        _select_revisions(reach, participant).execution_options(yield_per=FETCHED_ROWS)
    )
    for each in revisions:
        number += 1
        digest.update("\0".join(value or "" for value in each).encode() + b"\n")
    ordered = [*DEFINITIONS, *sorted(set(by_task) - set(DEFINITIONS))]
    return Provenance(
        standing=read_standing(connection, reach),
        scoring=tuple(ScoringVersion(task, by_task[task]) for task in ordered if task in by_task),
        sessions=number,
        revisions_digest=digest.hexdigest(),
        is_identified=reach.identified,
        policy=_policy(connection, reach),
    )


def _select_revisions(reach: Reach, participant: str | None) -> Select[Any]:
    """Statement: site, session and revision as the dataset `provenance` shows them to who asks. The same
    digest of a code and of a pseudonym would tell whose the pseudonym is.
    """
    s = session_rows(audience_of(reach), Wanted(reach.study, reach.sites)).subquery("s").c
    by_bytes = (each.collate("C") for each in (s.site, s.session_id, s.key_session))
    found = select(s.site, s.session_id, s.rev).order_by(*by_bytes)
    return found if participant is None else found.where(s.key_participant == participant)


def _policy(connection: Connection, reach: Reach) -> str:
    p = research_policies.c
    if reach.identified:
        return "identified"
    row = connection.execute(select(p.participants, p.dates).where(p.study == reach.study)).one_or_none()
    return "none" if row is None else f"{row.participants}/{row.dates}"
