"""The datasets there are, and their variables: the one list that views, queries, exports and codebooks read.

`sessions_wide` is what most analyses want: a row a session, a column a score. The other six say what lies
behind it. Names are an interface: scripts of researchers hold them for years, so a variable is added, and
neither renamed nor given another meaning (`tests/research/test_datasets.py` has them by heart).

| situation | here |
|---|---|
| the session's document is gone from the site database | its rows are in no dataset |
| a device's clock was wrong | times are corrected ones; `clock_offset_s` in `provenance` |
| a name that is no dataset or variable | `find_dataset`, `Dataset.find` answer None; the caller says so |
| when a row was projected | nowhere: a rebuild would change what exports have to repeat |
"""

from collections.abc import Mapping
from typing import Final

import msgspec

from reporting.research.roster_datasets import PARTICIPANTS, VISITS
from reporting.research.score_variables import score_variables
from reporting.research.shared_variables import (
    DEVICE,
    FLAG_CODE,
    FLAG_SUBJECT,
    LANGUAGE,
    LEVEL,
    PARTICIPANT,
    RUN,
    SESSION,
    SESSION_STATUS,
    SITE,
    STARTED,
    STUDY,
    TASK,
    VISIT,
    count,
    date_and_day,
    of_tablet,
)
from reporting.research.variables import Dataset, Identifying, Rule, Text, Type, Unit, Variable

KEPT_MEMBERS: Final = ("block_num", "cue", "flanker_type", "focus_shifts", "load", "num_digits")
"""Of `extra`, by the rule `members`."""


_SITTING: Final = (STUDY, SITE, PARTICIPANT, VISIT, SESSION)
_SESSION_KEY: Final = ("study", "site", "session_id")

_STATUS: Final = Variable(
    name="status",
    label=Text("Status of the session", "Statut de la passation"),
    type=Type.TEXT,
    values=SESSION_STATUS,
)
_ENDED: Final = date_and_day(
    "ended_at",
    Text("End, the device's clock, corrected where wrong", "Fin, horloge de l'appareil, corrigée"),
    Type.TIMESTAMP,
    "the session was not ended",
)[0]
_DURATION: Final = Variable(
    name="duration_s",
    label=Text("From start to end", "Du début à la fin"),
    type=Type.NUMBER,
    unit=Unit.SECONDS,
    missing="the session was not ended",
)
_BATTERY: Final = (
    of_tablet("battery_id", Text("Battery", "Batterie")),
    of_tablet("battery_version", Text("Version of the battery", "Version de la batterie"), Type.INTEGER),
)

SESSIONS_WIDE: Final = Dataset(
    name="sessions_wide",
    label=Text("Sessions with their scores", "Passations et leurs scores"),
    row=Text("one session of one participant", "une passation d'un participant"),
    key=_SESSION_KEY,
    variables=(
        *_SITTING,
        _STATUS,
        *STARTED,
        _ENDED,
        _DURATION,
        LANGUAGE,
        *_BATTERY,
        count("flags_info", Text("Quality flags: info", "Remarques de qualité : info")),
        count("flags_warning", Text("Quality flags: warning", "Remarques de qualité : avertissement")),
        count("flags_serious", Text("Quality flags: serious", "Remarques de qualité : grave")),
        count("conflicts_open", Text("Contradictions nobody has decided", "Contradictions non tranchées")),
        *score_variables(),
    ),
)

SCORES_LONG: Final = Dataset(
    name="scores_long",
    label=Text("Scores", "Scores"),
    row=Text("one score of one task run", "un score d'une exécution de tâche"),
    key=(*_SESSION_KEY, "task", "run", "score"),
    variables=(
        *_SITTING,
        *STARTED,
        TASK,
        RUN,
        Variable(name="score", label=Text("Name of the score", "Nom du score"), type=Type.TEXT),
        Variable(
            name="value",
            label=Text("Value, in the unit of the score", "Valeur, dans l'unité du score"),
            type=Type.NUMBER,
            missing="the trials do not define the score",
        ),
        Variable(
            name="scoring_version",
            label=Text("Version of the definition it was computed with", "Version de la définition utilisée"),
            type=Type.INTEGER,
        ),
    ),
)

TRIALS: Final = Dataset(
    name="trials",
    label=Text("Trials", "Essais"),
    row=Text("one jsPsych trial", "un essai jsPsych"),
    key=(*_SESSION_KEY, "task", "run", "trial_index"),
    variables=(
        *_SITTING,
        TASK,
        RUN,
        Variable(
            name="trial_index",
            label=Text("Number of the trial in its task run", "Numéro de l'essai dans l'exécution"),
            type=Type.INTEGER,
        ),
        Variable(
            name="stage",
            label=Text("Stage: test, practice, …", "Phase : test, practice, …"),
            type=Type.TEXT,
        ),
        Variable(
            name="rt_ms",
            label=Text("Reaction time", "Temps de réaction"),
            type=Type.NUMBER,
            unit=Unit.MILLISECONDS,
            missing="no response",
        ),
        Variable(
            name="correct",
            label=Text("Whether the response was right", "Réponse correcte"),
            type=Type.BOOLEAN,
            missing="the task does not judge the trial",
        ),
        Variable(
            name="response",
            label=Text("Response or key, as logged", "Réponse ou touche, telle qu'enregistrée"),
            type=Type.JSON,
            missing="nothing was logged",
            identifying=Identifying.INDIRECT,
            rule=Rule.JUDGED,
        ),
        Variable(
            name="condition",
            label=Text("Condition, as logged", "Condition, telle qu'enregistrée"),
            type=Type.TEXT,
            missing="the task has none",
        ),
        Variable(
            name="time_elapsed_ms",
            label=Text("Time since the task began", "Temps depuis le début de la tâche"),
            type=Type.NUMBER,
            unit=Unit.MILLISECONDS,
            missing="not logged",
        ),
        Variable(
            name="extra",
            label=Text("Every other member of the jsPsych row", "Tous les autres membres de l'essai"),
            type=Type.JSON,
            missing="no other member",
            identifying=Identifying.INDIRECT,
            rule=Rule.MEMBERS,
        ),
    ),
)

QUALITY: Final = Dataset(
    name="quality",
    label=Text("Quality flags", "Remarques de qualité"),
    row=Text(
        "one remark on a session, task run or trial", "une remarque sur une passation, exécution ou essai"
    ),
    key=(*_SESSION_KEY, "task", "run", "trial_index", "code"),
    nullable_key=("task", "run", "trial_index"),
    variables=(
        *_SITTING,
        msgspec.structs.replace(TASK, missing="it is on the session"),
        msgspec.structs.replace(RUN, missing="it is on the session"),
        Variable(
            name="trial_index",
            label=Text("Number of the trial in its task run", "Numéro de l'essai dans l'exécution"),
            type=Type.INTEGER,
            missing="it is on the session or the task run",
        ),
        Variable(name="code", label=Text("Rule", "Règle"), type=Type.TEXT, values=FLAG_CODE),
        Variable(
            name="subject",
            label=Text("What it is on", "Objet de la remarque"),
            type=Type.TEXT,
            values=FLAG_SUBJECT,
        ),
        Variable(name="level", label=Text("How serious it is", "Gravité"), type=Type.TEXT, values=LEVEL),
        Variable(
            name="rule_version",
            label=Text("Version of the rule", "Version de la règle"),
            type=Type.INTEGER,
        ),
        Variable(
            name="detail",
            label=Text("What the rule has seen", "Ce que la règle a vu"),
            type=Type.JSON,
            # It names other sessions and participants' keys, and moments.
            identifying=Identifying.INDIRECT,
            rule=Rule.WITHHOLD,
        ),
    ),
)

PROVENANCE: Final = Dataset(
    name="provenance",
    label=Text("Provenance", "Provenance"),
    row=Text("where one session came from", "l'origine d'une passation"),
    key=_SESSION_KEY,
    variables=(
        *_SITTING,
        Variable(
            name="rev",
            label=Text("Winning revision", "Révision gagnante"),
            type=Type.TEXT,
            identifying=Identifying.INDIRECT,
            rule=Rule.KEY,
        ),
        Variable(
            name="schema",
            label=Text("Schema of the document, as sent", "Schéma du document, tel qu'envoyé"),
            type=Type.INTEGER,
        ),
        DEVICE,
        of_tablet("device_model", Text("Model of the device", "Modèle de l'appareil")),
        of_tablet("device_os", Text("System of the device", "Système de l'appareil")),
        of_tablet("app_version", Text("Version of the tablet's app", "Version de l'application")),
        of_tablet(
            "utc_offset_minutes",
            Text("The device's offset from UTC", "Décalage de l'appareil par rapport à UTC"),
            Type.INTEGER,
            Unit.MINUTES,
            rule=Rule.CLOCK,
        ),
        Variable(
            name="clock_offset_s",
            label=Text("Added to the device's clock", "Ajouté à l'horloge de l'appareil"),
            type=Type.NUMBER,
            unit=Unit.SECONDS,
            missing="the clock was not found wrong",
            identifying=Identifying.INDIRECT,
            rule=Rule.CLOCK,
        ),
        Variable(
            name="received_at",
            label=Text(
                "First receipt of the revision, the server's clock", "Première réception, horloge du serveur"
            ),
            type=Type.TIMESTAMP,
            missing="not known",
            identifying=Identifying.INDIRECT,
            rule=Rule.CLOCK,
        ),
        count("losing_revisions", Text("Other live revisions", "Autres révisions vivantes")),
        count("corrections", Text("Corrections applied", "Corrections appliquées")),
        count("conflicts_open", Text("Contradictions nobody has decided", "Contradictions non tranchées")),
        count("conflicts_resolved", Text("Contradictions decided", "Contradictions tranchées")),
    ),
)

DATASETS: Final[Mapping[str, Dataset]] = {
    dataset.name: dataset
    for dataset in (SESSIONS_WIDE, SCORES_LONG, TRIALS, PARTICIPANTS, VISITS, QUALITY, PROVENANCE)
}
"""By name, in the order in which people are shown them."""


def find_dataset(name: str) -> Dataset | None:
    """The dataset of this name, if there is one."""
    return DATASETS.get(name)
