"""Candidates for the table of trials: how each lays out the same rows, takes them, and is asked for them.

| design | rows |
|---|---|
| `flat` | natural key in every row, text |
| `partitioned` | `flat`, in 16 hash partitions by session |
| `reordered` | `flat`, columns of fixed width first |
| `json text` | `reordered`, `extra` as `json` |
| `no primary key` | `flat`, with an index by session and nothing that keeps a trial from coming twice |
| `surrogate` | task runs are counted; a trial has the number instead of site, session, task and run |
| `hashed` | the same; the number is a hash of those four |
| `extras apart` | `flat` without `extra`; the extras of a task run are one value, which Postgres compresses |
| `hashed, extras apart` | both |
| `extras in parts` | `no primary key` without `extra`; the extras of 64 trials are one value with a key |
"""

import hashlib
from collections.abc import Callable
from typing import NamedTuple

from benchmarks.field_rows import PLACE, SessionLines

_KEY = "site, session_id, task, run, trial_index"
_COLUMNS = f"{_KEY}, stage, rt_ms, correct, response, condition, time_elapsed_ms, extra"
_FLAT_COLUMNS = """
site text NOT NULL, session_id text NOT NULL, task text NOT NULL, run integer NOT NULL,
trial_index integer NOT NULL, stage text NOT NULL, rt_ms double precision, correct boolean, response jsonb,
condition text, time_elapsed_ms double precision, extra jsonb
"""
_FLAT = f"{_FLAT_COLUMNS}, PRIMARY KEY ({_KEY})"
_REORDERED = """
rt_ms double precision, time_elapsed_ms double precision, run integer NOT NULL, trial_index integer NOT NULL,
correct boolean, site text NOT NULL, session_id text NOT NULL, task text NOT NULL, stage text NOT NULL,
condition text, response jsonb, extra {json}, PRIMARY KEY (site, session_id, task, run, trial_index)
"""


class Write(NamedTuple):
    """One COPY: the statement and its lines, NUL in place of what the session's number or id is."""

    statement: str
    lines: bytes


class Design(NamedTuple):
    """One layout in a schema of its own; `trials` there is a relation with the natural columns."""

    name: str
    schema: str
    create: tuple[str, ...]
    delete: tuple[str, ...]
    """The rows of one session: parameters `site`, `session_id`."""
    aggregate: str = "SELECT condition, avg(rt_ms) FROM trials WHERE task = %(task)s GROUP BY condition"
    number: Callable[[bytes, int], int] | None = None
    """The number of a task run, from its natural key and how many there were before."""
    extras_apart: bool = False
    part_bits: int | None = None
    """Of the extras apart: those of trials with equal higher bits of their index are one value."""
    aggregate_extra: str = (
        "SELECT avg(rt_ms) FROM trials WHERE task = %(task)s AND extra ->> 'trial_id' = 'stim'"
    )
    read: str = f"SELECT {_COLUMNS} FROM trials WHERE site = %(site)s AND session_id = %(session_id)s"  # noqa: S608


def _in_turn(_: bytes, before: int) -> int:
    return before


def _hashed(key: bytes, _: int) -> int:
    return int.from_bytes(hashlib.blake2b(key, digest_size=8).digest(), signed=True)


_NUMBERED = (
    "CREATE TABLE task_runs (id bigint PRIMARY KEY, site text NOT NULL, session_id text NOT NULL,"
    " task text NOT NULL, run integer NOT NULL, UNIQUE (site, session_id, task, run))",
    "CREATE TABLE trial_rows (task_run_id bigint NOT NULL, rt_ms double precision,"
    " time_elapsed_ms double precision, trial_index integer NOT NULL, correct boolean,"
    " stage text NOT NULL, condition text, response jsonb, extra jsonb,"
    " PRIMARY KEY (task_run_id, trial_index))",
)
_NUMBERED_VIEW = f"CREATE VIEW trials AS SELECT {_COLUMNS} FROM trial_rows JOIN task_runs ON id = task_run_id"  # noqa: S608
_DELETE_NUMBERED = (
    "DELETE FROM trial_rows USING task_runs WHERE task_run_id = id"
    " AND site = %(site)s AND session_id = %(session_id)s",
    "DELETE FROM task_runs WHERE site = %(site)s AND session_id = %(session_id)s",
)
_DELETE_FLAT = "DELETE FROM trials WHERE site = %(site)s AND session_id = %(session_id)s"

DESIGNS = (
    Design("flat", "flat", (f"CREATE TABLE trials ({_FLAT})",), (_DELETE_FLAT,)),
    Design(
        "partitioned",
        "partitioned",
        (
            f"CREATE TABLE trials ({_FLAT}) PARTITION BY HASH (session_id)",
            *(
                f"CREATE TABLE trials_{n} PARTITION OF trials FOR VALUES WITH (MODULUS 16, REMAINDER {n})"
                for n in range(16)
            ),
        ),
        (_DELETE_FLAT,),
    ),
    Design(
        "reordered",
        "reordered",
        (f"CREATE TABLE trials ({_REORDERED.format(json='jsonb')})",),
        (_DELETE_FLAT,),
    ),
    Design(
        "json text",
        "json_text",
        (f"CREATE TABLE trials ({_REORDERED.format(json='json')})",),
        (_DELETE_FLAT,),
    ),
    Design(
        "no primary key",
        "no_primary_key",
        (f"CREATE TABLE trials ({_FLAT_COLUMNS})", "CREATE INDEX ON trials (site, session_id)"),
        (_DELETE_FLAT,),
    ),
    Design("surrogate", "surrogate", (*_NUMBERED, _NUMBERED_VIEW), _DELETE_NUMBERED, number=_in_turn),
    Design("hashed", "hashed", (*_NUMBERED, _NUMBERED_VIEW), _DELETE_NUMBERED, number=_hashed),
    Design(
        "extras apart",
        "extras_apart",
        (
            f"CREATE TABLE trial_rows ({_FLAT_COLUMNS.replace(', extra jsonb', '')}, PRIMARY KEY ({_KEY}))",
            "CREATE TABLE trial_extras (site text NOT NULL, session_id text NOT NULL, task text NOT NULL,"
            " run integer NOT NULL, extras jsonb, PRIMARY KEY (site, session_id, task, run))",
            "CREATE VIEW trials AS SELECT trial_rows.*, extras -> trial_index::text AS extra"
            " FROM trial_rows LEFT JOIN trial_extras USING (site, session_id, task, run)",
        ),
        (
            "DELETE FROM trial_rows WHERE site = %(site)s AND session_id = %(session_id)s",
            "DELETE FROM trial_extras WHERE site = %(site)s AND session_id = %(session_id)s",
        ),
        extras_apart=True,
    ),
    Design(
        "hashed, extras apart",
        "hashed_extras_apart",
        (
            *(statement.replace(", extra jsonb", "") for statement in _NUMBERED),
            "CREATE TABLE trial_extras (task_run_id bigint PRIMARY KEY, extras jsonb)",
            _NUMBERED_VIEW.replace("extra FROM", "extras -> trial_index::text AS extra FROM")
            + " LEFT JOIN trial_extras USING (task_run_id)",
        ),
        (_DELETE_NUMBERED[0].replace("trial_rows", "trial_extras"), *_DELETE_NUMBERED),
        number=_hashed,
        extras_apart=True,
    ),
    Design(
        "extras in parts",
        "extras_in_parts",
        (
            f"CREATE TABLE trial_rows ({_FLAT_COLUMNS.replace(', extra jsonb', '')})",
            "CREATE INDEX ON trial_rows (site, session_id)",
            "CREATE TABLE trial_extras (site text NOT NULL, session_id text NOT NULL, task text NOT NULL,"
            " run integer NOT NULL, part integer NOT NULL, extras jsonb,"
            " PRIMARY KEY (site, session_id, task, run, part))",
            "CREATE VIEW trials AS SELECT t.*, e.extras -> t.trial_index::text AS extra FROM trial_rows AS t"
            " LEFT JOIN trial_extras AS e ON e.site = t.site AND e.session_id = t.session_id"
            " AND e.task = t.task AND e.run = t.run AND e.part = t.trial_index >> 6",
        ),
        (
            "DELETE FROM trial_rows WHERE site = %(site)s AND session_id = %(session_id)s",
            "DELETE FROM trial_extras WHERE site = %(site)s AND session_id = %(session_id)s",
        ),
        extras_apart=True,
        part_bits=6,
    ),
)


class Template(NamedTuple):
    """One session for one design."""

    design: Design
    session: SessionLines
    writes: tuple[Write, ...] = ()
    numbered: tuple[tuple[Write, ...], ...] = ()
    """By task run, where these have numbers: NUL stands for the number."""

    def under(self, session_id: bytes, before: int) -> list[Write]:
        """What is written for it under this id, after `before` other task runs."""
        number = self.design.number
        if number is None:
            return [Write(each.statement, each.lines.replace(PLACE, session_id)) for each in self.writes]
        written: list[Write] = []
        for position, (task_run, writes) in enumerate(
            zip(self.session.task_runs, self.numbered, strict=True)
        ):
            key = b"\t".join((self.session.site, session_id, task_run.task, task_run.run))
            own = b"%d" % number(key, before + position)
            written.append(Write("COPY task_runs FROM STDIN", own + b"\t" + key + b"\n"))
            written += [Write(each.statement, each.lines.replace(PLACE, own)) for each in writes]
        return written


_COPY_FLAT = f"COPY trials ({_COLUMNS}) FROM STDIN"


def template(design: Design, session: SessionLines) -> Template:
    """How `design` writes the session."""
    if design.number is not None:
        numbered = tuple(_split(design, each.trials, "task_run_id") for each in session.task_runs)
        return Template(design, session, numbered=numbered)
    writes = [
        _split(design, each.trials, "site, session_id, task, run")
        if design.extras_apart
        else (Write(_COPY_FLAT, each.trials),)
        for each in session.task_runs
    ]
    return Template(design, session, tuple(write for each in writes for write in each))


def _split(design: Design, lines: bytes, key_columns: str) -> tuple[Write, ...]:
    """Lines of `trials` as lines of `trial_rows` and `trial_extras`, with their keys."""
    columns = f"{key_columns}, {_COLUMNS.removeprefix('site, session_id, task, run, ')}"
    parted = [line.split(b"\t") for line in lines.splitlines()]
    key = [PLACE] if design.number is not None else parted[0][:4]
    apart = design.extras_apart
    rows = [b"\t".join((*key, *each[4 : -1 if apart else None])) for each in parted]
    if apart:
        columns = columns.removesuffix(", extra")
    trials = Write(f"COPY trial_rows ({columns}) FROM STDIN", b"\n".join(rows) + b"\n")
    return (trials, _extras(design, parted, key_columns, key)) if apart else (trials,)


def _extras(design: Design, parted: list[list[bytes]], key_columns: str, key: list[bytes]) -> Write:
    parts: dict[tuple[bytes, ...], list[bytes]] = {}
    for each in parted:
        part = () if design.part_bits is None else (b"%d" % (int(each[4]) >> design.part_bits),)
        parts.setdefault(part, []).append(b'"' + each[4] + b'":' + each[-1])
    lines = [b"\t".join((*key, *part, b"{" + b",".join(members) + b"}\n")) for part, members in parts.items()]
    columns = key_columns if design.part_bits is None else f"{key_columns}, part"
    return Write(f"COPY trial_extras ({columns}, extras) FROM STDIN", b"".join(lines))
