"""One merged session → its rows in every results table.

Pure: nothing here knows of Postgres or the clock. The fields of each row class are the columns it is written
to, in order; `copy_text` turns rows into bytes. Flags made here are those that the document itself shows;
unknown references are found by SQL, in the transaction that writes the rows.

| flag | on | detail |
|---|---|---|
| `nul_replaced` | session | none: somewhere in it NUL became U+FFFD |
| `merged` | session | the revisions whose union it is, the winner first |
| `normalised` | session | per revision, what the gateway had to change to store it |
| `summary_differs` | task run | per score, what the tablet computed and what the server did |
| `clock_suspect` | session | how the device's clock was wrong; see `reporting.quality.clock` |
| … | task run, trial | see `reporting.quality` |
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

from reporting.documents.kinds import DeviceReference, TaskRun
from reporting.documents.merge import Merged
from reporting.documents.normalise import normalise_trial
from reporting.documents.trials import Trial
from reporting.projection.batch import Receipt
from reporting.quality import RULES, Clock, Observed, flag_task_run, judge_clock, observe, trials_digest
from reporting.scoring import Score, score_task_run
from reporting.scoring.measures import number

# A tablet rounds; what differs by less than this share is the same number.
_RELATIVE_TOLERANCE: Final = 1e-6


class SessionRow(NamedTuple):
    """`sessions`"""

    site: str
    id: str
    study: str
    participant: str
    visit: str | None
    status: str
    started_at: datetime
    ended_at: datetime | None
    utc_offset_minutes: int | None
    language: str | None
    battery_id: str | None
    battery_version: int | None
    device_id: str | None
    device_model: str | None
    device_os: str | None
    app_version: str | None
    rev: str
    schema: int
    received_at: datetime | None
    clock_offset_s: float | None
    started_at_corrected: datetime | None
    ended_at_corrected: datetime | None
    trials_digest: str | None


class TaskRunRow(NamedTuple):
    """`task_runs`"""

    site: str
    session_id: str
    task: str
    run: int
    status: str | None
    started_at: datetime | None
    ended_at: datetime | None
    params: dict[str, Any] | None
    summary: dict[str, Any] | None
    n_trials: int


class TaskRunTrials(NamedTuple):
    """All rows of `trials` of one task run: what they share, and the trials."""

    site: str
    session_id: str
    task: str
    run: int
    trials: Sequence[Trial]


class ScoreRow(NamedTuple):
    """`scores`"""

    site: str
    session_id: str
    task: str
    run: int
    name: str
    value: float | None
    scoring_version: int


class FlagRow(NamedTuple):
    """`quality_flags`. Without `task` it is about the whole session."""

    site: str
    session_id: str
    task: str | None
    run: int | None
    trial_index: int | None
    code: str
    detail: dict[str, Any]
    rule_version: int


class ConflictRow(NamedTuple):
    """`conflicts`"""

    site: str
    session_id: str
    path: str
    winner_rev: str
    winner_value: Any
    other_rev: str
    other_value: Any
    state: str
    correction: str | None


class QuarantineRow(NamedTuple):
    """`quarantine`"""

    site: str
    doc_id: str
    rev: str
    type: str | None
    code: str
    path: str
    message: str
    rules_version: int


class DocumentRow(NamedTuple):
    """`documents`"""

    site: str
    doc_id: str
    type: str | None
    winner_rev: str
    leaves: Sequence[str]
    state: str
    epoch: str


class SessionRows(NamedTuple):
    """Everything that is written for one session."""

    session: SessionRow
    task_runs: list[TaskRunRow]
    trials: list[TaskRunTrials]
    scores: list[ScoreRow]
    flags: list[FlagRow]
    conflicts: list[ConflictRow]


def session_rows(site: str, merged: Merged, receipts: Mapping[str, Receipt]) -> SessionRows:
    """`site` is the database's; `receipts` are those of the leaves that were received, by revision."""
    session_id = merged.session.id
    clock = judge_clock(merged.session.document, (receipt.received_at for receipt in receipts.values()))
    rows = SessionRows(_session_row(site, merged, receipts.get(merged.rev), clock), [], [], [], [], [])
    rows.flags.extend(_session_flags(site, merged, receipts, clock))
    observed: list[tuple[str, int, Observed]] = []
    for task_run in merged.session.document.tasks:
        task, run = task_run.task, task_run.run
        trials = [normalise_trial(raw) for raw in task_run.trials]
        scores = score_task_run(task, trials)
        rows.task_runs.append(
            TaskRunRow(
                site,
                session_id,
                task,
                run,
                task_run.status,
                task_run.started_at,
                task_run.ended_at,
                task_run.params,
                task_run.summary,
                len(trials),
            )
        )
        rows.trials.append(TaskRunTrials(site, session_id, task, run, trials))
        rows.scores.extend(ScoreRow(site, session_id, task, run, *score) for score in scores)
        differences = _summary_differences(task_run, scores)
        if differences:
            version = RULES["summary_differs"].version
            rows.flags.append(
                FlagRow(site, session_id, task, run, None, "summary_differs", differences, version)
            )
        observed.append((task, run, observe(task, trials)))
        rows.flags.extend(
            FlagRow(site, session_id, task, run, *flag) for flag in flag_task_run(observed[-1][2])
        )
    rows.conflicts.extend(
        ConflictRow(site, session_id, *contradiction) for contradiction in merged.contradictions
    )
    return rows._replace(session=rows.session._replace(trials_digest=trials_digest(observed)))


def _session_row(site: str, merged: Merged, receipt: Receipt | None, clock: Clock) -> SessionRow:
    document = merged.session.document
    battery = document.battery
    device = document.device or DeviceReference()
    return SessionRow(
        site=site,
        id=merged.session.id,
        study=document.study,
        participant=document.participant,
        visit=document.visit,
        status=document.status,
        started_at=document.started_at,
        ended_at=document.ended_at,
        utc_offset_minutes=document.utc_offset_minutes,
        language=document.language,
        battery_id=battery.id if battery else None,
        battery_version=battery.version if battery else None,
        device_id=device.id,
        device_model=device.model,
        device_os=device.os,
        app_version=device.app,
        rev=merged.rev,
        schema=merged.session.schema,
        received_at=receipt.received_at if receipt else None,
        clock_offset_s=clock.offset_s,
        started_at_corrected=clock.started_at,
        ended_at_corrected=clock.ended_at,
        trials_digest=None,
    )


def _session_flags(
    site: str, merged: Merged, receipts: Mapping[str, Receipt], clock: Clock
) -> Iterator[FlagRow]:
    for code, detail in _session_remarks(merged, receipts, clock):
        yield FlagRow(site, merged.session.id, None, None, None, code, detail, RULES[code].version)


def _session_remarks(
    merged: Merged, receipts: Mapping[str, Receipt], clock: Clock
) -> Iterator[tuple[str, dict[str, Any]]]:
    if clock.detail is not None:
        yield "clock_suspect", clock.detail
    if merged.session.nul_replaced:
        yield "nul_replaced", {}
    if len(merged.revs) > 1:
        yield "merged", {"revisions": list(merged.revs)}
    normalised = {
        rev: receipt.normalised for rev, receipt in receipts.items() if receipt.normalised is not None
    }
    if normalised:
        yield "normalised", {"revisions": normalised}


def _summary_differences(task_run: TaskRun, scores: Sequence[Score]) -> dict[str, Any]:
    """Per score that the tablet computed too, and differently: both values."""
    summary = task_run.summary
    if not summary:
        return {}
    return {
        score.name: {"tablet": summary[score.name], "server": score.value}
        for score in scores
        if _differs(summary.get(score.name), score.value)
    }


def _differs(tablet: object, server: float | None) -> bool:
    computed = number(tablet)
    if computed is None:
        return False
    if server is None:
        return True
    return abs(computed - server) > _RELATIVE_TOLERANCE * max(abs(computed), abs(server))
