"""The datasets as views of Postgres, in two layers, so that no dataset can forget who may see what.

| schema, owner | holds | may read |
|---|---|---|
| `research_rows`, `metricis_research_rows` | what `current_user` has a grant for | those tables, grants |
| `research`, `metricis_research` | datasets | the layer above; tables that hang on sessions |

The inner layer holds sessions, participants and visits, de-identified as the study's policy says.

`current_user` is the login that asks, however deep views are nested: with whose rights a table is read is the
owner's affair, what the function answers is not. The inner views are no security barriers, so that Postgres
plans a dataset as one query (a grant becomes a semi-join, trials are reached by their index); the outer ones
are, so that a function of the login's choosing sees no row that the grant has not let through.

Row-level security says the same once more, for a view that forgets it; it is no substitute: a policy is a
subplan for every row, with which trials were read whole where the semi-join reaches them by their index.

| what happens | what follows |
|---|---|
| a study has no policy | pseudonyms and dates are NULL for who is not `identified` |
| two grants cover a row, one of them `identified` | it is shown identified |
| a grant runs out or is withdrawn | the next statement does not see its rows |

Statements are put together from the names here, never from data.
"""

from typing import Final, NamedTuple

ROWS_OWNER: Final = "metricis_research_rows"
OWNER: Final = "metricis_research"
READERS: Final = "metricis_researchers"
"""What every researcher's login is a member of; may read the datasets and nothing else."""


class Column(NamedTuple):
    """A column of a view, the expression that it is, and what it means."""

    name: str
    expression: str
    comment: str


class View(NamedTuple):
    """A view; `source` is what comes after FROM."""

    schema: str
    name: str
    comment: str
    columns: tuple[Column, ...]
    source: str

    @property
    def is_dataset(self) -> bool:
        """Whether researchers read it."""
        return self.schema == "research"


def create(view: View) -> tuple[str, ...]:
    """Statements that make the view and say what it is; the view must not be there."""
    columns = ",\n    ".join(f"{column.expression} AS {column.name}" for column in view.columns)
    options = " WITH (security_barrier)" if view.is_dataset else ""
    name = f"{view.schema}.{view.name}"
    return (
        f"CREATE VIEW {name}{options} AS SELECT\n    {columns}\nFROM {view.source}",
        f"COMMENT ON VIEW {name} IS {_literal(view.comment)}",
        *(f"COMMENT ON COLUMN {name}.{column.name} IS {_literal(column.comment)}" for column in view.columns),
    )


def _literal(text: str) -> str:
    quoted = text.replace("'", "''")
    return f"'{quoted}'"


def granted(row: str, *, more: str = "", more_sites: str = "") -> str:
    """The grants of the login that asks for the study and site of `row`, as a condition."""
    return f"""EXISTS (
        SELECT FROM public.research_grants AS g
        WHERE g.login = current_user AND g.study = {row}.study
          AND (g.site IS NULL OR g.site = {row}.site{more_sites})
          AND (g.expires_at IS NULL OR g.expires_at > now()){more}
    )"""


def _source(table: str) -> str:
    return f"""public.{table} AS r
LEFT JOIN public.research_policies AS p ON p.study = r.study
WHERE {granted("r")}"""


def _identified() -> str:
    return granted("r", more=" AND g.identified")


def _hash(participant: str, purpose: str) -> str:
    # The secret before and after: nobody lengthens what is hashed, and codes cannot be tried without it.
    return (
        f"sha256(p.secret || convert_to('{purpose}:' || r.study || ':' || {participant}, 'UTF8') || p.secret)"
    )


def _participant(column: str) -> str:
    return f"""CASE WHEN p.participants = 'code' OR {_identified()} THEN r.{column}
        ELSE 'P-' || upper(left(encode({_hash(f"r.{column}", "code")}, 'hex'), 16)) END"""


def _shift(participant: str) -> str:
    """The participant's own number of days, from -shift_days to shift_days."""
    digest = _hash(participant, "days")
    number = f"(get_byte({digest}, 0) * 65536 + get_byte({digest}, 1) * 256 + get_byte({digest}, 2))"
    return f"({number} % (2 * p.shift_days + 1) - p.shift_days)"


def _date(column: str, participant: str, *, days: bool) -> str:
    """The moment or day as it is, shifted, or NULL. `days`: of a day, to which days are added as they are."""
    shift = _shift(participant) if days else f"make_interval(days => {_shift(participant)})"
    return f"""CASE WHEN p.dates = 'actual' OR {_identified()} THEN r.{column}
        WHEN p.dates = 'shifted' THEN r.{column} + {shift} END"""


_STUDY: Final = (
    Column("study", "r.study", "Study code."),
    Column("site", "r.site", "Site code: of sessions, the site database that they came through."),
)

_SESSION_ROWS: Final = View(
    "research_rows",
    "sessions",
    "Sessions that the login may see.",
    (
        *_STUDY,
        Column("session_id", "r.id", "Session; unique within its site."),
        Column("participant", _participant("participant"), "Participant code, or pseudonym."),
        Column("visit", "r.visit", "Visit code; NULL: outside of visits."),
        Column("status", "r.status", "in_progress, completed or abandoned."),
        Column(
            "started_at",
            _date("started_at", "r.participant", days=False),
            "Start by the device's clock; shifted or NULL as the study's policy says.",
        ),
        Column("ended_at", _date("ended_at", "r.participant", days=False), "End, as `started_at`."),
        Column(
            "days_since_enrolment",
            f"CASE WHEN p.study IS NOT NULL OR {_identified()} THEN"  # noqa: S608 (our own text)
            " (SELECT (r.started_at AT TIME ZONE 'UTC')::date - e.enrolled_on FROM public.participants AS e"
            " WHERE e.study = r.study AND e.code = r.participant) END",
            "Days from enrolment to the session's start (UTC); NULL: not known, or no policy.",
        ),
        Column("duration_s", "extract(epoch FROM r.ended_at - r.started_at)::double precision", "Seconds."),
        Column("language", "r.language", "Language of the session."),
        Column("battery_id", "r.battery_id", "Battery."),
        Column("battery_version", "r.battery_version", "Version of the battery."),
        Column("device_model", "r.device_model", "Model of the device."),
        Column("app_version", "r.app_version", "Version of the tablet's app."),
        Column("rev", "r.rev", "Revision of the document that the rows were made from."),
        Column(
            "projected_at",
            # Hours after the session as a rule: it would tell what the shift hides.
            f"CASE WHEN p.dates = 'actual' OR {_identified()} THEN r.projected_at END",
            "When the rows were made; NULL where dates are not shown as they are.",
        ),
        Column("source_missing", "r.source_missing_at IS NOT NULL", "Whether the document is gone since."),
    ),
    _source("sessions"),
)

_PARTICIPANT_ROWS: Final = View(
    "research_rows",
    "participants",
    "Participants that the login may see.",
    (
        *_STUDY,
        Column("participant", _participant("code"), "Participant code, or pseudonym."),
        Column("status", "r.status", "screened, enrolled, withdrawn or completed."),
        Column("language", "r.language", "Language."),
        Column(
            "enrolled_on",
            _date("enrolled_on", "r.code", days=True),
            "Day of enrolment; shifted or NULL as the study's policy says.",
        ),
    ),
    _source("participants"),
)

_VISIT_ROWS: Final = View(
    "research_rows",
    "visits",
    "Visits that the login may see.",
    (
        *_STUDY,
        Column("participant", _participant("participant"), "Participant code, or pseudonym."),
        Column("visit", "r.code", "Visit code."),
        Column("state", "r.state", "planned, due, completed, missed or cancelled."),
        *(
            Column(name, _date(name, "r.participant", days=True), f"{label}; shifted or NULL.")
            for name, label in (
                ("due_on", "Due date"),
                ("window_from", "First day of the window"),
                ("window_to", "Last day of the window"),
                ("completed_on", "Day of completion"),
            )
        ),
        Column("in_window", "r.in_window", "Whether it was completed in its window; NULL: not known."),
        Column("session_site", "r.session_site", "With `session_id`: the session that completed it."),
        Column("session_id", "r.session_id", "The session that completed it."),
    ),
    _source("visits"),
)


def _as_they_are(view: View, *names: str) -> tuple[Column, ...]:
    return tuple(
        Column(column.name, f"s.{column.name}", column.comment)
        for column in view.columns
        if not names or column.name in names
    )


_OF_SESSION: Final = _as_they_are(
    _SESSION_ROWS, "study", "site", "session_id", "participant", "visit", "started_at"
)


def _of_sessions(table: str) -> str:
    return f"""research_rows.sessions AS s
JOIN public.{table} AS t ON t.site = s.site AND t.session_id = s.session_id"""


def _columns(**comments: str) -> tuple[Column, ...]:
    return tuple(Column(name, f"t.{name}", comment) for name, comment in comments.items())


_TASK_RUN: Final = {"task": "Task.", "run": "Number of the task's run in the session, from 1."}

ROWS: Final = (_SESSION_ROWS, _PARTICIPANT_ROWS, _VISIT_ROWS)
"""The inner layer."""

DATASETS: Final = (
    View(
        "research",
        "sessions_wide",
        "One row a session, its scores as one JSON object.",
        (
            *(column for column in _as_they_are(_SESSION_ROWS) if column.name not in ("rev", "projected_at")),
            Column(
                "scores",
                "(SELECT jsonb_object_agg(t.task || '.' || t.run || '.' || t.name, t.value)"
                " FROM public.scores AS t WHERE t.site = s.site AND t.session_id = s.session_id)",
                "Scores by task.run.name; a null value: undefined.",
            ),
        ),
        "research_rows.sessions AS s",
    ),
    View(
        "research",
        "scores_long",
        "One row a score.",
        (
            *_OF_SESSION,
            *_columns(
                **_TASK_RUN,
                name="Score.",
                value="Value; NULL: undefined (too few trials).",
                scoring_version="Version of the task's scoring.",
            ),
        ),
        _of_sessions("scores"),
    ),
    View(
        "research",
        "trials",
        "One row a trial.",
        (
            *_OF_SESSION,
            *_columns(
                **_TASK_RUN,
                trial_index="Index of the trial in its run.",
                stage="Stage of the task.",
                rt_ms="Reaction time, milliseconds; NULL: no response.",
                correct="Whether the response was correct.",
                response="Response, as logged.",
                condition="Condition.",
                time_elapsed_ms="Milliseconds since the task began.",
                extra="Every other member that the task logged.",
            ),
        ),
        _of_sessions("trials"),
    ),
    View(
        "research",
        "participants",
        "One row a participant.",
        _as_they_are(_PARTICIPANT_ROWS),
        "research_rows.participants AS s",
    ),
    View("research", "visits", "One row a visit.", _as_they_are(_VISIT_ROWS), "research_rows.visits AS s"),
    View(
        "research",
        "quality",
        "One row a quality flag.",
        (
            *_OF_SESSION,
            *_columns(
                task="Task; NULL: the whole session.",
                run="Number of the run.",
                trial_index="Index of the trial; NULL: the whole run.",
                code="What is flagged.",
                rule_version="Version of the rule.",
            ),
        ),
        _of_sessions("quality_flags"),
    ),
    View(
        "research",
        "provenance",
        "One row a session: what its rows were made from.",
        _as_they_are(
            _SESSION_ROWS,
            "study",
            "site",
            "session_id",
            "rev",
            "projected_at",
            "app_version",
            "source_missing",
        ),
        "research_rows.sessions AS s",
    ),
)
"""What researchers read."""

ROWS_READ: Final = {
    "sessions": (
        *("study", "site", "id", "participant", "visit", "status", "started_at", "ended_at", "language"),
        *("battery_id", "battery_version", "device_model", "app_version", "rev", "projected_at"),
        "source_missing_at",
    ),
    "participants": ("study", "site", "code", "status", "language", "enrolled_on"),
    "visits": (
        *("study", "site", "participant", "code", "state", "due_on", "window_from", "window_to"),
        *("completed_on", "in_window", "session_site", "session_id"),
    ),
    "research_grants": ("login", "study", "site", "identified", "expires_at"),
    "research_policies": ("study", "participants", "dates", "shift_days", "secret"),
}
"""Columns that the inner layer may read."""

DATASETS_READ: Final = {
    "scores": ("site", "session_id", "task", "run", "name", "value", "scoring_version"),
    "quality_flags": ("site", "session_id", "task", "run", "trial_index", "code", "rule_version"),
    "trials": (
        *("site", "session_id", "task", "run", "trial_index", "stage", "rt_ms", "correct", "response"),
        *("condition", "time_elapsed_ms", "extra"),
    ),
}
"""Columns that datasets may read beside it."""
