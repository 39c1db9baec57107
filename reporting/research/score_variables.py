"""The variables that the scoring definitions make: one a score of each task that has a definition.

`sessions_wide` has a column `<task>_<score>` for each, and `<task>_scoring_version` beside them. Names follow
from the registry alone and stay as long as the definition has the score. What a score is called and measured
in stands here; a score without an entry is an error when this module is imported, not a column without label.

| value of `stroop_acc` | `stroop_scoring_version` | means |
|---|---|---|
| a number | a number | scored |
| missing | a number | the task was done; its trials do not define the score |
| missing | missing | the session has no such task run |

Where a session has a task more than once, the columns show the run of the lowest number, the first
performance; all of them are in `scores_long`. A task without a definition has the generic scores, in
`scores_long` only: its name is not known here.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple

from reporting.research.variables import Text, Type, Unit, Variable
from reporting.scoring import DEFINITIONS, Definition

NOT_SCORED: Final = (
    "the task was not done (then scoring_version is missing too), or its trials do not define it"
)


class Meaning(NamedTuple):
    """What a score is called and measured in."""

    label: Text
    unit: Unit


_MS, _SHARE = Unit.MILLISECONDS, Unit.SHARE

TASK_LABELS: Final[Mapping[str, Text]] = {
    "simple_reaction_time": Text("Simple RT", "TR simple"),
    "choice_reaction_time": Text("Choice RT", "TR de choix"),
    "attention_network_task": Text("Attention network", "Réseaux attentionnels"),
    "stroop": Text("Stroop", "Stroop"),
    "simon": Text("Simon", "Simon"),
    "digit_span": Text("Digit span", "Empan de chiffres"),
    "adaptive_n_back": Text("Adaptive n-back", "N-back adaptatif"),
}

_CONGRUENT: Final = Text("median RT, congruent, correct trials", "TR médian, congruent, essais corrects")
_INCONGRUENT: Final = Text(
    "median RT, incongruent, correct trials", "TR médian, incongruent, essais corrects"
)
_CONGRUENT_ALL: Final = Text("median RT, congruent, all answered", "TR médian, congruent, toutes réponses")
_INCONGRUENT_ALL: Final = Text(
    "median RT, incongruent, all answered", "TR médian, incongruent, toutes réponses"
)
_COST: Final = Text("incongruent minus congruent RT", "TR incongruent moins congruent")

MEANINGS: Final[Mapping[str, Meaning]] = {
    "acc": Meaning(Text("accuracy of answered trials", "exactitude des essais avec réponse"), _SHARE),
    "avg_rt": Meaning(Text("median RT, correct trials", "TR médian, essais corrects"), _MS),
    "std_rt": Meaning(Text("SD of RT, correct trials", "écart-type du TR, essais corrects"), _MS),
    "missed_percent": Meaning(Text("share of missed trials", "part d'essais manqués"), _SHARE),
    "n_trials": Meaning(Text("number of test trials", "nombre d'essais de test"), Unit.COUNT),
    "stroop_rt": Meaning(_COST, _MS),
    "simon_rt": Meaning(_COST, _MS),
    "conflict_rt": Meaning(_COST, _MS),
    "alerting_rt": Meaning(
        Text("RT without cue minus double cue", "TR sans indice moins double indice"), _MS
    ),
    "orienting_rt": Meaning(
        Text("RT with centre cue minus spatial cue", "TR indice central moins indice spatial"), _MS
    ),
    "congruent_rt": Meaning(_CONGRUENT, _MS),
    "incongruent_rt": Meaning(_INCONGRUENT, _MS),
    "neutral_rt": Meaning(
        Text("median RT, neutral, correct trials", "TR médian, neutre, essais corrects"), _MS
    ),
    "congruent_avg_rt": Meaning(_CONGRUENT_ALL, _MS),
    "incongruent_avg_rt": Meaning(_INCONGRUENT_ALL, _MS),
    "forward_span": Meaning(Text("forward span", "endroit"), Unit.DIGITS),
    "reverse_span": Meaning(Text("reverse span", "envers"), Unit.DIGITS),
    "mean_load": Meaning(Text("mean load n over blocks", "charge n moyenne des blocs"), Unit.LETTERS),
}
"""By score. A score that means something else in one task stands in `OF_TASK`."""

OF_TASK: Final[Mapping[tuple[str, str], Meaning]] = {
    # Its trials are not judged.
    ("simple_reaction_time", "avg_rt"): Meaning(
        Text("median RT, answered trials", "TR médian, essais avec réponse"), _MS
    ),
    ("simple_reaction_time", "std_rt"): Meaning(
        Text("SD of RT, answered trials", "écart-type du TR, essais avec réponse"), _MS
    ),
    # As published, over all answers; the attention network task's are over correct ones.
    ("stroop", "congruent_rt"): Meaning(_CONGRUENT_ALL, _MS),
    ("stroop", "incongruent_rt"): Meaning(_INCONGRUENT_ALL, _MS),
}


def meaning_of(task: str, score: str) -> Meaning:
    """What a score of a task is; KeyError of one that nothing here knows."""
    return OF_TASK.get((task, score)) or MEANINGS[score]


def score_names(definition: Definition) -> tuple[str, ...]:
    """The scores that a definition answers, in its order: those of a task run without trials."""
    return tuple(definition.score(()))


def score_variables(definitions: Mapping[str, Definition] = DEFINITIONS) -> tuple[Variable, ...]:
    """The columns of all tasks: each task's scoring version, then its scores."""
    return tuple(
        variable for task, definition in definitions.items() for variable in _of_task(task, definition)
    )


def _of_task(task: str, definition: Definition) -> tuple[Variable, ...]:
    title = TASK_LABELS[task]
    version = Variable(
        name=f"{task}_scoring_version",
        label=Text(f"{title.en}: version of the definition", f"{title.fr} : version de la définition"),
        type=Type.INTEGER,
        missing="the task was not done in the session",
        task=task,
    )
    return (version, *(_of_score(task, score, definition.version) for score in score_names(definition)))


def _of_score(task: str, score: str, version: int) -> Variable:
    title, meaning = TASK_LABELS[task], meaning_of(task, score)
    return Variable(
        name=f"{task}_{score}",
        label=Text(f"{title.en}: {meaning.label.en}", f"{title.fr} : {meaning.label.fr}"),
        type=Type.NUMBER,
        unit=meaning.unit,
        missing=NOT_SCORED,
        task=task,
        score=score,
        scoring_version=version,
    )
