"""A battery's data dictionary and mapping: one fits the other, and REDCap takes the file."""

import csv
import io
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reporting.quality import RULES
from reporting.redcap.checking import problems
from reporting.redcap.dictionary import Dictionary, Field, Repeat
from reporting.redcap.dictionary_file import COLUMNS, csv_text, design, dictionary_of, mapping_of
from reporting.redcap.filling import targets
from reporting.redcap.known import Known
from reporting.redcap.mapping_text import as_yaml, kept, read_mapping
from reporting.redcap.target import Target
from reporting.scoring.registry import DEFINITIONS
from tests.redcap.cases import facts
from tests.redcap.redcap_rules import complaints

ALL = dict.fromkeys(DEFINITIONS, 1)


def read_as_redcap_does(text: str, form: str) -> Dictionary:
    """The project that an import of the file makes, with the form set to repeat."""
    rows = list(csv.DictReader(io.StringIO(text, newline=""), strict=True))
    fields = [
        Field(
            name=row["Variable / Field Name"],
            form=row["Form Name"],
            type=row["Field Type"],
            label=row["Field Label"],
            choices={
                code.strip(): label.strip()
                for part in row["Choices, Calculations, OR Slider Labels"].split("|")
                if part
                for code, _, label in [part.partition(",")]
            },
            validation=row["Text Validation Type OR Show Slider Number"],
        )
        for row in rows
    ]
    forms = list(dict.fromkeys(field.form for field in fields))
    return Dictionary(record_id=fields[0].name, fields=fields, forms=forms, repeats=[Repeat(form=form)])


def known(battery: str, runs: Any) -> Known:
    return Known(batteries={battery: frozenset(runs)})


def test_the_file_has_redcaps_columns_and_a_project_made_of_it_is_what_is_said() -> None:
    made = design("self-regulation", ALL, form="cog_session")
    text = csv_text(made)
    assert text.splitlines()[0] == (
        "Variable / Field Name,Form Name,Section Header,Field Type,Field Label,"
        '"Choices, Calculations, OR Slider Labels",Field Note,Text Validation Type OR Show Slider Number,'
        "Text Validation Min,Text Validation Max,Identifier?,Branching Logic (Show field only if...),"
        "Required Field?,Custom Alignment,Question Number (surveys only),Matrix Group Name,Matrix Ranking?,"
        "Field Annotation"
    )
    assert len(COLUMNS) == 18
    project = read_as_redcap_does(text, "cog_session")
    assert project == dictionary_of(made)
    validations = {field.name: field.validation for field in project.fields}
    assert validations["cog_srt_avg_rt"] == "number_1dp"
    assert validations["cog_stroop_acc"] == "number_4dp"
    assert validations["cog_digit_span_n_trials"] == "integer"
    [flags] = [field for field in project.fields if field.type == "checkbox"]
    assert list(flags.choices) == sorted(RULES)


def test_the_mapping_fits_the_project_and_fills_a_session() -> None:
    made = design("self-regulation", ALL, form="cog_session")
    project = read_as_redcap_does(csv_text(made), "cog_session")
    mapping = read_mapping(as_yaml(mapping_of(made, "studyA")))
    assert kept(mapping) == kept(mapping_of(made, "studyA"))
    assert problems(mapping, project, known=known("self-regulation", ALL)) == []
    [target] = targets(facts(), mapping, project)
    assert isinstance(target, Target)
    assert complaints(target.values, project) == []
    assert target.values["cog_srt_avg_rt"] == "312.3"
    assert target.values["cog_srt_status"] == "completed"
    assert target.values["cog_started_at"] == "2026-03-29 03:30:15"
    assert target.values["cog_flags___clock_suspect"] == "1"
    assert target.values["cog_flags___timing_gap"] == "0"
    assert target.values["cog_session_uid"] == "south/s-1"
    assert target.values["cog_stroop_acc"] == ""


@pytest.mark.parametrize(("count", "sources"), [(1, 1), (3, 3), (50, 1)])
def test_a_task_that_comes_several_times_has_fields_for_each_run(count: int, sources: int) -> None:
    made = design("b", {"stroop": count}, form="cog")
    found = [each.rule.source for each in made.drawn if each.rule and each.rule.source.endswith(".acc")]
    assert len(found) == sources
    assert found[0] == ("scores.stroop[1].acc" if sources > 1 else "scores.stroop.acc")


tasks = st.one_of(
    st.sampled_from([*DEFINITIONS, "simple_reaction_task", "Simple-Reaction-Time", "1-2-3"]),
    st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}", fullmatch=True),
)


@given(
    st.dictionaries(tasks, st.integers(1, 4), min_size=1, max_size=8),
    st.from_regex(r"[a-z][a-z0-9_]{0,60}", fullmatch=True).filter(lambda form: form != "enrolment"),
)
def test_any_battery_has_a_file_and_a_mapping_that_fit_each_other(runs: dict[str, int], form: str) -> None:
    made = design("b", runs, form=form)
    project = read_as_redcap_does(csv_text(made), form)
    assert project == dictionary_of(made)
    names = [field.name for field in project.fields]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"[a-z][a-z0-9_]{0,25}", name) and "___" not in name for name in names)
    mapping = mapping_of(made, "studyA")
    assert kept(read_mapping(as_yaml(mapping))) == kept(mapping)
    assert problems(mapping, project, known=known("b", runs)) == []
