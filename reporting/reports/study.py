"""A study's report: who took part, what was measured and how well, site by site."""

from sqlalchemy import Connection, and_, func, select

from reporting.reports.contents import Provenance, ReasonCount, Retested, SiteLine, StatusCount, StudyReport
from reporting.reports.counting import read_months, read_statuses, read_visits, total
from reporting.reports.measuring import distribution, retest
from reporting.reports.provenance import read_heading, read_provenance
from reporting.reports.scope import NotThere, Reach
from reporting.reports.score_rows import read_samples
from reporting.reports.site import NOTABLE, count_flagged
from reporting.research.statistics import SMALLEST_SAMPLE
from reporting.tables import consent_withdrawals, participants, sessions, visits

MOST_REASONS = 6


def read_study_report(connection: Connection, reach: Reach) -> StudyReport:
    """The report of what is in reach. Raises NotThere for a study that nobody knows."""
    heading = read_heading(connection, reach.study)
    if heading is None:
        raise NotThere(f"There is no study {reach.study!r}.")
    statuses = read_statuses(connection, reach)
    provenance = read_provenance(connection, reach)
    months, _ = read_months(connection, reach)
    samples = read_samples(connection, reach)
    with_sessions, unknown = _with_sessions(connection, reach)
    return StudyReport(
        study=heading,
        sites_shown=reach.sites,
        participants=total(statuses),
        with_sessions=with_sessions,
        not_on_roster=unknown,
        reasons=_reasons(connection, reach),
        months=months,
        visits=read_visits(connection, reach),
        distributions=tuple(distribution(each) for each in samples),
        retests=tuple(
            Retested(each.variable, found) for each in samples if (found := retest(each)) is not None
        ),
        sites=_sites(connection, reach, statuses, provenance),
        least_sample=SMALLEST_SAMPLE,
        provenance=provenance,
    )


def _with_sessions(connection: Connection, reach: Reach) -> tuple[int, int]:
    """Participants with a completed session, and those of them that are not on the roster."""
    s, p = sessions.c, participants.c
    people = (
        select(s.study, s.participant)
        .where(reach.holds_session(), s.status == "completed")
        .distinct()
        .subquery()
    )
    is_known = select(p.code).where(p.study == people.c.study, p.code == people.c.participant).exists()
    row = connection.execute(select(func.count(), func.count().filter(~is_known)).select_from(people)).one()
    return row[0], row[1]


def _reasons(connection: Connection, reach: Reach) -> tuple[ReasonCount, ...]:
    """Why participants were withdrawn: in the words of who withdrew consents, where the caller may see
    them (a text may name somebody); else whether consent was withdrawn.
    """
    p, w = participants.c, consent_withdrawals.c
    latest = select(func.max(w.id)).where(w.study == reach.study, w.form.is_(None)).group_by(w.participant)
    last = select(w.study, w.participant, w.reason).where(w.id.in_(latest)).subquery()
    reason = last.c.reason if reach.identified else func.left(last.c.reason, 0)
    found = connection.execute(
        select(reason, func.count().label("number"))
        .select_from(participants)
        .outerjoin(last, and_(last.c.study == p.study, last.c.participant == p.code))
        .where(reach.holds(p.study, p.site), p.status == "withdrawn")
        .group_by(reason)
        .order_by(func.count().desc(), reason.nulls_last())
    )
    return tuple(ReasonCount(*row) for row in found)


def _sites(
    connection: Connection,
    reach: Reach,
    statuses: dict[str | None, StatusCount],
    provenance: Provenance,
) -> tuple[SiteLine, ...]:
    s, v = sessions.c, visits.c
    done = connection.execute(select(s.site, func.count()).where(reach.holds_session()).group_by(s.site))
    sessions_of = {row[0]: row[1] for row in done}
    past = connection.execute(
        select(
            v.site,
            func.count().filter(v.state == "completed"),
            func.count().filter(v.state.in_(("completed", "missed"))),
        )
        .where(reach.holds(v.study, v.site))
        .group_by(v.site)
    )
    visits_of = {site: (completed, both) for site, completed, both in past}
    flagged = count_flagged(connection, reach, NOTABLE)
    return tuple(
        SiteLine(
            site=each.site,
            name=each.name or "",
            participants=statuses.get(each.site, StatusCount()),
            sessions=sessions_of.get(each.site, 0),
            visits_completed=visits_of.get(each.site, (0, 0))[0],
            visits_past=visits_of.get(each.site, (0, 0))[1],
            flagged=flagged.get(each.site, 0),
            complete_through=each.complete_through,
        )
        for each in provenance.standing
    )
