"""Documents of older and newer schemas, judged by servers of different ages."""

from copy import deepcopy
from typing import Any

import pytest

from reporting.documents.kinds import Invalid, Session
from reporting.documents.upcast import Contract, Document
from reporting.documents.validate import Judged, validate
from tests.documents.examples import SITE, a_consent, a_session, a_task_run, a_trial, encode


def subject_is_participant(document: Document) -> Document:
    """Schema 1 (of these tests) called the participant `subject`."""
    return {**document, "participant": document.get("subject")}


def seconds_to_milliseconds(document: Document) -> Document:
    """Schema 2 logged reaction times in seconds."""
    tasks = [
        {**run, "trials": [{**trial, "rt": trial["rt"] * 1000} for trial in run["trials"]]}
        for run in document["tasks"]
    ]
    return {**document, "tasks": tasks}


SECOND = Contract(2, {("session", 1): subject_is_participant}, rules_version=2)
THIRD = Contract(3, {**SECOND.steps, ("session", 2): seconds_to_milliseconds}, rules_version=3)


def judge(document: Any, contract: Contract) -> Judged:
    return validate(document["_id"], encode(document), site=SITE, contract=contract)


def of_schema_1(**members: Any) -> dict[str, Any]:
    document = a_session(**{"subject": "s012", **members})
    del document["participant"]
    return document


def in_seconds(**members: Any) -> dict[str, Any]:
    return a_session(tasks=[{**a_task_run(), "trials": [a_trial(1, rt=0.5)]}], **members)


def test_older_document_is_lifted_and_remembers_its_schema() -> None:
    judged = judge(of_schema_1(), SECOND)
    assert isinstance(judged, Session)
    assert (judged.document.participant, judged.schema, judged.document.schema) == ("s012", 1, 2)


def test_steps_are_taken_one_after_the_other() -> None:
    document = of_schema_1(tasks=in_seconds()["tasks"])
    judged = judge(document, THIRD)
    assert isinstance(judged, Session)
    assert (judged.document.participant, judged.document.tasks[0].trials[0]["rt"]) == ("s012", 500)
    assert judged.schema == 1
    judged = judge(in_seconds(schema=2), THIRD)
    assert isinstance(judged, Session)
    assert (judged.schema, judged.document.tasks[0].trials[0]["rt"]) == (2, 500)


def test_document_of_the_newest_schema_is_not_touched() -> None:
    judged = judge(a_session(schema=3), THIRD)
    assert isinstance(judged, Session)
    assert (judged.schema, judged.document.tasks[0].trials[0]["rt"]) == (3, 401)


def test_document_that_looks_right_in_the_newest_schema_is_lifted_all_the_same() -> None:
    judged = judge(in_seconds(schema=2), THIRD)
    assert isinstance(judged, Session)
    assert judged.document.tasks[0].trials[0]["rt"] == 500


def test_nul_of_an_older_document_is_replaced() -> None:
    judged = judge(of_schema_1(language="e\0n"), SECOND)
    assert isinstance(judged, Session)
    assert (judged.nul_replaced, judged.document.language) == (True, "e\ufffdn")


@pytest.mark.parametrize(
    ("document", "contract", "words"),
    [
        (a_session(schema=3), SECOND, "this server knows schema 2. Update the server"),
        (a_session(schema=3, study=5), SECOND, "this server knows schema 2. Update the server"),
        (
            a_consent(),
            SECOND,
            "cannot bring a `consent` from schema 1 to 2; it knows schema 2. Update the tablet",
        ),
        (a_session(schema=0), SECOND, "cannot bring a `session` from schema 0 to 1"),
        (a_session(schema=-(10**30)), SECOND, "cannot bring a `session` from schema 0 to 1"),
        (a_session(schema="1"), SECOND, "this server knows schema 2"),
        (a_session(schema=True), SECOND, "this server knows schema 2"),
        (a_session(schema=1.0), SECOND, "this server knows schema 2"),
    ],
)
def test_schema_that_cannot_be_read_is_quarantined_with_what_to_do(
    document: dict[str, Any], contract: Contract, words: str
) -> None:
    judged = judge(document, contract)
    assert isinstance(judged, Invalid)
    assert (judged.code, judged.path) == ("unknown_schema", "$.schema")
    assert words in judged.message


def test_missing_step_in_between_is_named() -> None:
    judged = judge(of_schema_1(), Contract(3, SECOND.steps))
    assert isinstance(judged, Invalid)
    assert "from schema 2 to 3" in judged.message


def test_what_is_wrong_with_a_lifted_document_is_said_of_the_lifted_one() -> None:
    judged = judge(of_schema_1(subject=5), SECOND)
    assert isinstance(judged, Invalid)
    assert (judged.code, judged.path) == ("wrong_type", "$.participant")
    assert judged.message.endswith("(The document is of schema 1, read as the newest.)")
    judged = judge(of_schema_1(ended_at="2010-01-01T00:00:00Z"), SECOND)
    assert isinstance(judged, Invalid)
    assert judged.code == "times_out_of_order"
    judged = judge(of_schema_1(site="nairobi"), SECOND)
    assert isinstance(judged, Invalid)
    assert judged.code == "wrong_site"


@pytest.mark.parametrize(
    "members",
    [
        {"tasks": None},
        {"tasks": 5},
        {"tasks": [5]},
        {"tasks": [{"trials": [{}]}]},
        {"tasks": [{"trials": [{"rt": None}]}]},
        {"tasks": [{"trials": [{"rt": [1] * 10}]}]},
    ],
)
def test_step_that_comes_to_grief_quarantines_its_document(members: dict[str, Any]) -> None:
    judged = judge(a_session(schema=2, **members), THIRD)
    assert isinstance(judged, Invalid)
    assert judged.code in ("not_upcast", "wrong_type", "missing_member")
    assert judged.message


def test_document_under_another_types_id_is_not_lifted() -> None:
    judged = judge({**a_consent(), "_id": "session:s1"}, SECOND)
    assert isinstance(judged, Invalid)
    assert judged.code == "type_mismatch"


def test_a_step_leaves_the_document_that_was_sent_alone() -> None:
    document = in_seconds(schema=2)
    before = deepcopy(document)
    seconds_to_milliseconds(document)
    assert document == before
