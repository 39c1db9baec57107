"""Every text of reports, in English and French. `{name}` is filled in."""

from collections.abc import Mapping
from typing import Final

from reporting.research.variables import Text

PRODUCT: Final = "Metricis Sync"

TEXTS: Final[Mapping[str, Text]] = {
    "page": Text("Page {number} of {total}", "Page {number} sur {total}"),
    "part_of": Text("{part} of {whole} ({share})", "{part} sur {whole} ({share})"),
    "points": Text("points", "points"),
    "and_more": Text("and {number} more", "et {number} de plus"),
    # What reports are called.
    "kind_participant": Text("Participant report", "Rapport de participant"),
    "kind_site": Text("Site report", "Rapport de centre"),
    "kind_study": Text("Study report", "Rapport d'étude"),
    "subject_participant": Text(
        "Cognitive scores of one participant over time, beside the study's own sample",
        "Scores cognitifs d'un participant au fil du temps, à côté de l'échantillon de l'étude",
    ),
    "subject_site": Text(
        "Enrolment, visits, data quality and synchronisation of one site",
        "Inclusions, visites, qualité des données et synchronisation d'un centre",
    ),
    "subject_study": Text(
        "Flow of participants, distributions and reliability of scores, sites",
        "Flux des participants, distributions et fidélité des scores, centres",
    ),
    # Facts.
    "study": Text("Study", "Étude"),
    "site": Text("Site", "Centre"),
    "sites": Text("Sites", "Centres"),
    "participant": Text("Participant", "Participant"),
    "pseudonym": Text("Pseudonym", "Pseudonyme"),
    "status": Text("Status", "Statut"),
    "language": Text("Language", "Langue"),
    "enrolled_on": Text("Enrolled", "Inclusion"),
    "sessions": Text("Sessions", "Passations"),
    "site_unknown": Text("no site", "sans centre"),
    "status_unknown": Text("not on the roster", "absent de la liste"),
    "timezone": Text("Time zone", "Fuseau horaire"),
    "participants": Text("Participants", "Participants"),
    "completed_sessions": Text("completed: {number}", "terminées : {number}"),
    "enrolled_of_screened": Text("on the roster: {number}", "sur la liste : {number}"),
    "visits_completed": Text("Visits completed", "Visites faites"),
    "visits_completed_detail": Text("of those completed or missed", "parmi les faites et les manquées"),
    "sessions_flagged": Text("Sessions to look at", "Passations à examiner"),
    "flagged_detail": Text("with a warning or worse", "avec un avertissement ou pire"),
    "complete_through": Text("Data complete through", "Données complètes jusqu'au"),
    "not_complete": Text("not known for every site", "inconnu pour certains centres"),
    "never": Text("never", "jamais"),
    # States of studies and sites.
    "study_draft": Text("draft", "brouillon"),
    "study_active": Text("active", "en cours"),
    "study_paused": Text("paused", "suspendue"),
    "study_completed": Text("completed", "terminée"),
    "site_open": Text("open", "ouvert"),
    "site_archived": Text("archived", "archivé"),
    # Sections.
    "section_scores": Text("Scores over time", "Scores au fil du temps"),
    "section_sessions": Text("Sessions", "Passations"),
    "section_visits": Text("Visits", "Visites"),
    "section_quality": Text("Data quality", "Qualité des données"),
    "section_enrolment": Text("Enrolment", "Inclusions"),
    "section_activity": Text("Sessions by month", "Passations par mois"),
    "section_sync": Text("Synchronisation", "Synchronisation"),
    "section_flow": Text("Flow of participants", "Flux des participants"),
    "section_distributions": Text("Distributions of scores", "Distributions des scores"),
    "section_retest": Text(
        "Test–retest reliability and practice", "Fidélité test-retest et effet d'entraînement"
    ),
    "section_sites": Text("Sites", "Centres"),
    "section_provenance": Text("Provenance", "Provenance"),
    # Charts of a participant.
    "scores_legend": Text(
        "Dots are sessions of this participant, hollow where one was not completed. The band holds the "
        "middle half (quartiles) and the dashed line is the median of the study's own sample at its first"
        " visit. It is shown from {least} participants on; sessions that were not completed or have a "
        "serious remark count for no statistic.",
        "Les points sont les passations de ce participant, creux si une passation n'est pas terminée. La "
        "bande contient la moitié centrale (quartiles) et le trait pointillé est la médiane de "
        "l'échantillon de l'étude à sa première visite. Elle est montrée à partir de {least} participants"
        " ; une passation non terminée ou avec une remarque grave ne compte dans aucune statistique.",
    ),
    "change_legend": Text(
        "A change from the first visit to the second is told as reliable where it exceeds, beyond the "
        "study's mean practice effect, what the score's error explains (Jacobson & Truax; 95%): a rise or"
        " fall of the value, not of the person. Practice: the mean change of everybody who was measured "
        "at both.",
        "Un changement de la première à la deuxième visite est dit fiable s'il dépasse, au-delà de "
        "l'effet d'entraînement moyen de l'étude, ce que l'erreur du score explique (Jacobson & Truax ; "
        "95 %) : une hausse ou une baisse de la valeur, pas de la personne. Entraînement : le changement "
        "moyen de tous ceux qui ont été mesurés aux deux.",
    ),
    "standing": Text(
        "{value} at {visit}: percentile {percentile} (n = {n})",
        "{value} à {visit} : percentile {percentile} (n = {n})",
    ),
    "standing_small": Text(
        "{value} at {visit}; sample too small (n = {n})",
        "{value} à {visit} ; échantillon trop petit (n = {n})",
    ),
    "not_counted": Text("{value}, counts for no visit", "{value}, ne compte pour aucune visite"),
    "sample_small": Text("sample too small (n = {n})", "échantillon trop petit (n = {n})"),
    "change_rise": Text("{change}: reliable rise", "{change} : hausse fiable"),
    "change_fall": Text("{change}: reliable fall", "{change} : baisse fiable"),
    "change_within": Text("{change}: within error", "{change} : dans l'erreur"),
    "change_undefined": Text("change: its error is not defined", "changement : erreur non définie"),
    "change_missing": Text("not at both {first} and {second}", "pas à {first} et {second}"),
    "change_small": Text("change: too few pairs (n = {n})", "changement : trop peu de paires (n = {n})"),
    "one_visit": Text("one visit: no change to tell", "une visite : pas de changement"),
    "practice": Text("practice {change} (n = {n})", "entraînement {change} (n = {n})"),
    "undefined_all": Text(
        "The task was done; its trials do not define this score.",
        "La tâche a été faite ; ses essais ne définissent pas ce score.",
    ),
    "undefined_some": Text("sessions without this score: {number}", "passations sans ce score : {number}"),
    "no_scores": Text("No session has a scored task yet.", "Aucune passation n'a encore de tâche cotée."),
    "tasks_not_done": Text("Not done: {tasks}.", "Non fait : {tasks}."),
    "day_number": Text("day {number}", "jour {number}"),
    "session_number": Text("session {number}", "passation {number}"),
    "curve_alternative": Text(
        "{title}: {number} values, from {first} to {last}. {notes}",
        "{title} : {number} valeurs, de {first} à {last}. {notes}",
    ),
    "curve_empty_alternative": Text("{title}: no value.", "{title} : aucune valeur."),
    # Tables.
    "number": Text("No.", "N°"),
    "date": Text("Date", "Date"),
    "day": Text("Day", "Jour"),
    "visit": Text("Visit", "Visite"),
    "state": Text("State", "État"),
    "due": Text("Due", "Prévue"),
    "done": Text("Completed", "Faite"),
    "in_window": Text("In window", "Dans la fenêtre"),
    "yes": Text("yes", "oui"),
    "no": Text("no", "non"),
    "tasks": Text("Tasks", "Tâches"),
    "flags": Text("Flags", "Remarques"),
    "serious": Text("Serious", "Graves"),
    "revision": Text("Revision", "Révision"),
    "remark": Text("Remark", "Remarque"),
    "level": Text("Level", "Gravité"),
    "raised": Text("Raised", "Nombre"),
    "in_sessions": Text("Sessions", "Passations"),
    "no_sessions": Text("No session has arrived.", "Aucune passation n'est arrivée."),
    "no_flags": Text("Nothing was remarked on.", "Aucune remarque."),
    "no_visits": Text("The study plans no visits.", "L'étude ne prévoit pas de visites."),
    "visit_planned": Text("planned", "prévue"),
    "visit_due": Text("due", "à faire"),
    "visit_completed": Text("completed", "faite"),
    "visit_missed": Text("missed", "manquée"),
    "visit_cancelled": Text("cancelled", "annulée"),
    "level_info": Text("good to know", "à savoir"),
    "level_warning": Text("look at it", "à examiner"),
    "level_serious": Text("serious", "grave"),
    "dates_shifted": Text(
        "Dates are shifted, by the same number of days throughout.",
        "Les dates sont décalées, partout du même nombre de jours.",
    ),
    "dates_days": Text("Days are counted from enrolment.", "Les jours sont comptés depuis l'inclusion."),
    "dates_withheld": Text(
        "The study has no policy for sharing: name and dates are withheld.",
        "L'étude n'a pas de politique de partage : nom et dates ne sont pas communiqués.",
    ),
    # Site.
    "enrolled_by_month": Text("enrolled in the month", "inclus dans le mois"),
    "enrolled_so_far": Text("so far", "cumul"),
    "sessions_by_month": Text("sessions in the month", "passations dans le mois"),
    "months_alternative": Text(
        "Bars by month from {first} to {last}: {what}, {total} in all.",
        "Barres par mois de {first} à {last} : {what}, {total} en tout.",
    ),
    "no_enrolment": Text("Nobody has been enrolled yet.", "Personne n'est encore inclus."),
    "undated": Text(
        "Enrolled on a day that is not known, and not in the chart: {number}.",
        "Inclus un jour inconnu, et absents du graphique : {number}.",
    ),
    "visits_alternative": Text("Visits by state. {rows}", "Visites par état. {rows}"),
    "visits_row": Text(
        "{visit}: {completed} of {total} completed", "{visit} : {completed} faites sur {total}"
    ),
    "visits_note": Text(
        "Cancelled visits are not counted: {number}. In window: of the completed ones.",
        "Les visites annulées ne sont pas comptées : {number}. Dans la fenêtre : parmi celles qui sont "
        "faites.",
    ),
    "of_completed": Text("{share} completed, {window} in window", "{share} faites, {window} dans la fenêtre"),
    "quality_summary": Text(
        "{flagged} sessions have a warning or worse; {serious} are hardly usable in part.",
        "{flagged} passations ont un avertissement ou pire ; {serious} sont en partie difficilement "
        "utilisables.",
    ),
    "outstanding": Text("Outstanding on tablets", "En attente sur les tablettes"),
    "outstanding_detail": Text("documents (tablets: {number})", "documents (tablettes : {number})"),
    "quarantined": Text("Quarantined", "En quarantaine"),
    "quarantined_detail": Text("documents (accepted: {number})", "documents (acceptés : {number})"),
    "conflicts": Text("Contradictions", "Contradictions"),
    "conflicts_detail": Text("that nobody has decided", "que personne n'a tranchées"),
    "device": Text("Tablet", "Tablette"),
    "app": Text("App", "Application"),
    "waiting": Text("Waiting", "En attente"),
    "told_at": Text("As told on", "Dernier état"),
    "no_devices": Text("No tablet has told of itself.", "Aucune tablette n'a donné son état."),
    # Study.
    "whole_study": Text("all sites", "tous les centres"),
    "flow_roster": Text("On the roster: {number}", "Sur la liste : {number}"),
    "flow_not_enrolled": Text("Screened, not enrolled: {number}", "Présélectionnés, non inclus : {number}"),
    "flow_enrolled": Text("Enrolled: {number}", "Inclus : {number}"),
    "flow_withdrawn": Text("Withdrawn: {number}", "Retirés : {number}"),
    "flow_measured": Text("With a completed session: {number}", "Avec une passation terminée : {number}"),
    "flow_not_on_roster": Text("of them {number} not on the roster", "dont {number} absents de la liste"),
    "flow_visit": Text("{visit}: {number} completed", "{visit} : {number} faites"),
    "flow_visit_in_window": Text("{number} in their window", "{number} dans la fenêtre"),
    "flow_visit_open": Text("{due} due, {planned} planned", "{due} à faire, {planned} prévues"),
    "flow_visit_not_done": Text(
        "{missed} missed, {cancelled} cancelled", "{missed} manquées, {cancelled} annulées"
    ),
    "flow_end": Text("In the study: {number}", "Dans l'étude : {number}"),
    "flow_completed": Text("{number} have completed it", "{number} l'ont terminée"),
    "flow_going_on": Text("{number} go on", "{number} continuent"),
    "reason_consent": Text("{number}: consent withdrawn", "{number} : consentement retiré"),
    "reason_none": Text("{number}: no reason on record", "{number} : sans raison enregistrée"),
    "reason_text": Text("{number}: {reason}", "{number} : {reason}"),
    "reason_others": Text("{number}: other reasons", "{number} : autres raisons"),
    "flow_alternative": Text(
        "Flow diagram: {roster} on the roster, {enrolled} enrolled, {withdrawn} withdrawn, "
        "{completed} completed.",
        "Diagramme de flux : {roster} sur la liste, {enrolled} inclus, {withdrawn} retirés, "
        "{completed} terminés.",
    ),
    "distributions_legend": Text(
        "The study's sample at its first visit, of completed sessions without serious remarks. Beneath: "
        "the middle half (bar) and the median (notch). Of fewer than {least} participants nothing but "
        "their number is shown.",
        "L'échantillon de l'étude à sa première visite, passations terminées sans remarque grave. En "
        "dessous : la moitié centrale (barre) et la médiane (trait). Sous {least} participants, seul leur"
        " nombre est montré.",
    ),
    "distribution_note": Text(
        "median {median} ({low}–{high}), n = {n}", "médiane {median} ({low}–{high}), n = {n}"
    ),
    "distribution_alternative": Text("Histogram of {title}: {note}.", "Histogramme de {title} : {note}."),
    "retest_legend": Text(
        "The study's first two visits, of everybody who was measured at both. r: Pearson, do people keep "
        "their order; ICC(2,1): do they keep their values; 95% intervals in brackets. Practice: second "
        "minus first. An asterisk: the interval does not hold zero.",
        "Les deux premières visites de l'étude, de tous ceux qui ont été mesurés aux deux. r : Pearson, "
        "l'ordre des personnes est-il conservé ; CCI(2,1) : leurs valeurs le sont-elles ; intervalles à "
        "95 % entre crochets. Entraînement : deuxième moins première. Astérisque : l'intervalle ne "
        "contient pas zéro.",
    ),
    "score": Text("Score", "Score"),
    "pairs": Text("n", "n"),
    "pearson": Text("r", "r"),
    "icc": Text("ICC(2,1)", "CCI(2,1)"),
    "mean_change": Text("Practice", "Entraînement"),
    "standardised": Text("d", "d"),
    "no_pairs": Text("Nobody was measured twice yet.", "Personne n'a encore été mesuré deux fois."),
    "no_distributions": Text("No score has arrived yet.", "Aucun score n'est encore arrivé."),
    "roster": Text("Roster", "Liste"),
    "enrolled": Text("Enrolled", "Inclus"),
    "withdrawn": Text("Withdrawn", "Retirés"),
    "completed": Text("Completed", "Terminés"),
    "visits": Text("Visits", "Visites"),
    "flagged": Text("Flagged", "À examiner"),
    "no_sites": Text("The study runs at no site.", "L'étude n'a pas de centre."),
    "all_sites": Text("All", "Tous"),
    # Provenance.
    "provenance_identified": Text(
        "Shown with codes and dates as they are.", "Avec codes et dates tels qu'ils sont."
    ),
    "provenance_deidentified": Text(
        "De-identified by the study's policy: participants {participants}, dates {dates}.",
        "Désidentifié selon la politique de l'étude : participants {participants}, dates {dates}.",
    ),
    "provenance_aggregated": Text(
        "Counts and statistics only: no participant's code or date.",
        "Effectifs et statistiques seulement : ni code ni date d'un participant.",
    ),
    "policy_code": Text("by code", "par code"),
    "policy_pseudonym": Text("by pseudonym", "par pseudonyme"),
    "policy_actual": Text("as they are", "telles quelles"),
    "policy_shifted": Text("shifted", "décalées"),
    "policy_days": Text("as days since enrolment", "en jours depuis l'inclusion"),
    "provenance_sessions": Text(
        "Made from {sessions} sessions; SHA-256 of their revisions {digest}.",
        "Établi à partir de {sessions} passations ; SHA-256 de leurs révisions {digest}.",
    ),
    "provenance_scoring": Text("Scoring versions: {versions}.", "Versions de cotation : {versions}."),
    "provenance_standing": Text(
        "{site}: complete through {through}; {outstanding} outstanding, {quarantined} quarantined",
        "{site} : complet jusqu'au {through} ; {outstanding} en attente, {quarantined} en quarantaine",
    ),
    "provenance_glyphs": Text(
        "A character that the embedded fonts do not have, or that has no shape, is shown as its code point: "
        "[U+0007].",
        "Un caractère absent des polices incorporées, ou sans forme, est montré par son code : [U+0007].",
    ),
    "through": Text("data complete through {moment}", "données complètes jusqu'au {moment}"),
    "through_unknown": Text("completeness not known", "complétude inconnue"),
}
