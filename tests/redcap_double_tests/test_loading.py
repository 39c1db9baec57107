"""Projects from files: a data dictionary, and a project's XML file."""

from pathlib import Path

import pytest

from tests.redcap_double.building import build_project
from tests.redcap_double.dictionary import CSV_COLUMNS, Field
from tests.redcap_double.dictionary_file import BadFile, parse_dictionary, read_dictionary
from tests.redcap_double.odm_file import parse_project, read_project
from tests.redcap_double.project import Arm, Event, Group

EXAMPLES = Path(__file__).parents[1] / "redcap_double" / "examples"
HEAD = "Variable / Field Name,Form Name,Field Type,Text Validation Type OR Show Slider Number\n"


def test_a_data_dictionary_is_read() -> None:
    dictionary = read_dictionary(EXAMPLES / "battery.csv")
    assert dictionary.record_id == "record_id"
    assert list(dictionary.forms) == ["enrolment", "battery"]
    assert list(dictionary.columns()) == [
        "record_id",
        "name",
        "enrolled_on",
        "hand",
        "smoker",
        "enrolment_complete",
        "session_uid",
        "reaction_ms",
        "flags___1",
        "flags___2",
        "flags____9",
        "effort",
        "double_ms",
        "remarks",
        "battery_complete",
    ]
    reaction = dictionary.field("reaction_ms")
    assert reaction is not None
    assert (reaction.label, reaction.validation) == ('Mean reaction time, "ms"', "number_1dp")
    assert (reaction.minimum, reaction.maximum) == ("100", "2000")
    name = dictionary.field("name")
    assert name is not None
    assert (name.identifier, name.section) == (True, "Who")
    double_ms = dictionary.field("double_ms")
    assert double_ms is not None
    assert (double_ms.type, double_ms.choices) == ("calc", "[reaction_ms]*2")
    assert double_ms.branching == "[smoker] = '1'"


def test_a_dictionary_that_was_written_as_the_api_names_it_is_the_same() -> None:
    dictionary = read_dictionary(EXAMPLES / "battery.csv")
    rows = [field.row() for field in dictionary.fields]
    text = ",".join(CSV_COLUMNS) + "\n"
    text += "\n".join(
        ",".join('"' + value.replace('"', '""') + '"' for value in row.values()) for row in rows
    )
    assert parse_dictionary(text) == dictionary


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("a,b\n1,2\n", "it has no column: Variable / Field Name, Form Name, Field Type"),
        (HEAD, "the dictionary has no field"),
        (HEAD + "id,person,text,\nid,person,text,\n", "line 3: the field id is there twice"),
        (HEAD + "id,person,select,\n", "line 2, field id: unknown type 'select'"),
        (HEAD + "Id,person,text,\n", "line 2: 'Id' is no field name"),
        (HEAD + "id,,text,\n", "line 2, field id: no form"),
    ],
)
def test_a_file_that_is_no_dictionary_is_refused_with_its_line(text: str, error: str) -> None:
    with pytest.raises(BadFile) as refused:
        parse_dictionary(text)
    assert error in str(refused.value)


def test_a_projects_xml_file_is_read() -> None:
    project = read_project(EXAMPLES / "visits.xml")
    assert project.title == "Visits"
    assert project.arms == (Arm(1, "Planned"), Arm(2, "Drop-ins"))
    assert project.events == (
        Event("baseline_arm_1", "Baseline", 1, ("enrolment", "battery")),
        Event("unplanned_arm_2", "Unplanned", 2, ("battery",)),
    )
    assert project.repeating == {"baseline_arm_1": frozenset({"battery"}), "unplanned_arm_2": None}
    assert project.groups == (Group("north_site", "North Site", 1),)
    assert project.dictionary.forms == {"enrolment": "Enrolment of a person", "battery": "Battery"}
    assert project.dictionary.fields == (
        Field("record_id", "enrolment", label="Record"),
        Field("hand", "enrolment", "dropdown", "Writing hand", "1, Left | 2, Right"),
        Field(
            "enrolled_on",
            "enrolment",
            label="Enrolled on",
            validation="date_dmy",
            identifier=True,
            required=True,
        ),
        Field(
            "reaction_ms",
            "battery",
            label="Mean reaction time",
            validation="number",
            minimum="100",
            maximum="2000",
        ),
        Field("trials", "battery", label="Trials", validation="integer"),
        Field("flags", "battery", "checkbox", "Flags", "1, Late | 2, Noisy"),
        Field("twice", "battery", "calc", "Twice", "[reaction_ms]*2"),
        Field("remarks", "battery", "notes", "Remarks"),
    )


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (("<ODM", "<!DOCTYPE x><ODM"), "no document type declaration"),
        (("</ODM>", ""), "not XML"),
        (("<Study ", "<Other "), "not XML"),
        (("MetaDataVersion", "Metadata"), "not a REDCap project"),
        (('FormRef FormOID="Form.battery"', 'FormRef FormOID="Form.gone"'), "refers to the form Form.gone"),
        (('ItemRef ItemOID="hand"', 'ItemRef ItemOID="gone"'), "refers to the item gone"),
        (('ItemGroupDef OID="battery.reaction_ms"', 'ItemGroupDef OID="x"'), "refers to the item group"),
        (('StudyEventDef OID="Event.baseline', 'StudyEventDef OID="Event.gone'), "refers to the event"),
        (('RecordIdField="record_id"', 'RecordIdField="gone"'), "the record's field gone is on no form"),
        (('redcap:FieldType="calc"', 'redcap:FieldType="magic"'), "field twice: unknown type 'magic'"),
        (('RepeatInstrument="battery"', 'RepeatInstrument="gone"'), "the repeating form gone"),
    ],
)
def test_an_xml_file_that_is_no_project_is_refused_with_what_is_wrong(
    change: tuple[str, str], error: str
) -> None:
    text = (EXAMPLES / "visits.xml").read_text()
    assert change[0] in text
    with pytest.raises(BadFile) as refused:
        parse_project(text.replace(*change))
    assert error in str(refused.value)


def test_a_built_project_must_know_the_forms_and_events_that_it_names() -> None:
    fields = [Field("id", "person")]
    for wrong in (
        {"events": {"baseline_arm_1": ["blood"]}},
        {"events": {"baseline": ["person"]}},
        {"repeating": ["blood"]},
        {"repeating": {"visit_9_arm_1": None}},
    ):
        with pytest.raises(ValueError, match=r"no such|no unique event name"):
            build_project(fields, **wrong)
