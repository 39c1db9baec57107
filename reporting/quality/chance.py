"""Accuracy that guessing explains.

`chance_accuracy`, on a task run: of its answered and judged trials (20 at least) no more were correct than
somebody who guesses reaches with a probability above 5 % (one-sided binomial test against the chance level).
Far fewer than by chance is flagged too: whoever has swapped the two keys has answered nothing.

| task | chance | because |
|---|---|---|
| `choice_reaction_time` `simon` `attention_network_task` | 1/2 | two keys, each right on half of the trials |
| `stroop` | 1/3 | three ink colours, a key for each |
| `adaptive_n_back` | 2/3 | two of three letters are no targets: one key throughout is right on them |
| `digit_span` | – | a list is recalled; the staircase holds everybody near one half |
| `simple_reaction_time`, any other | – | not judged, or not known how many answers there are |

20 trials, because of fewer even a good participant may fail the test: 15 of 20 pass it, 6 of 8 do not.
"""

from collections.abc import Iterator
from functools import lru_cache
from math import exp, lgamma, log, sqrt
from typing import Final

from reporting.quality.observed import Finding, Observed, share

CHANCE: Final = {
    "adaptive_n_back": 2 / 3,
    "attention_network_task": 1 / 2,
    "choice_reaction_time": 1 / 2,
    "simon": 1 / 2,
    "stroop": 1 / 3,
}
_FEWEST_JUDGED: Final = 20
_ALPHA: Final = 0.05
_ALPHA_DEVIATIONS: Final = 1.6448536269514722
"""Standard deviations above which 5 % of a normal distribution are."""

# Beyond, the sum costs more than it says: no task has as many trials, only a hostile document.
_SUMMED_UP_TO: Final = 2_000


def chance_accuracy(observed: Observed) -> Iterator[Finding]:
    """A task run that was not answered better than by guessing."""
    chance = CHANCE.get(observed.task)
    if chance is None:
        return
    judged = [trial.correct for trial in observed.answered if trial.correct is not None]
    if len(judged) < _FEWEST_JUDGED:
        return
    correct = sum(judged)
    if correct < fewest_above_chance(len(judged), chance):
        yield Finding(
            None,
            {"accuracy": share(correct, len(judged)), "judged": len(judged), "chance": round(chance, 4)},
        )


@lru_cache(maxsize=4_096)
def fewest_above_chance(judged: int, chance: float) -> int:
    """How many of `judged` trials have to be correct so that guessing does it with at most 5 %."""
    if judged > _SUMMED_UP_TO:
        deviation = sqrt(judged * chance * (1 - chance))
        return int(judged * chance + _ALPHA_DEVIATIONS * deviation + 0.5) + 1
    tail = 0.0
    for correct in range(judged, -1, -1):
        tail += exp(
            lgamma(judged + 1)
            - lgamma(correct + 1)
            - lgamma(judged - correct + 1)
            + correct * log(chance)
            + (judged - correct) * log(1 - chance)
        )
        if tail > _ALPHA:
            return correct + 1
    return 0
