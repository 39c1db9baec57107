"""The same key again and again, where other ones were right.

`repeated_key`, on a task run whose trials are judged: at least a quarter of the answers were wrong among

- 20 answered trials or more in a row with the same key, or
- the trials of one key that makes up more than 95 % of the answered ones (20 at least).

A run by itself proves nothing: an n-back of which two letters in three are no targets has honest ones of 39.
Wrong answers within it do, for there another key was right, whether or not the task logs which. Published
criteria for this battery use the 95 %; a run finds also who came back to the task, or left it, half-way. In
the field data 20 in a row with a quarter wrong are in none of 925 `complete` sessions and in 12 of 74
`failed-qc` ones; guessing between two keys makes such a run once in some 8,000 task runs of 150 trials.

Only numbers and strings count as keys: a recalled list, or a slider's object, is none.
"""

from collections import Counter
from collections.abc import Iterator
from itertools import groupby
from operator import attrgetter
from typing import Final

from reporting.documents.trials import Trial
from reporting.quality.observed import Finding, Observed, share

_LONG_RUN: Final = 20
_HALF_RUN: Final = 10
_NEARLY_ALWAYS: Final = 0.95
_WRONG_SHARE: Final = 0.25
_LONGEST_KEY: Final = 40
_LARGEST_KEY: Final = 2**53
_KEYS: Final = frozenset({int, str})

_response_of = attrgetter("response")


def repeated_key(observed: Observed) -> Iterator[Finding]:
    """A task run that was answered by holding on to one key."""
    answered = [
        trial for trial in observed.answered if trial.correct is not None and type(trial.response) in _KEYS
    ]
    if len(answered) < _LONG_RUN:
        return
    keys = [trial.response for trial in answered]
    longest = _longest_run(answered) if _may_have_a_run(keys) else 0
    key, times = Counter(keys).most_common(1)[0]
    nearly_always = times > _NEARLY_ALWAYS * len(answered) and _is_often_wrong(
        [trial for trial in answered if trial.response == key]
    )
    if longest or nearly_always:
        yield Finding(
            None, {"longest_run": longest, "key": _shown(key), "key_share": share(times, len(answered))}
        )


def _may_have_a_run(keys: list[int | str]) -> bool:
    """Quickly, of most task runs: no. A run of 20 covers two neighbouring multiples of 10 and all between."""
    return any(
        keys[start] == keys[start + _HALF_RUN]
        and keys[start : start + _HALF_RUN].count(keys[start]) == _HALF_RUN
        for start in range(0, len(keys) - _HALF_RUN, _HALF_RUN)
    )


def _longest_run(answered: list[Trial]) -> int:
    longest = 0
    for _, group in groupby(answered, key=_response_of):
        run = list(group)
        if len(run) >= _LONG_RUN and len(run) > longest and _is_often_wrong(run):
            longest = len(run)
    return longest


def _is_often_wrong(trials: list[Trial]) -> bool:
    return sum(trial.correct is False for trial in trials) >= _WRONG_SHARE * len(trials)


def _shown(key: int | str) -> int | str:
    """A key as a detail can hold it: a tablet may call anything a key."""
    if isinstance(key, str):
        return key[:_LONGEST_KEY]
    return key if abs(key) <= _LARGEST_KEY else "beyond"
