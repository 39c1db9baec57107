"""What a mapping may read of sessions: a batch of them in four statements.

A session that was deleted, quarantined or is gone from its site database has no facts: what it was in REDCap
is withdrawn.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from typing import Any, Final, NamedTuple

from sqlalchemy import ARRAY, FromClause, Select, Text, and_, func, literal, select

from reporting.redcap.target import SessionFacts
from reporting.tables import participants, quality_flags, scores, sessions, sites, task_runs

Session = tuple[str, str]
"""(site, session id)."""

_SESSION: Final = [
    column for column in sessions.c if column.name not in ("trials_digest", "source_missing_at")
]
_ROSTER: Final = [
    participants.c[name] for name in ("code", "redcap_id", "language", "status", "enrolled_on", "site")
]


class Selected(NamedTuple):
    """The statements; each is to be run in one snapshot with the others."""

    sessions: Select[*tuple[Any, ...]]
    scores: Select[*tuple[Any, ...]]
    tasks: Select[*tuple[Any, ...]]
    flags: Select[*tuple[Any, ...]]


def select_facts(study: str, wanted: Collection[Session]) -> Selected:
    """Statements: all that `session_facts` needs. At least one session."""
    given = _given(wanted)
    s, p = sessions.c, participants.c
    live = and_(s.site == given.c.site, s.id == given.c.session_id, s.study == study)
    on_roster = and_(p.study == s.study, p.code == s.participant)
    of_sessions = (
        select(
            func.coalesce(sites.c.timezone, "UTC"),
            *_SESSION,
            *(column.label(f"participant.{column.name}") for column in _ROSTER),
        )
        .select_from(given)
        .join(sessions, live)
        .outerjoin(participants, on_roster)
        .outerjoin(sites, sites.c.code == s.site)
        .where(s.source_missing_at.is_(None))
    )
    sc, t, q = scores.c, task_runs.c, quality_flags.c
    return Selected(
        of_sessions,
        select(sc.site, sc.session_id, sc.task, sc.run, sc.name, sc.value).join(
            given, and_(sc.site == given.c.site, sc.session_id == given.c.session_id)
        ),
        select(t.site, t.session_id, t.task, t.run, t.status, t.n_trials).join(
            given, and_(t.site == given.c.site, t.session_id == given.c.session_id)
        ),
        select(q.site, q.session_id, q.code)
        .join(given, and_(q.site == given.c.site, q.session_id == given.c.session_id))
        .distinct(),
    )


def session_facts(
    of_sessions: Iterable[Sequence[Any]],
    of_scores: Iterable[Sequence[Any]],
    of_tasks: Iterable[Sequence[Any]],
    of_flags: Iterable[Sequence[Any]],
) -> dict[Session, SessionFacts]:
    """What the statements answered, by session. Pure."""
    found_scores: dict[Session, dict[tuple[str, int, str], float | None]] = defaultdict(dict)
    for site, session, task, run, name, value in of_scores:
        found_scores[site, session][task, run, name] = value
    found_tasks: dict[Session, dict[tuple[str, int], tuple[str | None, int]]] = defaultdict(dict)
    for site, session, task, run, status, n_trials in of_tasks:
        found_tasks[site, session][task, run] = (status, n_trials)
    found_flags: dict[Session, set[str]] = defaultdict(set)
    for site, session, code in of_flags:
        found_flags[site, session].add(code)
    names = [column.name for column in _SESSION] + [f"participant.{column.name}" for column in _ROSTER]
    facts = {}
    for timezone, *values in of_sessions:
        columns = dict(zip(names, values, strict=True))
        key = (columns["site"], columns["id"])
        facts[key] = SessionFacts(
            site=columns["site"],
            id=columns["id"],
            study=columns["study"],
            participant=columns["participant"],
            redcap_id=columns["participant.redcap_id"],
            visit=columns["visit"],
            status=columns["status"],
            timezone=timezone,
            columns=columns,
            scores=found_scores[key],
            tasks=found_tasks[key],
            flags=frozenset(found_flags[key]),
            started_at=columns["started_at"],
            ended_at=columns["ended_at"],
        )
    return facts


def _given(wanted: Collection[Session]) -> FromClause:
    ordered = sorted(wanted)
    return (
        func.unnest(
            literal([site for site, _ in ordered], ARRAY(Text)),
            literal([session for _, session in ordered], ARRAY(Text)),
        )
        .table_valued("site", "session_id", name="given")
        .render_derived()
    )
