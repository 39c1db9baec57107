"""What a participant leaves in a task's data log: made-up jsPsych rows of the seven tasks.

The rows have the members that the real tasks log, and what makes real logs awkward: reaction times with a
long tail, misses (`rt: -1`, `key_press: -1`, and `correct: 0` although nothing was answered), wrong keys,
staircases that follow the participant, and gaps in `trial_index` where the task showed a cue, feedback or
instructions.
"""

import math
from collections.abc import Callable, Sequence
from random import Random
from typing import Any, NamedTuple, TypeVar

_LEFT, _RIGHT, _DOWN, _SPACE = 37, 39, 40, 32
_Kind = TypeVar("_Kind")


class Person(NamedTuple):
    """What stays the same from sitting to sitting.

    `tempo` multiplies reaction times, `slips` and `lapses` are the chances of a wrong key and of none, `span`
    (digits) and `load` (letters) are where memory begins to fail.
    """

    tempo: float
    slips: float
    lapses: float
    span: int
    load: int


class _Rts(NamedTuple):
    """An ex-Gaussian distribution, in milliseconds: a normal deviate plus an exponential tail."""

    mu: float
    sigma: float
    tau: float

    def draw(self, rng: Random) -> float:
        return max(120.0, rng.gauss(self.mu, self.sigma) + rng.expovariate(1 / self.tau))


class _Log:
    """The data log of one task run, as jsPsych keeps it: numbers its rows and holds the task's clock.

    `step` is how many screens pass from one logged trial to the next; a new stage shows instructions first.
    """

    def __init__(self, rng: Random, person: Person, *, step: int = 1) -> None:
        self.rng = rng
        self.person = person
        self.rows: list[dict[str, Any]] = []
        self._step = step
        self._index = rng.randint(2, 5) - step
        self._elapsed_ms = rng.randint(9_000, 30_000)

    def write(self, stage: str, lasts_ms: float, **members: Any) -> None:
        """One row; `lasts_ms` is the time since the row before."""
        if self.rows and self.rows[-1]["exp_stage"] != stage:
            self._index += 2
            self._elapsed_ms += self.rng.randint(8_000, 40_000)
        self._index += self._step
        self._elapsed_ms += round(lasts_ms)
        self.rows.append(
            {
                "trial_index": self._index,
                "exp_stage": stage,
                "focus_shifts": int(self.rng.random() < 0.002),
                "full_screen": True,
                "time_elapsed": self._elapsed_ms,
                **members,
            }
        )

    def write_key(
        self,
        stage: str,
        keys: Sequence[int],
        right: int | None,
        rt_ms: float,
        *,
        limit_ms: int,
        slips: float | None = None,
        **members: Any,
    ) -> bool:
        """A trial answered with one of `keys`; True when it was `right` (None: the task judges no answer).

        However fast the answer, the trial lasts `limit_ms` and a pause; an answer after that is a miss.
        """
        slips = self.person.slips if slips is None else slips
        key = keys[0] if right is None else right
        if right is not None and self.rng.random() < slips:
            key = self.rng.choice([other for other in keys if other != right])
        rt = round(rt_ms * self.person.tempo)
        if rt > limit_ms or self.rng.random() < self.person.lapses:
            key, rt = -1, -1
        judged = {} if right is None else {"correct_response": right, "correct": int(key == right)}
        self.write(
            stage,
            limit_ms + self.rng.randint(400, 1_400),
            trial_id="stim",
            trial_type="poldrack-categorize" if stage == "practice" else "poldrack-single-stim",
            possible_responses=list(keys),
            key_press=key,
            rt=rt,
            **judged,
            **members,
        )
        return key == right


def _stages(practice: int, test: int, total: int | None) -> tuple[tuple[str, int], ...]:
    """How many trials each stage has; of a given `total`, at most a fifth is practice."""
    if total is not None:
        practice = min(practice, total // 5)
        test = total - practice
    return ("practice", practice), ("test", test)


def _shuffled(rng: Random, kinds: Sequence[_Kind], n: int) -> list[_Kind]:
    """`n` trials, as many of each kind as goes, in random order."""
    deck = [kinds[i % len(kinds)] for i in range(n)]
    rng.shuffle(deck)
    return deck


def _simple_reaction_time(rng: Random, person: Person, total: int | None) -> _Log:
    log = _Log(rng, person, step=2)
    rts = _Rts(mu=265, sigma=35, tau=75)
    for stage, n in _stages(5, 150, total):
        for number in range(n):
            log.write_key(
                stage,
                (_SPACE,),
                None,
                rts.draw(rng),
                limit_ms=2_000,
                stimulus='<div class="box"><div class="cross"></div></div>',
                trial_num=number,
            )
    return log


def _choice_reaction_time(rng: Random, person: Person, total: int | None) -> _Log:
    log = _Log(rng, person)
    rts = _Rts(mu=365, sigma=50, tau=110)
    keys = (77, 90)
    for stage, n in _stages(20, 150, total):
        for number, shape in enumerate(_shuffled(rng, (1, 2), n)):
            log.write_key(
                stage,
                keys,
                keys[shape - 1],
                rts.draw(rng),
                limit_ms=2_000,
                stimulus=f'<div class="box"><div class="shape-{shape}"></div></div>',
                stim_id=shape,
                trial_num=number,
            )
    return log


def _stroop(rng: Random, person: Person, total: int | None) -> _Log:
    log = _Log(rng, person, step=2)
    keys = {"blue": 66, "green": 71, "red": 82}
    # As many congruent trials as incongruent ones: each ink has two words that contradict it.
    pairs = [(ink, word) for ink in keys for word in keys for _ in range(2 if ink == word else 1)]
    for stage, n in _stages(24, 96, total):
        for ink, word in _shuffled(rng, pairs, n):
            rts = _Rts(mu=500 if ink == word else 580, sigma=80, tau=150)
            log.write_key(
                stage,
                tuple(keys.values()),
                keys[ink],
                rts.draw(rng),
                limit_ms=1_500,
                condition="congruent" if ink == word else "incongruent",
                stim_color=ink,
                stim_word=word,
                stimulus=f'<div class="box"><div class="word" style="color:{ink}">{word.upper()}</div></div>',
            )
    return log


def _simon(rng: Random, person: Person, total: int | None) -> _Log:
    log = _Log(rng, person)
    keys = {"left": _LEFT, "right": _RIGHT}
    answers = {"red": "left", "blue": "right"}
    kinds = [(color, side) for color in answers for side in keys]
    for stage, n in _stages(20, 100, total):
        for number, (color, side) in enumerate(_shuffled(rng, kinds, n)):
            congruent = answers[color] == side
            rts = _Rts(mu=400 if congruent else 435, sigma=55, tau=110)
            log.write_key(
                stage,
                tuple(keys.values()),
                keys[answers[color]],
                rts.draw(rng),
                limit_ms=1_500,
                condition="congruent" if congruent else "incongruent",
                stim_color=color,
                stim_side=side,
                stimulus=f'<div class="box {side}"><div class="square {color}"></div></div>',
                trial_num=number,
            )
    return log


def _attention_network_task(rng: Random, person: Person, total: int | None) -> _Log:
    log = _Log(rng, person, step=5)
    keys = {"left": _LEFT, "right": _RIGHT}
    flankers = {"congruent": 0, "incongruent": 85, "neutral": -5}
    cues = {"nocue": 40, "double": 0, "center": 5, "spatial": -35}
    kinds = [(f, c, w, p) for f in flankers for c in cues for w in keys for p in ("up", "down")]
    for stage, n in _stages(24, 144, total):
        for number, (flanker, cue, way, place) in enumerate(_shuffled(rng, kinds, n), start=1):
            rts = _Rts(mu=510 + flankers[flanker] + cues[cue], sigma=60, tau=90)
            log.write_key(
                stage,
                tuple(keys.values()),
                keys[way],
                rts.draw(rng),
                limit_ms=1_700,
                cue=cue,
                flanker_location=place,
                flanker_middle_direction=way,
                flanker_type=flanker,
                stimulus=_arrows(flanker, way, place),
                trial_num=number,
            )
    return log


def _arrows(flanker: str, way: str, place: str) -> str:
    other = {"left": "right", "right": "left"}[way]
    beside = {"congruent": way, "incongruent": other, "neutral": "none"}[flanker]
    images = "".join(
        f'<img class="arrow" src="/static/arrows/{shown}.png">'
        for shown in (beside, beside, way, beside, beside)
    )
    return f'<div class="box"><div class="fixation">+</div></div><div class="row {place}">{images}</div>'


def _digit_span(rng: Random, person: Person, total: int | None) -> _Log:
    log = _Log(rng, person, step=4)
    forward = 14 if total is None else math.ceil(total / 2)
    for condition, n, span in (
        ("forward", forward, person.span),
        ("reverse", 14 if total is None else total - forward, person.span - 1),
    ):
        length, failures = 3, 0
        for _ in range(n):
            sequence = [rng.randint(1, 9) for _ in range(length)]
            response = sequence if condition == "forward" else sequence[::-1]
            correct = rng.random() < 1 / (1 + math.exp(1.6 * (length - span - 0.5)))
            if not correct:
                slot = rng.randrange(length)
                response = [*response[:slot], response[slot] % 9 + 1, *response[slot + 1 :]]
            rt = round(person.tempo * _Rts(mu=900 * length, sigma=120 * length, tau=600).draw(rng))
            log.write(
                "test",
                2_000 + 1_000 * length + rt,
                trial_id="response",
                trial_type="single-stim-button",
                condition=condition,
                num_digits=length,
                sequence=sequence,
                response=response,
                mouse_click="SubmitButton",
                rt=rt,
                correct=int(correct),
            )
            # One success lengthens the list, two failures in a row shorten it.
            failures = 0 if correct else failures + 1
            if correct:
                length += 1
            elif failures == 2:
                length, failures = max(1, length - 1), 0
    return log


def _adaptive_n_back(rng: Random, person: Person, total: int | None) -> _Log:
    log = _Log(rng, person, step=2)
    practice, control = (21, 40) if total is None else (min(21, total // 10), min(40, total // 10))
    _n_back_block(log, "practice", load=1, n=practice)
    load, block, number = 2, 0, 0
    while (block < 20) if total is None else (number < total - practice - control):
        n = 20 + load if total is None else min(20 + load, total - practice - control - number)
        wrong = _n_back_block(log, "adaptive", load=load, n=n, first=number, block=block)
        if wrong < 0.15 * n:
            load += 1
        elif wrong > 0.25 * n:
            load = max(1, load - 1)
        block, number = block + 1, number + n
    _n_back_block(log, "control", load=0, n=control, first=number)
    return log


def _n_back_block(
    log: _Log, stage: str, *, load: int, n: int, first: int | None = None, block: int | None = None
) -> int:
    """A letter a trial: is it, in either case, the one of `load` letters ago (load 0: a `t`)? The number not
    right.

    `first` numbers the trials, where the stage does; `block` is the block's number, where it has one.
    """
    rng, person = log.rng, log.person
    slips = min(0.5, person.slips + 0.09 * max(0, load + 1 - person.load))
    shown: list[str] = []
    wrong = 0
    for i in range(n):
        target = "t" if load == 0 else shown[i - load] if i >= load else None
        letter = target if target is not None and rng.random() < 0.3 else rng.choice("bdgtv")
        shown.append(rng.choice((letter.lower(), letter.upper())))
        members: dict[str, Any] = {"stim": shown[i], "stimulus": f'<div class="box"><b>{shown[i]}</b></div>'}
        if target is not None:
            members["target"] = target
        if first is not None:
            members |= {"trial_num": first + i, "load": load}
        if block is not None:
            members["block_num"] = block
        right = _LEFT if target is not None and letter.lower() == target.lower() else _DOWN
        rts = _Rts(mu=420 + 25 * load, sigma=90, tau=170)
        wrong += not log.write_key(
            stage, (_LEFT, _DOWN), right, rts.draw(rng), limit_ms=2_000, slips=slips, **members
        )
    return wrong


_TASKS: dict[str, Callable[[Random, Person, int | None], _Log]] = {
    "simple_reaction_time": _simple_reaction_time,
    "choice_reaction_time": _choice_reaction_time,
    "attention_network_task": _attention_network_task,
    "stroop": _stroop,
    "simon": _simon,
    "digit_span": _digit_span,
    "adaptive_n_back": _adaptive_n_back,
}

TASKS = tuple(_TASKS)


def log_task_run(
    task: str, rng: Random, person: Person, *, n_trials: int | None = None
) -> list[dict[str, Any]]:
    """The trials of one run of one of `TASKS`, as logged; KeyError for any other task.

    `n_trials` is the exact number of trials; None gives the task its real length (28 to about 500).
    """
    return _TASKS[task](rng, person, n_trials).rows
