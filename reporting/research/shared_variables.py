"""Variables that several datasets have, defined once: the same name is the same thing everywhere."""

from typing import Final

from reporting.research.variables import Identifying, Rule, Text, Type, Unit, Value, Variable


def date_and_day(name: str, label: Text, type_: Type, missing: str | None) -> tuple[Variable, Variable]:
    """A date or a moment, and beside it the day since enrolment that every policy keeps.

    `started_at` and `started_day`, `due_on` and `due_day`.
    """
    moment = Variable(
        name=name,
        label=label,
        type=type_,
        missing=missing,
        identifying=Identifying.INDIRECT,
        rule=Rule.DATE,
    )
    day = Variable(
        name=f"{name.rsplit('_', 1)[0]}_day",
        label=Text(f"{label.en}: days since enrolment", f"{label.fr} : jours depuis l'inclusion"),
        type=Type.INTEGER,
        unit=Unit.DAYS,
        missing="the day of enrolment is not known" + (f", or {missing}" if missing else ""),
    )
    return moment, day


STUDY: Final = Variable(name="study", label=Text("Study", "Étude"), type=Type.TEXT)
SITE: Final = Variable(name="site", label=Text("Site", "Centre"), type=Type.TEXT)
PARTICIPANT: Final = Variable(
    name="participant",
    label=Text("Participant code", "Code du participant"),
    type=Type.TEXT,
    identifying=Identifying.DIRECT,
    rule=Rule.PSEUDONYM,
)
VISIT: Final = Variable(
    name="visit",
    label=Text("Visit code", "Code de la visite"),
    type=Type.TEXT,
    missing="the tablet named no visit",
)
SESSION: Final = Variable(
    name="session_id",
    label=Text("Session, unique in its site", "Passation, unique dans son centre"),
    type=Type.TEXT,
    identifying=Identifying.INDIRECT,
    rule=Rule.KEY,
)
TASK: Final = Variable(name="task", label=Text("Task", "Tâche"), type=Type.TEXT)
RUN: Final = Variable(
    name="run",
    label=Text("Which performance of the task in the session", "Numéro de l'exécution dans la passation"),
    type=Type.INTEGER,
)
STARTED: Final = date_and_day(
    "started_at",
    Text("Start, the device's clock, corrected where wrong", "Début, horloge de l'appareil, corrigée"),
    Type.TIMESTAMP,
    None,
)
LANGUAGE: Final = Variable(
    name="language",
    label=Text("Language (BCP 47)", "Langue (BCP 47)"),
    type=Type.TEXT,
    missing="not known",
    identifying=Identifying.INDIRECT,
)
DEVICE: Final = Variable(
    name="device_id",
    label=Text("Device as the document names it", "Appareil selon le document"),
    type=Type.TEXT,
    missing="the tablet's app did not say",
    identifying=Identifying.INDIRECT,
    rule=Rule.KEY,
)


def of_tablet(
    name: str, label: Text, type_: Type = Type.TEXT, unit: Unit | None = None, *, rule: Rule = Rule.KEEP
) -> Variable:
    """Something that a tablet's app says of itself, or does not."""
    return Variable(
        name=name,
        label=label,
        type=type_,
        unit=unit,
        missing="the tablet's app did not say",
        identifying=Identifying.NO if rule is Rule.KEEP else Identifying.INDIRECT,
        rule=rule,
    )


def count(name: str, label: Text) -> Variable:
    """A number of rows, which may be 0 and is never missing."""
    return Variable(name=name, label=label, type=Type.INTEGER, unit=Unit.COUNT)


def values(*pairs: tuple[str, str, str]) -> tuple[Value, ...]:
    """Allowed values, from (code, English, French)."""
    return tuple(Value(code, Text(en, fr)) for code, en, fr in pairs)


SESSION_STATUS: Final = values(
    ("in_progress", "in progress", "en cours"),
    ("completed", "completed", "terminée"),
    ("abandoned", "abandoned", "abandonnée"),
)
PARTICIPANT_STATUS: Final = values(
    ("screened", "screened", "présélectionné"),
    ("enrolled", "enrolled", "inclus"),
    ("withdrawn", "withdrawn", "retiré"),
    ("completed", "completed", "terminé"),
)
VISIT_STATE: Final = values(
    (
        "planned",
        "planned: its window is not open yet; without actual dates also due",
        "prévue : fenêtre pas encore ouverte ; sans dates réelles, aussi à faire",
    ),
    ("due", "due: in its window", "à faire : dans sa fenêtre"),
    ("completed", "completed", "faite"),
    ("missed", "missed: past its window", "manquée : fenêtre passée"),
    ("cancelled", "cancelled", "annulée"),
)
CANCELLED_CAUSE: Final = values(
    ("person", "a person of the team", "une personne de l'équipe"),
    ("participant", "the participant left", "le participant est parti"),
    ("definition", "the visit definition was retired", "la définition de visite est retirée"),
)
LEVEL: Final = values(
    ("info", "good to know", "à savoir"),
    ("warning", "look at it before use", "à examiner avant usage"),
    ("serious", "hardly usable as it is", "difficilement utilisable"),
)
FLAG_SUBJECT: Final = values(
    ("session", "the session", "la passation"),
    ("task run", "a task run", "une exécution de tâche"),
    ("trial", "a trial", "un essai"),
)
FLAG_CODE: Final = values(
    ("anticipatory", "answered too early to have seen it", "réponse anticipée"),
    ("anticipatory_share", "too many anticipatory answers", "trop de réponses anticipées"),
    ("chance_accuracy", "accuracy no better than chance", "exactitude au niveau du hasard"),
    ("clock_suspect", "the device's clock was wrong", "horloge de l'appareil fausse"),
    ("duplicate_session", "the same trials as another session", "mêmes essais qu'une autre passation"),
    ("focus_lost", "the window lost the focus", "fenêtre sans focus"),
    ("merged", "merged from several versions", "fusion de plusieurs versions"),
    ("missed_share", "too many trials not answered", "trop d'essais sans réponse"),
    ("missing_tasks", "tasks of the battery are missing", "tâches de la batterie manquantes"),
    ("no_valid_consent", "no valid consent at its start", "pas de consentement valide au début"),
    ("normalised", "stored after mending what JSON cannot keep", "corrigée pour être conservée en JSON"),
    ("nul_replaced", "NUL characters replaced", "caractères NUL remplacés"),
    ("repeated_key", "the same key again and again", "même touche répétée"),
    ("summary_differs", "the tablet's summary differs", "résumé de la tablette différent"),
    ("timing_gap", "time is missing between trials", "temps manquant entre essais"),
    ("unknown_battery", "the battery is not known", "batterie inconnue"),
    ("unknown_participant", "the participant is not known", "participant inconnu"),
    ("unknown_study", "the study is not known", "étude inconnue"),
    (
        "visit_completed_twice",
        "another session completed the visit",
        "visite déjà faite dans une autre passation",
    ),
)
