"""The datasets there are, and their variables: the one list that views, queries, exports and codebooks read.

`sessions_wide` is what most analyses want: a row a session, a column a score. The other six say what lies
behind it. Names are an interface: scripts of researchers hold them for years, so a variable is added, and
neither renamed nor given another meaning (`tests/research/test_datasets.py` has them by heart).

| situation | here |
|---|---|
| the session's document is gone from the site database | its rows are in no dataset |
| a device's clock was wrong | times are corrected ones; `clock_offset_s` in `provenance` |
| a name that is no dataset or variable | `find_dataset`, `Dataset.find` answer None; the caller says so |
| when a row was projected | nowhere: a rebuild would change it, and exports are the same bytes for the same data |
"""

from collections.abc import Mapping
from functools import cached_property
from typing import Final

import msgspec

from reporting.research.score_variables import score_variables
from reporting.research.shared_variables import (
    CANCELLED_CAUSE,
    DEVICE,
    FLAG_CODE,
    FLAG_SUBJECT,
    LANGUAGE,
    LEVEL,
    PARTICIPANT,
    PARTICIPANT_STATUS,
    RUN,
    SESSION,
    SESSION_STATUS,
    SITE,
    STARTED,
    STUDY,
    TASK,
    VISIT,
    VISIT_STATE,
    count,
    date_and_day,
    of_tablet,
)
from reporting.research.variables import Identifying, Rule, Text, Type, Unit, Variable

KEPT_MEMBERS: Final = ("block_num", "cue", "flanker_type", "focus_shifts", "load", "num_digits")
"""Of `extra`, by the rule `members`."""


class Dataset(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """A view of the schema `research`."""

    name: str
    label: Text
    row: Text
    """What one row is."""
    key: tuple[str, ...]
    """Variables that together are there once: they order exports and pages."""
    nullable_key: tuple[str, ...] = ()
    """Those of `key` that may be missing; missing comes first, and is equal to missing."""
    variables: tuple[Variable, ...]

    @cached_property
    def by_name(self) -> Mapping[str, Variable]:
        """The variables by name, in order."""
        return {variable.name: variable for variable in self.variables}

    def find(self, name: str) -> Variable | None:
        """The variable of this name, if there is one."""
        return self.by_name.get(name)


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

PARTICIPANTS: Final = Dataset(
    name="participants",
    label=Text("Participants", "Participants"),
    row=Text("one participant of the study's roster", "un participant de la liste de l'étude"),
    key=("study", "participant"),
    variables=(
        STUDY,
        PARTICIPANT,
        msgspec.structs.replace(SITE, missing="known by code only"),
        Variable(
            name="status",
            label=Text("Status in the study", "Statut dans l'étude"),
            type=Type.TEXT,
            values=PARTICIPANT_STATUS,
        ),
        LANGUAGE,
        date_and_day("enrolled_on", Text("Day of enrolment", "Jour d'inclusion"), Type.DATE, "not enrolled")[
            0
        ],
        Variable(
            name="redcap_id",
            label=Text("Record in the study's REDCap project", "Enregistrement dans le projet REDCap"),
            type=Type.TEXT,
            missing="none is known",
            identifying=Identifying.DIRECT,
            rule=Rule.WITHHOLD,
        ),
        count("sessions", Text("Sessions", "Passations")),
        count("sessions_completed", Text("Completed sessions", "Passations terminées")),
        count("visits_completed", Text("Completed visits", "Visites faites")),
    ),
)

VISITS: Final = Dataset(
    name="visits",
    label=Text("Visits", "Visites"),
    row=Text("one planned visit of one participant", "une visite prévue d'un participant"),
    key=("study", "participant", "visit"),
    variables=(
        STUDY,
        msgspec.structs.replace(SITE, missing="the participant is known by code only"),
        PARTICIPANT,
        msgspec.structs.replace(VISIT, missing=None),
        Variable(
            name="state",
            label=Text("State of the visit", "État de la visite"),
            type=Type.TEXT,
            values=VISIT_STATE,
        ),
        *date_and_day("due_on", Text("Due", "Prévue le"), Type.DATE, "its anchor is not known yet"),
        *date_and_day(
            "window_from", Text("Window: first day", "Fenêtre : premier jour"), Type.DATE, "as due_on"
        )[:1],
        *date_and_day(
            "window_to", Text("Window: last day", "Fenêtre : dernier jour"), Type.DATE, "as due_on"
        )[:1],
        *date_and_day(
            "completed_on", Text("Completed", "Faite le"), Type.DATE, "not completed, or day not known"
        ),
        Variable(
            name="in_window",
            label=Text("Whether it was completed in its window", "Faite dans sa fenêtre"),
            type=Type.BOOLEAN,
            missing="not completed, or day not known",
        ),
        count("session_count", Text("Completed sessions of the visit", "Passations terminées de la visite")),
        Variable(
            name="session_site",
            label=Text("Site of the session that completed it", "Centre de la passation qui l'a faite"),
            type=Type.TEXT,
            missing="not completed",
        ),
        msgspec.structs.replace(
            SESSION,
            label=Text("Session that completed it", "Passation qui l'a faite"),
            missing="not completed",
        ),
        Variable(
            name="moved",
            label=Text("Whether a person has chosen another day", "Déplacée par une personne"),
            type=Type.BOOLEAN,
        ),
        Variable(
            name="cancelled_cause",
            label=Text("Why it was cancelled", "Cause d'annulation"),
            type=Type.TEXT,
            values=CANCELLED_CAUSE,
            missing="not cancelled",
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
        ),
        Variable(
            name="clock_offset_s",
            label=Text("Added to the device's clock", "Ajouté à l'horloge de l'appareil"),
            type=Type.NUMBER,
            unit=Unit.SECONDS,
            missing="the clock was not found wrong",
        ),
        date_and_day(
            "received_at",
            Text(
                "First receipt of the revision, the server's clock", "Première réception, horloge du serveur"
            ),
            Type.TIMESTAMP,
            "not known",
        )[0],
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
