"""A battery → a form for its scores, as REDCap's data dictionary (CSV), and the mapping that fills it. Pure.

    self-regulation: simple_reaction_time, stroop
    → cog_session_uid, cog_visit, …, cog_flags (checkbox), cog_srt_avg_rt (number_1dp), cog_stroop_acc, …

A mapping made like this is right by construction: `checking.problems` has nothing to say of the two.

| situation | what follows |
|---|---|
| a task that is not scored by a definition of its own | the generic scores |
| a task that comes several times | fields for each run; for the last only beyond MOST_RUNS |
| names that would be longer than 26 characters, or there twice | shortened, and numbered |
| a quality rule is added later | another choice of the checkbox; the codes of the others stay |

REDCap takes the file as a project's whole dictionary, so it begins with the field that names records. For a
project that has forms already, the rows of the form alone go behind its own.
"""

import csv
import io
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import msgspec

from reporting.instruments.built_in_modules import BUILT_IN
from reporting.quality import RULES
from reporting.redcap.dictionary import Dictionary, Field, Repeat
from reporting.redcap.known import score_names
from reporting.redcap.mapping import (
    CompleteMapping,
    FieldMapping,
    InstrumentMapping,
    ProjectChoice,
    Repeating,
)
from reporting.redcap.mapping import Mapping as StudyMapping

COLUMNS: Final = (
    "Variable / Field Name",
    "Form Name",
    "Section Header",
    "Field Type",
    "Field Label",
    "Choices, Calculations, OR Slider Labels",
    "Field Note",
    "Text Validation Type OR Show Slider Number",
    "Text Validation Min",
    "Text Validation Max",
    "Identifier?",
    "Branching Logic (Show field only if...)",
    "Required Field?",
    "Custom Alignment",
    "Question Number (surveys only)",
    "Matrix Group Name",
    "Matrix Ranking?",
    "Field Annotation",
)
"""As REDCap downloads and takes them."""

LONGEST_NAME: Final = 26
"""What REDCap recommends; other programs cut longer names."""
MOST_RUNS: Final = 10
RECORD_ID: Final = "record_id"
FIRST_FORM: Final = "enrolment"
_STATUS_CHOICES: Final = {"1": "Completed", "2": "Abandoned", "3": "In progress"}
_STATUS_CODES: Final[Mapping[str, str | int]] = {"completed": 1, "abandoned": 2, "in_progress": 3}


class Drawn(msgspec.Struct, frozen=True, kw_only=True):
    """One field of the form: what it is, what fills it, and what people read beside it."""

    field: Field
    rule: FieldMapping | None
    note: str
    section: str = ""


class FormDesign(msgspec.Struct, frozen=True, kw_only=True):
    """The form of a battery, its key field first."""

    battery: str
    form: str
    drawn: Sequence[Drawn]

    @property
    def key_field(self) -> str:
        """Which field holds the session's uid."""
        return self.drawn[0].field.name


def design(battery: str, runs: Mapping[str, int], *, form: str) -> FormDesign:
    """The form of a battery; `runs`: how often each of its tasks comes, in order."""
    prefix = form.partition("_")[0][:12]
    names = _Names()
    drawn = [*_session_fields(form, prefix, names), _flags_field(form, prefix, names)]
    short = _short_names(runs)
    for task, count in runs.items():
        for run in [None] if count == 1 or count > MOST_RUNS else range(1, count + 1):
            drawn += _task_fields(form, f"{prefix}_{short[task]}", task, run, names)
    return FormDesign(battery=battery, form=form, drawn=drawn)


def dictionary_of(found: FormDesign) -> Dictionary:
    """What a project says of itself that was made from the file, once its form is set to repeat."""
    record = Field(name=RECORD_ID, form=FIRST_FORM, type="text", label="Record ID")
    return Dictionary(
        record_id=RECORD_ID,
        fields=[record, *(each.field for each in found.drawn)],
        forms=[FIRST_FORM, found.form],
        repeats=[Repeat(form=found.form)],
    )


def mapping_of(found: FormDesign, key: str) -> StudyMapping:
    """The mapping of a classic project `key` whose form repeats."""
    instrument = InstrumentMapping(
        battery=found.battery,
        form=found.form,
        statuses=("completed", "abandoned"),
        repeat=Repeating(mode="instrument", key_field=found.key_field),
        fields={each.field.name: each.rule for each in found.drawn if each.rule is not None},
        complete=CompleteMapping(source="status", map={"completed": 2, "abandoned": 0}),
    )
    return StudyMapping(project=ProjectChoice(key=key), instruments=[instrument])


def csv_text(found: FormDesign) -> str:
    """The data dictionary file, with the line ends that REDCap writes."""
    written = io.StringIO(newline="")
    writer = csv.writer(written, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    record = Field(name=RECORD_ID, form=FIRST_FORM, type="text", label="Record ID")
    writer.writerow(_row(Drawn(field=record, rule=None, note="Names the participant's record")))
    writer.writerows(_row(each) for each in found.drawn)
    return written.getvalue()


def _row(drawn: Drawn) -> list[str]:
    field = drawn.field
    values = {
        "Variable / Field Name": field.name,
        "Form Name": field.form,
        "Section Header": drawn.section,
        "Field Type": field.type,
        "Field Label": field.label,
        "Choices, Calculations, OR Slider Labels": " | ".join(
            f"{code}, {label}" for code, label in field.choices.items()
        ),
        "Field Note": drawn.note,
        "Text Validation Type OR Show Slider Number": field.validation,
        "Field Annotation": "" if field.form == FIRST_FORM else "@READONLY",
    }
    return [values.get(column, "") for column in COLUMNS]


class _Names:
    """Gives each field a name of its own, of the recommended length."""

    def __init__(self) -> None:
        self._given: set[str] = {RECORD_ID}

    def give(self, *parts: str) -> str:
        wanted = _fitted([word for part in parts for word in _plain(part).split("_") if word], LONGEST_NAME)
        name, number = wanted, 2
        while name in self._given:
            ending = f"_{number}"
            name, number = wanted[: LONGEST_NAME - len(ending)].rstrip("_") + ending, number + 1
        self._given.add(name)
        return name


def _fitted(words: list[str], longest: int) -> str:
    """The words in one name; the longest is cut, again and again, until it fits."""
    words = list(words)
    while len("_".join(words)) > longest and max(map(len, words)) > 3:
        at = max(range(len(words)), key=lambda index: len(words[index]))
        words[at] = words[at][:-1]
    return "_".join(words)[:longest].rstrip("_")


def _plain(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_") or "x"


def _short_names(tasks: Iterable[str]) -> dict[str, str]:
    """Initials of tasks with several words: `srt`, `ant`; the others as they are. Each task another one."""
    names = {task: _initials(_plain(task)) for task in tasks}
    times = Counter(names.values())
    return {task: name if times[name] == 1 else _plain(task) for task, name in names.items()}


def _initials(name: str) -> str:
    words = name.split("_")
    return "".join(word[0] for word in words) if len(words) > 2 else name[:12].rstrip("_")


def _session_fields(form: str, prefix: str, names: _Names) -> list[Drawn]:
    def text(name: str, label: str, source: str, validation: str = "", kind: str = "text") -> Drawn:
        field = Field(
            name=names.give(prefix, name), form=form, type="text", label=label, validation=validation
        )
        rule = msgspec.convert({"from": source, "as": kind}, FieldMapping)
        return Drawn(field=field, rule=rule, note=source)

    key = Field(name=names.give(form, "uid"), form=form, type="text", label="Session")
    status = Field(
        name=names.give(prefix, "status"),
        form=form,
        type="radio",
        label="Status of the session",
        choices=_STATUS_CHOICES,
    )
    return [
        Drawn(field=key, rule=None, note="Finds the session again; never to be changed", section="Session"),
        text("visit", "Visit", "visit"),
        Drawn(
            field=status,
            rule=FieldMapping(source="status", kind="choice", map=_STATUS_CODES),
            note="status",
        ),
        text("started_at", "Begin, site's time", "session.started_at", "datetime_seconds_ymd", "datetime"),
        text("ended_at", "End, site's time", "session.ended_at", "datetime_seconds_ymd", "datetime"),
        text("language", "Language", "session.language"),
        text("battery_version", "Version of the battery", "battery_version", "integer", "integer"),
        text("device", "Device", "session.device_id"),
        text("app_version", "Version of the app", "session.app_version"),
    ]


def _flags_field(form: str, prefix: str, names: _Names) -> Drawn:
    """A flag's code is its choice's code: numbers would be another flag's when a rule is added."""
    choices = {code: code.replace("_", " ").capitalize() for code in sorted(RULES)}
    field = Field(
        name=names.give(prefix, "flags"), form=form, type="checkbox", label="Quality flags", choices=choices
    )
    rule = FieldMapping(source="flags", kind="checkbox", codes={code: code for code in choices})
    return Drawn(field=field, rule=rule, note="Look at it before you use it")


def _task_fields(form: str, prefix: str, task: str, run: int | None, names: _Names) -> list[Drawn]:
    title = (
        BUILT_IN[task].title if task in BUILT_IN else task.replace("_", " ").replace("-", " ").capitalize()
    )
    of_run, suffix = ("", ()) if run is None else (f"[{run}]", (f"r{run}",))
    heading = title if run is None else f"{title}, run {run}"
    status = Field(
        name=names.give(prefix, *suffix, "status"), form=form, type="text", label=f"{heading}: status"
    )
    source = f"tasks.{task}{of_run}.status"
    drawn = [Drawn(field=status, rule=FieldMapping(source=source), note=source, section=heading)]
    scores = score_names(task)
    sources = [] if "n_trials" in scores else [("n_trials", f"tasks.{task}{of_run}.n_trials")]
    sources += [(name, f"scores.{task}{of_run}.{name}") for name in scores]
    for name, source in sources:
        validation, unit = _written_as(name)
        field = Field(
            name=names.give(prefix, *suffix, name),
            form=form,
            type="text",
            label=f"{heading}: {name.replace('_', ' ')}{unit}",
            validation=validation,
        )
        rule = FieldMapping(source=source, kind="integer" if validation == "integer" else "number")
        drawn.append(Drawn(field=field, rule=rule, note=source))
    return drawn


def _written_as(score: str) -> tuple[str, str]:
    """Validation and unit of a score, by what its name says."""
    if score == "n_trials":
        return "integer", ""
    if score.endswith("_rt"):
        return "number_1dp", " (ms)"
    if score.endswith("_percent"):
        return "number_1dp", " (%)"
    return ("number_4dp" if score == "acc" else "number_2dp"), ""
