"""A database of as many trials as one wants, for what researchers ask of it.

The field sessions (or generated ones) are judged once, as the projector does; their rows are written again
and again under new session ids, each time for other participants, four copies of five in the study `SRO` and
one in `SRO-2`. With them come the roster, visits that the sessions completed, both studies with a policy of
de-identification, and sites that are complete. The same size makes the same rows.
"""

import itertools
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from random import Random
from typing import Any, NamedTuple

import psycopg

from benchmarks.corpus import corpus
from replication.push import Outgoing
from replication.values import Leaf
from reporting import tables
from reporting.projection import rows, statements
from reporting.projection.batch import FedDocument
from reporting.projection.copy_text import row_encoder
from reporting.projection.judge import judge

SESSIONS_A_TRANSACTION = 400
STUDIES = ("SRO", "SRO-2")
_ID, _PARTICIPANT, _STUDY = "\x01id", "\x01participant", "\x01study"
"""No field document holds the character."""

_TABLES = (
    ("session", statements.COPY_SESSIONS, row_encoder(tables.sessions, rows.SessionRow._fields)),
    ("task_runs", statements.COPY_TASK_RUNS, row_encoder(tables.task_runs, rows.TaskRunRow._fields)),
    ("scores", statements.COPY_SCORES, row_encoder(tables.scores, rows.ScoreRow._fields)),
    ("flags", statements.COPY_FLAGS, row_encoder(tables.quality_flags, rows.FlagRow._fields)),
)

_AFTERWARDS = (
    "INSERT INTO studies (code) SELECT DISTINCT study FROM sessions ON CONFLICT DO NOTHING",
    "INSERT INTO sites (code) SELECT DISTINCT site FROM sessions ON CONFLICT DO NOTHING",
    """INSERT INTO study_sites (study, site) SELECT DISTINCT study, site FROM sessions
       ON CONFLICT DO NOTHING""",
    """INSERT INTO participants (study, code, site, enrolled_on)
       SELECT study, participant, min(site), min(started_at)::date - 14 FROM sessions GROUP BY 1, 2
       ON CONFLICT DO NOTHING""",
    """INSERT INTO visits (study, participant, code, site, state, due_on, window_from, window_to,
                           completed_at, completed_on, in_window, session_site, session_id, session_count)
       SELECT DISTINCT ON (study, participant, visit) study, participant, visit, site, 'completed',
              started_at::date, started_at::date - 3, started_at::date + 3, started_at, started_at::date,
              true, site, id, 1
       FROM sessions WHERE visit IS NOT NULL AND status = 'completed'
       ORDER BY study, participant, visit, sessions.started_at
       ON CONFLICT DO NOTHING""",
    """INSERT INTO research_policies (study, secret) SELECT code, sha256(convert_to(code, 'UTF8'))
       FROM studies ON CONFLICT DO NOTHING""",
)


class Filled(NamedTuple):
    """What was written."""

    corpus: str
    sessions: int
    trials: int


class _Template(NamedTuple):
    """A session's lines by COPY statement, with places for its id, participant and study."""

    participant: str
    n_trials: int
    lines: tuple[tuple[str, bytes], ...]

    def under(self, session_id: str, copy: int) -> Iterator[tuple[str, bytes]]:
        """The lines of one more copy."""
        places = (
            (_ID.encode(), session_id.encode()),
            (_PARTICIPANT.encode(), f"{self.participant}-{copy:05d}".encode()),
            (_STUDY.encode(), STUDIES[copy % 5 == 4].encode()),
        )
        for statement, lines in self.lines:
            placed = lines
            for place, value in places:
                placed = placed.replace(place, value)
            yield statement, placed


def fill(owner_url: str, trials: int, *, tell: Callable[[int], None] = lambda _: None) -> Filled:
    """Write at least so many trials into a migrated, empty database; `tell` is told how many there are."""
    kind, documents = corpus(None)
    templates = [_template(site, each) for site, pushed in documents.items() for each in pushed]
    written = sessions = 0
    source = _copies(templates)
    with psycopg.connect(owner_url, autocommit=True) as connection:
        connection.execute("SET synchronous_commit = off")
        while written < trials:
            batch = list(itertools.islice(source, SESSIONS_A_TRANSACTION))
            _write(connection, batch)
            sessions += len(batch)
            written += sum(template.n_trials for template, _, _ in batch)
            tell(written)
        for statement in _AFTERWARDS:
            connection.execute(statement.encode())
        connection.execute("VACUUM (ANALYZE)")
    return Filled(kind, sessions, written)


def _template(site: str, pushed: Outgoing) -> _Template:
    leaf = Leaf(id=pushed.id, rev=pushed.rev, deleted=False, body=pushed.json)
    judgement = judge(FedDocument(pushed.id, (pushed.rev,), (leaf,)), site=site, receipts={})
    made = judgement.rows
    if made is None:
        raise ValueError(f"{pushed.id} becomes no session")
    own = made.session._replace(id=_ID, participant=_PARTICIPANT, study=_STUDY)
    parts: dict[str, list[Any]] = {
        "session": [own],
        "task_runs": [each._replace(session_id=_ID) for each in made.task_runs],
        "scores": [each._replace(session_id=_ID) for each in made.scores],
        "flags": [each._replace(session_id=_ID) for each in made.flags],
    }
    lines = [(statement, encode(parts[name])) for name, statement, encode in _TABLES]
    old, new = f"\t{made.session.id}\t".encode(), f"\t{_ID}\t".encode()
    n_trials = 0
    for each in judgement.trial_lines:
        lines.append((statements.COPY_TRIAL_ROWS, each.rows.replace(old, new)))
        lines.append((statements.COPY_TRIAL_EXTRAS, each.extras.replace(old, new)))
        n_trials += each.rows.count(b"\n")
    return _Template(made.session.participant, n_trials, tuple(lines))


def _copies(templates: Sequence[_Template]) -> Iterator[tuple[_Template, str, int]]:
    random = Random(8)
    for copy in itertools.count():
        for template in templates:
            yield template, str(uuid.UUID(int=random.getrandbits(128), version=4)), copy


def _write(connection: psycopg.Connection, batch: Sequence[tuple[_Template, str, int]]) -> None:
    lines: dict[str, list[bytes]] = defaultdict(list)
    for template, session_id, copy in batch:
        for statement, made in template.under(session_id, copy):
            lines[statement].append(made)
    with connection.transaction():
        for statement, parts in lines.items():
            with connection.cursor().copy(statement.encode()) as copy_in:
                for part in parts:
                    copy_in.write(part)
