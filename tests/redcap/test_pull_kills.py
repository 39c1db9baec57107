"""A worker that pulls is killed at every step there is: before and after each request and each commit."""

from collections.abc import Iterator

import pytest

from reporting.compiled import execute_in
from reporting.redcap.pulled import KIND, ask_for_pull
from tests.redcap.killed_worker import KilledWorkers
from tests.redcap.pushed import KEY, SITE, STUDY, Study
from tests.redcap.redcap_office import GIVEN, ROSTER, roster_project
from tests.redcap_double.double import Double

RECORDS = range(1, 6)


@pytest.fixture
def double() -> Double:
    """With a form of the participant."""
    return Double([roster_project()], requests_per_minute=None)


@pytest.fixture
def workers(study: Study) -> Iterator[KilledWorkers]:
    """Which take two records at a time, so that there are chunks to die between."""
    settings = study.settings
    with KilledWorkers(
        database_url=settings.database_url,
        data_dir=str(settings.data_dir),
        key=KEY,
        kind=KIND,
        constants={"sync_server.redcap.pulling.RECORDS_AT_ONCE": 2},
    ) as started:
        yield started


def begin(study: Study) -> int:
    """As it was before the first pull; the last entry of the audit log, which nobody may empty."""
    for table in ("visits", "participants", "redcap_pulled", "outbox_attempts", "outbox"):
        study.ask(f"DELETE FROM {table}")  # noqa: S608 (names of tables)
    study.ask("UPDATE redcap_projects SET pulled_until = NULL, pulled_at = NULL, reconciled_at = NULL")
    with study.rows.transaction():
        execute_in(study.rows, ask_for_pull([("sro", STUDY)]))
    last: int = study.ask("SELECT coalesce(max(id), 0) FROM audit_log")[0][0]
    return last


def is_as_it_has_to_be(study: Study, step: int, before: int) -> None:
    """Everybody once, with one entry of the audit log; the mark has moved; nothing is left to do."""
    found = study.ask("SELECT code, redcap_id, row_version FROM participants ORDER BY code")
    assert found == [(f"s{number}", str(number), 1) for number in RECORDS], step
    acts = study.ask("SELECT entity_id FROM audit_log WHERE id > %s ORDER BY 1", before)
    assert acts == [(f"{STUDY}/s{number}",) for number in RECORDS], step
    kept = study.ask("SELECT record, participant, problem FROM redcap_pulled ORDER BY record")
    assert kept == [(str(number), f"s{number}", None) for number in RECORDS], step
    marks = study.ask("SELECT num_nulls(pulled_until, pulled_at, reconciled_at) FROM redcap_projects")
    assert marks == [(0,)], step
    assert study.ask("SELECT state FROM outbox WHERE kind = %s", KIND) == [("done",)], step


def test_whoever_is_killed_at_any_step_of_a_pull_leaves_everybody_once(
    study: Study, double: Double, workers: KilledWorkers
) -> None:
    fields = {"language": ROSTER["fields"]["language"]}
    study.map({**GIVEN, "participants": {**ROSTER, "fields": fields, "create_status": "screened"}})
    study.ask("INSERT INTO study_sites (study, site) VALUES (%s, %s) ON CONFLICT DO NOTHING", STUDY, SITE)
    study.ask("INSERT INTO redcap_projects (project, study) VALUES ('sro', %s)", STUDY)
    study.ask(
        "UPDATE redcap_projects SET dictionary = %s::jsonb",
        '{"record_id": "record_id", "fields": [], "forms": []}',
    )
    for number in RECORDS:
        double.person_writes(str(number), {"ppt_code": f"s{number}", "lang": "1"}, event="base_arm_1")
    before = begin(study)
    lived = workers.work(study.claim(kind=KIND))
    assert not lived["killed"]
    is_as_it_has_to_be(study, 0, before)
    assert lived["steps"] > 20
    for step in range(1, lived["steps"] + 1):
        before = begin(study)
        assert workers.work(study.claim(kind=KIND), die_at=step)["killed"], step
        study.bury()
        assert not workers.work(study.claim(kind=KIND))["killed"], step
        is_as_it_has_to_be(study, step, before)
