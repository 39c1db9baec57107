"""Session documents that look real, for the demo, the tests and whoever has no field data.

A server that was only ever tried on tidy data meets its first missed response in the clinic. So these
sessions have what real ones have: each participant a baseline and a retest visit, each visit three sittings
on consecutive days that share out the seven tasks, and now and then a sitting that was abandoned half-way.
One sitting is one session document, of about 330 trials on average.

Everything follows from the arguments: the same ones give the same documents, and a longer run begins with the
shorter one.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from sync_server.demo.task_runs import TASKS, Person, log_task_run

FIRST_DAY = datetime(2025, 3, 3, 8, 0, tzinfo=UTC)

_VISITS = ("baseline", "retest")
_SITTINGS = 3
_RETEST_AFTER = timedelta(days=112)
_MODELS = (("Android 14", "SM-T510"), ("Android 13", "SM-X200"), ("Android 14", "TB-310"))


def generate_sessions(
    count: int,
    *,
    site: str,
    seed: int,
    study: str = "DEMO",
    first_day: datetime = FIRST_DAY,
    utc_offset_minutes: int = 0,
    trials_per_task: int | None = None,
) -> Iterator[dict[str, Any]]:
    """`count` session documents (schema 1, without `_rev`) of one site.

    The first three have all seven tasks, six make a participant. `first_day` is when the first participant
    may begin. `trials_per_task` gives every task run exactly so many trials instead of its real length (28 to
    about 500); only an abandoned one has fewer. Raises ValueError for a negative count, fewer than one trial,
    or a `first_day` without a time zone.
    """
    if count < 0 or (trials_per_task is not None and trials_per_task < 1):
        raise ValueError("count must be at least 0 and trials_per_task at least 1")
    if first_day.tzinfo is None:
        raise ValueError("first_day needs a time zone")
    return (
        _session(
            index,
            site=site,
            seed=seed,
            study=study,
            first_day=first_day.astimezone(UTC),
            utc_offset_minutes=utc_offset_minutes,
            trials_per_task=trials_per_task,
        )
        for index in range(count)
    )


def _session(
    index: int,
    *,
    site: str,
    seed: int,
    study: str,
    first_day: datetime,
    utc_offset_minutes: int,
    trials_per_task: int | None,
) -> dict[str, Any]:
    visit_number, sitting = divmod(index, _SITTINGS)
    participant_number, visit = divmod(visit_number, len(_VISITS))
    participant = f"p{participant_number + 1:03d}"
    origin = f"{seed}/{site}/{study}"
    person = _person(_rng(origin, participant))
    rng = _rng(origin, str(index))
    started_at = (
        first_day
        + timedelta(days=2 * participant_number + sitting, seconds=rng.randrange(8 * 3600))
        + visit * _RETEST_AFTER
    )
    abandoned = index % 11 == 7
    tasks = _task_runs(
        _tasks_of_sitting(_rng(origin, f"visit {visit_number}"), visit_number, sitting),
        rng=rng,
        person=person._replace(tempo=person.tempo * (1 - 0.04 * visit)),
        started_at=started_at,
        abandoned=abandoned,
        trials_per_task=trials_per_task,
    )
    tablet = rng.randrange(len(_MODELS))
    system, model = _MODELS[tablet]
    return {
        "_id": f"session:{uuid5(NAMESPACE_URL, f'urn:metricis-sync:demo:{origin}/{index}')}",
        "type": "session",
        "schema": 1,
        "study": study,
        "site": site,
        "participant": participant,
        "visit": _VISITS[visit],
        "battery": {"id": "self-regulation", "version": 1},
        "device": {"id": f"{site}-tab-{tablet + 1}", "app": "1.0.0", "os": system, "model": model},
        "language": "en",
        "started_at": tasks[0]["started_at"],
        "ended_at": tasks[-1]["ended_at"],
        "utc_offset_minutes": utc_offset_minutes,
        "status": "abandoned" if abandoned else "completed",
        "tasks": tasks,
    }


def _tasks_of_sitting(rng: Random, visit_number: int, sitting: int) -> Sequence[str]:
    """This sitting's share of the visit's tasks; `rng` is the visit's. The long n-back is left out every
    other visit."""
    tasks = [task for task in TASKS if task != "adaptive_n_back" or visit_number % 2 == 0]
    rng.shuffle(tasks)
    return tasks[sitting::_SITTINGS]


def _task_runs(
    tasks: Sequence[str],
    *,
    rng: Random,
    person: Person,
    started_at: datetime,
    abandoned: bool,
    trials_per_task: int | None,
) -> list[dict[str, Any]]:
    runs: list[dict[str, Any]] = []
    for task in tasks:
        trials = log_task_run(task, rng, person, n_trials=trials_per_task)
        broken_off = abandoned and task == tasks[-1]
        if broken_off:
            trials = trials[: max(1, int(len(trials) * rng.uniform(0.2, 0.8)))]
        ended_at = started_at + timedelta(milliseconds=trials[-1]["time_elapsed"])
        runs.append(
            {
                "task": task,
                "run": 1,
                "status": "abandoned" if broken_off else "completed",
                "started_at": _timestamp(started_at),
                "ended_at": _timestamp(ended_at),
                "trials": trials,
            }
        )
        started_at = ended_at + timedelta(seconds=rng.randint(20, 240))
    return runs


def _person(rng: Random) -> Person:
    return Person(
        tempo=min(1.4, max(0.8, rng.gauss(1.0, 0.12))),
        slips=rng.uniform(0.01, 0.08),
        lapses=rng.uniform(0.003, 0.03),
        span=rng.randint(5, 9),
        load=rng.randint(2, 4),
    )


def _rng(origin: str, purpose: str) -> Random:
    # A generator a purpose, seeded by its name: a change in one place leaves all others as they were.
    return Random(f"{origin}/{purpose}")  # noqa: S311 - repeatable made-up data, nothing secret


def _timestamp(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")
