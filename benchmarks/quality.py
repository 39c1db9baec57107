"""`python -m benchmarks quality`: whom the quality rules flag, by kind of file.

The field sessions were judged by people: `complete` passed their quality control, `failed-qc` did not. A rule
that is worth its name flags the latter far more often. Rules on task runs and trials are the projector's own;
what only SQL finds needs more than one document and is not in this table, except duplicates, found by the
same digest.
"""

import gzip
from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec
from rich.table import Table

from benchmarks.corpus import FIELD_SESSIONS, SITES
from reporting.documents.kinds import Session, TaskRun
from reporting.documents.normalise import normalise_trial
from reporting.documents.validate import validate
from reporting.quality import RULES, Level, flag_task_run, observe, trials_digest
from sync_server.demo.generate import generate_sessions

KINDS = ("complete", "retest", "incomplete", "failed-qc", "generated")
ANY_SERIOUS = "any serious"


class Kind(NamedTuple):
    """One kind of file: how many sessions, how many of them have each flag, and how many flags there are."""

    sessions: int
    flagged: Counter[str]
    flags: Counter[str]


def measure() -> dict[str, Kind]:
    """By kind, in the order of KINDS; `generated` where there are no field sessions."""
    sessions: dict[str, int] = Counter()
    flagged: dict[str, Counter[str]] = defaultdict(Counter)
    flags: dict[str, Counter[str]] = defaultdict(Counter)
    seen: dict[tuple[str, str], int] = Counter()
    digests: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for kind, site, session in _sessions():
        codes, digest = _judge(session.document.tasks)
        sessions[kind] += 1
        flags[kind] += codes
        flagged[kind].update(codes.keys())
        flagged[kind][ANY_SERIOUS] += any(RULES[code].level is Level.SERIOUS for code in codes)
        if digest is not None:
            seen[site, digest] += 1
            digests[kind].append((site, digest))
    for kind, found in digests.items():
        duplicates = sum(seen[each] > 1 for each in found)
        flagged[kind]["duplicate_session"] = flags[kind]["duplicate_session"] = duplicates
    return {kind: Kind(sessions[kind], flagged[kind], flags[kind]) for kind in KINDS if sessions[kind]}


def _judge(task_runs: list[TaskRun]) -> tuple[Counter[str], str | None]:
    """Flags by code, and the session's digest."""
    observed = [
        (each.task, each.run, observe(each.task, [normalise_trial(trial) for trial in each.trials]))
        for each in task_runs
    ]
    codes = Counter(flag.code for _, _, run in observed for flag in flag_task_run(run))
    return codes, trials_digest(observed)


def _sessions() -> Iterator[tuple[str, str, Session]]:
    """Kind, site and document of each session that there is."""
    files = sorted(FIELD_SESSIONS.glob("*.ndjson.gz"))
    for path in files:
        kind, _, site = path.name.removesuffix(".ndjson.gz").rpartition("-")
        with gzip.open(path, "rb") as file:
            for line in file:
                yield kind, site, _valid(msgspec.json.decode(line)["_id"], line, site)
    if not files:
        for seed, site in enumerate(SITES):
            for document in generate_sessions(100, site=site, seed=seed):
                yield "generated", site, _valid(document["_id"], msgspec.json.encode(document), site)


def _valid(doc_id: str, body: bytes, site: str) -> Session:
    session = validate(doc_id, body, site=site)
    assert isinstance(session, Session), session
    return session


def table(kinds: dict[str, Kind]) -> Table:
    """A row a rule: share of sessions with the flag, and flags a session."""
    found = Table(title="share of sessions flagged · flags a session")
    found.add_column("rule")
    found.add_column("level")
    for kind, figures in kinds.items():
        found.add_column(f"{kind}\n{figures.sessions}", justify="right")
    for code in (*_codes(kinds), ANY_SERIOUS):
        level = RULES[code].level if code in RULES else ""
        cells = (_cell(code, figures) for figures in kinds.values())
        found.add_row(code, level, *cells, end_section=code == _codes(kinds)[-1])
    return found


def figures_of(kinds: dict[str, Kind]) -> dict[str, Any]:
    """The figures as JSON."""
    return {
        kind: {"sessions": each.sessions, "flagged": dict(each.flagged), "flags": dict(each.flags)}
        for kind, each in kinds.items()
    }


def _codes(kinds: dict[str, Kind]) -> list[str]:
    """Serious ones first."""
    levels = list(Level)
    codes = {code for figures in kinds.values() for code in figures.flags}
    return sorted(codes, key=lambda code: (-levels.index(RULES[code].level), code))


def _cell(code: str, figures: Kind) -> str:
    share = f"{figures.flagged[code] / figures.sessions:.1%}"
    return share if code == ANY_SERIOUS else f"{share} · {figures.flags[code] / figures.sessions:.2f}"
