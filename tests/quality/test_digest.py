"""Sessions with the same trials have one digest, others have not."""

from typing import Any

from reporting.quality import trials_digest
from tests.quality.runs import logged, observed, with_each


def digest(*task_runs: tuple[str, int, list[dict[str, Any]]]) -> str | None:
    return trials_digest((task, run, observed(rows, task)) for task, run, rows in task_runs)


def test_the_same_trials_have_the_same_digest_in_any_order() -> None:
    one, two = ("simon", 1, logged(20)), ("stroop", 1, logged(30))
    assert digest(one, two) == digest(two, one) == digest(("simon", 1, logged(20)[::-1]), two)


def test_what_is_no_reaction_time_does_not_matter() -> None:
    assert digest(("simon", 1, logged(20))) == digest(
        ("simon", 1, logged(20, stimulus="another", correct=None))
    )
    assert digest(("simon", 1, logged(20, rt=1))) == digest(("simon", 1, logged(20, rt=1.0)))


def test_other_trials_tasks_or_runs_have_another_digest() -> None:
    others = [
        digest(("simon", 1, logged(20))),
        digest(("simon", 2, logged(20))),
        digest(("stroop", 1, logged(20))),
        digest(("simon", 1, logged(21))),
        digest(("simon", 1, logged(20)), ("stroop", 1, [])),
        digest(("simon", 1, with_each(logged(20), rt=[401] + [400 + n for n in range(1, 20)]))),
        digest(("simon", 1, with_each(logged(20), rt=[-1] + [400 + n for n in range(1, 20)]))),
    ]
    assert None not in others
    assert len(set(others)) == len(others)


def test_too_few_answers_have_no_digest() -> None:
    assert digest() is None
    assert digest(("simon", 1, logged(9))) is None
    assert digest(("simon", 1, logged(9)), ("stroop", 1, logged(1))) is not None
    assert digest(("simon", 1, logged(500, rt=None))) is None
