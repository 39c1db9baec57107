"""The datasets that people plan and tablets do not write: participants and visits."""

from typing import Final

import msgspec

from reporting.research.shared_variables import (
    CANCELLED_CAUSE,
    LANGUAGE,
    PARTICIPANT,
    PARTICIPANT_STATUS,
    SESSION,
    SITE,
    STUDY,
    VISIT,
    VISIT_STATE,
    count,
    date_and_day,
)
from reporting.research.variables import Dataset, Identifying, Rule, Text, Type, Variable

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
            identifying=Identifying.INDIRECT,
            rule=Rule.TODAY,
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
