"""What reports show is what the rows say: of the sites in reach, named and dated as the caller may see it."""

from collections.abc import Iterator
from datetime import UTC, date, datetime
from hashlib import sha256
from pathlib import Path

import pytest
from sqlalchemy import Connection, select, text

from reporting.engine import sync_engine
from reporting.reports.contents import ReasonCount, StatusCount
from reporting.reports.participant import read_participant_report
from reporting.reports.scope import NotThere, Reach
from reporting.reports.site import read_site_report
from reporting.reports.study import read_study_report
from reporting.research.audience import Audience, Wanted
from reporting.research.datasets import PROVENANCE
from reporting.research.measurements import SCORES, Measurement, choose, select_measurements
from reporting.research.relations import relation
from reporting.research.retest import change_of, retest_of, standing_of
from reporting.research.sources import participant_rows
from sync_server.reports.participant import participant_pdf
from tests.gateway.processes import environment, invoke

ROWS = """
INSERT INTO studies (code, title) VALUES ('MEMO', 'Memory'), ('other', '');
INSERT INTO sites (code, name) VALUES ('lima', 'Clinic'), ('oslo', '');
INSERT INTO study_sites (study, site) VALUES ('MEMO', 'lima'), ('MEMO', 'oslo');
INSERT INTO research_policies (study, secret) VALUES ('MEMO', decode(repeat('ab', 32), 'hex'));
INSERT INTO visit_definitions (study, code, title, anchor, position)
VALUES ('MEMO', 'base', 'Baseline', 'enrolment', 1), ('MEMO', 'again', '', 'enrolment', 2);
INSERT INTO participants (study, code, site, status, enrolled_on)
SELECT 'MEMO', 'p' || n, (ARRAY['lima', 'oslo'])[1 + n % 2],
       CASE WHEN n = 30 THEN 'screened' WHEN n IN (28, 29) THEN 'withdrawn' ELSE 'enrolled' END,
       CASE WHEN n NOT IN (29, 30) THEN date '2025-01-10' + 20 * (n % 3) END
FROM generate_series(1, 30) AS n;
INSERT INTO consent_withdrawals (study, participant, withdrawn_at, reason, recorded_by)
VALUES ('MEMO', 'p28', now(), 'first', 'x'), ('MEMO', 'p28', now(), 'moved away', 'x');
INSERT INTO visits (study, participant, code, site, state, due_on, completed_on, in_window)
SELECT p.study, p.code, d.code, p.site, CASE WHEN d.code = 'base' THEN 'completed' ELSE 'missed' END,
       p.enrolled_on + 5, CASE WHEN d.code = 'base' THEN p.enrolled_on + 6 END,
       CASE WHEN d.code = 'base' THEN true END
FROM participants AS p JOIN visit_definitions AS d USING (study) WHERE p.status = 'enrolled';
INSERT INTO sessions (site, id, study, participant, visit, status, started_at, rev)
SELECT (ARRAY['lima', 'oslo'])[1 + n % 2], v || n, 'MEMO', 'p' || n, v, 'completed',
       timestamptz '2025-02-01 10:00+00' + n * interval '1 day' + CASE v WHEN 'again' THEN interval '90 days'
       ELSE interval '0' END, '1-' || md5(v || n)
FROM generate_series(1, 27) AS n, unnest('{base,again}'::text[]) AS v;
INSERT INTO sessions (site, id, study, participant, visit, status, started_at, rev, source_missing_at)
VALUES ('oslo', 'gone', 'MEMO', 'p1', 'base', 'completed', '2025-01-01', '1-a', now()),
       ('oslo', 'half', 'MEMO', 'p1', 'again', 'abandoned', '2025-08-01', '1-a', NULL),
       ('oslo', 'stranger', 'MEMO', 'nobody', NULL, 'completed', '2025-08-02', '1-a', NULL),
       ('lima', 'other', 'other', 'p1', NULL, 'completed', '2025-08-02', '1-a', NULL);
INSERT INTO task_runs (site, session_id, task, run, n_trials)
SELECT site, id, 'simon', run, 60 FROM sessions, generate_series(1, 2) AS run;
INSERT INTO scores (site, session_id, task, run, name, value, scoring_version)
SELECT s.site, s.id, 'simon', run, name, CASE WHEN run = 2 THEN -1 WHEN name = 'acc' THEN 0.9
       ELSE 400 + 10 * (abs(hashtext(s.participant)) % 17)
            + CASE s.visit WHEN 'again' THEN 7 + abs(hashtext(s.id)) % 5 ELSE 0 END END, 1
FROM sessions AS s, generate_series(1, 2) AS run, unnest('{acc,avg_rt}'::text[]) AS name;
INSERT INTO quality_flags (site, session_id, task, run, code, detail) VALUES
    ('oslo', 'base1', 'simon', 1, 'focus_lost', '{}'), ('oslo', 'base3', 'simon', 1, 'missed_share', '{}'),
    ('oslo', 'gone', 'simon', 1, 'missed_share', '{}'), ('lima', 'base2', NULL, NULL, 'clock_suspect', '{}');
INSERT INTO checkpoints (site, database, epoch, batch, since, rereading, complete_through)
VALUES ('lima', 'site-lima', 'e', 1, '1', false, '2025-09-01 12:00+00'),
       ('oslo', 'site-oslo', 'e', 1, '1', false, '2025-09-02 12:00+00');
INSERT INTO device_status (site, device, rev, outstanding, received_at)
VALUES ('lima', 'tab-1', '1-a', 4, '2025-09-01');
INSERT INTO quarantine (site, doc_id, rev, code, path, message)
VALUES ('lima', 'session:q', '1-a', 'missing', '$.study', 'required')
"""

WHOLE = Reach("MEMO", None, identified=True)


@pytest.fixture
def rows(database_url: str) -> Iterator[Connection]:
    """A study at two sites: 27 participants measured twice, and what must not count."""
    engine = sync_engine(database_url)
    with engine.begin() as connection:
        for statement in ROWS.split(";\n"):
            connection.execute(text(statement))
    with engine.connect() as connection:
        yield connection
    engine.dispose()


def test_a_study_site_and_participant_are_told_as_the_rows_have_them(
    rows: Connection, database_url: str, tmp_path: Path
) -> None:
    study = read_study_report(rows, WHOLE)
    # Cursors of the server are for its large statements, not for whatever comes after.
    assert "yield_per" not in rows.get_execution_options()
    assert study.participants == StatusCount(screened=1, enrolled=27, withdrawn=2)
    assert (study.with_sessions, study.not_on_roster) == (28, 1)
    assert study.reasons == (ReasonCount("moved away", 1), ReasonCount(None, 1))
    assert [(each.visit, each.completed, each.missed, each.in_window) for each in study.visits] == [
        ("base", 27, 0, 27),
        ("again", 0, 27, 0),
    ]
    assert [(month.month, month.enrolled) for month in study.months if month.enrolled] == [
        (date(2025, 1, 1), 19),
        (date(2025, 2, 1), 9),
    ]
    assert sum(month.sessions for month in study.months) == study.provenance.sessions == 56
    assert [(line.site, line.sessions, line.flagged) for line in study.sites] == [
        ("lima", 26, 1),
        ("oslo", 30, 1),
    ]
    assert study.provenance.complete_through == datetime(2025, 9, 1, 12, tzinfo=UTC)

    # Statistics are those of `/api/research/statistics`.
    variable = SCORES["simon_avg_rt"]
    measured = rows.execute(select_measurements([variable], Wanted("MEMO")))
    sample = choose(Measurement(*row[2:]) for row in measured)
    shown = next(each for each in study.retests if each.variable == variable)
    assert shown.retest == retest_of(sample, "base", "again")
    assert shown.retest.practice_effect.n == 26
    histogram = next(each for each in study.distributions if each.variable == variable)
    assert (sum(histogram.bins), histogram.sample.n, histogram.visit) == (26, 26, "base")

    site = read_site_report(rows, Reach("MEMO", ("lima",), identified=False))
    assert (site.participants, site.sessions, site.undated) == (StatusCount(1, 13, 1, 0), 26, 0)
    assert (site.sessions_flagged, site.sessions_serious) == (1, 0)
    assert (site.standing.documents_outstanding, site.standing.quarantined) == (4, 1)
    assert [(each.code, each.level) for each in site.flags] == [("clock_suspect", "warning")]

    person = read_participant_report(rows, WHOLE, "p1")
    assert [(each.visit, each.status, each.task_runs) for each in person.sessions] == [
        ("base", "completed", 2),
        ("again", "completed", 2),
        ("again", "abandoned", 2),
    ]
    course = next(each for each in person.courses if each.variable == variable)
    assert len(course.occasions) == 3
    assert course.standing == standing_of(sample, "p1", "again")
    assert course.change == change_of(sample, "p1", "base", "again")
    assert [(each.visit, each.state) for each in person.visits] == [
        ("base", "completed"),
        ("again", "missed"),
    ]
    assert (person.status, person.site_name, person.enrolled) == ("enrolled", "", date(2025, 1, 30))

    # The command makes the same bytes.
    env = environment(DATABASE_URL=database_url, REDIS_URL="unix:///none", DATA_DIR=str(tmp_path))
    said = invoke(
        "report",
        "participant",
        "MEMO",
        "--participant",
        "p1",
        "--identified",
        "--out",
        str(tmp_path),
        env=env,
    )
    assert said.code == 0, said.err
    file = tmp_path / "MEMO-participant-report-en-identified.pdf"
    assert file.read_bytes() == participant_pdf(person, "en")
    assert rows.scalar(text("SELECT after->>'identified' FROM audit_log")) == "true"
    invoke("report", "participant", "MEMO", "--participant", "p1", env=env).failed_with("no such participant")
    invoke("report", "site", "MEMO", env=env).failed_with("needs one --site")
    invoke("report", "study", "none", env=env).failed_with("no study none")


def test_without_the_right_to_codes_nothing_shows_one(rows: Connection) -> None:
    reach = Reach("MEMO", None, identified=False)
    with pytest.raises(NotThere):
        read_participant_report(rows, reach, "p1")
    identified = read_participant_report(rows, WHOLE, "p1")
    people = participant_rows(Audience.DEIDENTIFIED, Wanted("MEMO")).subquery()
    shown = rows.scalar(select(people.c.participant).where(people.c.key_participant == "p1"))
    assert shown is not None
    report = read_participant_report(rows, reach, shown)
    assert report.participant == shown != "p1"
    assert report.enrolled != identified.enrolled
    assert [session.day for session in report.sessions] == [session.day for session in identified.sessions]
    assert [session.on for session in report.sessions] != [session.on for session in identified.sessions]
    assert not {session.rev for session in report.sessions} & {session.rev for session in identified.sessions}
    assert report.courses == identified.courses
    seen = select(relation(PROVENANCE, Audience.DEIDENTIFIED, Wanted("MEMO")).subquery())
    lines = sorted(
        f"{row.site}\0{row.session_id}\0{row.rev}\n"
        for row in rows.execute(seen.where(text("key_participant = 'p1'")))
    )
    digest = sha256("".join(lines).encode()).hexdigest()
    assert report.provenance.revisions_digest == digest != identified.provenance.revisions_digest
    assert report.provenance.policy == "pseudonym/shifted"
    assert read_study_report(rows, reach).reasons == (ReasonCount("", 1), ReasonCount(None, 1))


def test_a_visit_at_which_nobody_has_a_value_is_none_that_others_are_compared_with(rows: Connection) -> None:
    for statement in (
        "INSERT INTO visit_definitions (study, code, title, anchor, position) "
        "VALUES ('MEMO', 'warm-up', '', 'enrolment', 0)",
        "INSERT INTO sessions (site, id, study, participant, visit, status, started_at, rev) "
        "VALUES ('lima', 'warm', 'MEMO', 'p2', 'warm-up', 'completed', '2025-01-02', '1-a')",
        "INSERT INTO scores (site, session_id, task, run, name, value, scoring_version) "
        "VALUES ('lima', 'warm', 'simon', 1, 'avg_rt', NULL, 1)",
    ):
        rows.execute(text(statement))
    report = read_study_report(rows, WHOLE)
    shown = next(each for each in report.distributions if each.variable.name == "simon_avg_rt")
    assert (shown.visit, shown.sample.n) == ("base", 26)
    found = next(each.retest for each in report.retests if each.variable.name == "simon_avg_rt")
    assert (found.first, found.second) == ("base", "again")


def test_what_is_out_of_reach_is_not_there(rows: Connection) -> None:
    lima = Reach("MEMO", ("lima",), identified=True)
    report = read_participant_report(rows, lima, "p2")
    assert {session.site for session in report.sessions} == {"lima"}
    assert [each.site for each in report.provenance.standing] == ["lima"]
    # Of a site's thirteen participants nothing is said of anybody.
    course = next(each for each in report.courses if each.variable.name == "simon_avg_rt")
    assert (course.sample.n, course.sample.median) == (13, None)
    assert course.standing is not None
    assert course.standing.percentile is None
    for reach, name in ((lima, "p1"), (Reach("none", None, identified=True), "p1"), (lima, "")):
        with pytest.raises(NotThere):
            read_participant_report(rows, reach, name)
    with pytest.raises(NotThere, match="does not run at 'cusco'"):
        read_site_report(rows, Reach("MEMO", ("cusco",), identified=True))
