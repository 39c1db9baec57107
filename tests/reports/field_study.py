"""The field sessions as a study: roster, visits and sites that follow from the sessions.

Sessions, trials and scores are as recorded. The recordings have no roster: who came back is `completed`, who
stopped half-way is `withdrawn`, a few made-up codes were screened only; a visit is due by its definition.
"""

import gzip
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy import Connection, text

STUDY = "SRO"
SITES = ("hyderabad", "lima", "nairobi", "stanford")
SECRET = b"s" * 32

_ROSTER = """
INSERT INTO studies (code, title) VALUES ('SRO', 'Self-Regulation Ontology: test and retest');
INSERT INTO sites (code, name, timezone) VALUES
    ('hyderabad', 'Memory Clinic, Hyderabad', 'Asia/Kolkata'),
    ('lima', 'Clínica de la Memoria, Lima', 'America/Lima'),
    ('nairobi', 'Cognition Centre, Nairobi', 'Africa/Nairobi'),
    ('stanford', 'Ageing Laboratory, Stanford', 'America/Los_Angeles');
INSERT INTO study_sites (study, site) SELECT 'SRO', code FROM sites;
INSERT INTO research_policies (study, secret) VALUES ('SRO', :secret);
INSERT INTO participants (study, code, site, status, language, enrolled_on)
SELECT s.study, s.participant, min(s.site),
       CASE WHEN bool_or(s.visit = 'retest') THEN 'completed'
            WHEN count(DISTINCT r.task) < 4 THEN 'withdrawn' ELSE 'enrolled' END,
       'en', min(s.started_at)::date
FROM sessions AS s JOIN task_runs AS r ON (r.site, r.session_id) = (s.site, s.id)
GROUP BY s.study, s.participant;
INSERT INTO participants (study, code, site, status, enrolled_on)
SELECT 'SRO', 'x' || to_char(number, 'FM000'),
       (ARRAY['hyderabad', 'lima', 'nairobi', 'stanford'])[1 + number % 4],
       'screened', NULL
FROM generate_series(1, 38) AS number;
INSERT INTO consent_withdrawals (study, participant, withdrawn_at, reason, recorded_by)
SELECT study, code, '2016-12-01',
       (ARRAY['Too little time', 'Moved away', 'No longer interested'])[1 + abs(hashtext(code)) % 3],
       'coordinator'
FROM participants WHERE status = 'withdrawn' AND hashtext(code) % 5 <> 0;
INSERT INTO visit_definitions (study, code, title, anchor, offset_days, window_after_days, position) VALUES
    ('SRO', 'baseline', 'Baseline', 'enrolment', 0, 14, 1),
    ('SRO', 'retest', 'Retest', 'enrolment', 112, 90, 2);
INSERT INTO visits (study, participant, code, site, state, due_on, window_from, window_to, completed_on,
                    in_window, session_site, session_id, session_count, cancelled_cause)
SELECT p.study, p.code, d.code, p.site,
       CASE WHEN done.id IS NOT NULL THEN 'completed' WHEN p.status = 'withdrawn' THEN 'cancelled'
            WHEN hashtext(p.code) % 3 = 0 THEN 'due' ELSE 'missed' END,
       p.enrolled_on + d.offset_days, p.enrolled_on + d.offset_days,
       p.enrolled_on + d.offset_days + d.window_after_days, done.day,
       done.day BETWEEN p.enrolled_on + d.offset_days AND p.enrolled_on + d.offset_days + d.window_after_days,
       done.site, done.id, CASE WHEN done.id IS NULL THEN 0 ELSE 1 END,
       CASE WHEN done.id IS NULL AND p.status = 'withdrawn' THEN 'participant' END
FROM participants AS p JOIN visit_definitions AS d ON d.study = p.study
LEFT JOIN LATERAL (SELECT s.id, s.site, s.started_at::date AS day FROM sessions AS s
                   WHERE (s.study, s.participant, s.visit) = (p.study, p.code, d.code)
                   ORDER BY s.started_at, s.id LIMIT 1) AS done ON true
WHERE p.status <> 'screened';
UPDATE checkpoints SET complete_through = '2017-03-18 06:30+00';
UPDATE checkpoints SET complete_through = '2017-03-17 21:12+00' WHERE site = 'lima';
INSERT INTO device_status (site, device, rev, app_version, outstanding, received_at) VALUES
    ('lima', 'lima-tab-1', '7-a', '1.4.0', 0, '2017-03-17 21:12+00'),
    ('lima', 'lima-tab-2', '3-a', '1.4.0', 3, '2017-03-17 20:50+00'),
    ('lima', 'lima-tab-3', '9-a', '1.3.2', 0, '2017-03-16 09:05+00');
INSERT INTO device_labels (site, device, label) VALUES ('lima', 'lima-tab-1', 'Consulting room 2');
INSERT INTO quarantine (site, doc_id, rev, type, code, path, message) VALUES
    ('lima', 'session:half', '1-a', 'session', 'missing', '$.participant', 'is required');
DELETE FROM quality_flags WHERE code IN ('unknown_participant', 'unknown_study', 'unknown_battery');
"""


def field_documents(directory: Path, sites: Sequence[str] = SITES) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every session document with its site."""
    for site in sites:
        for file in sorted(directory.glob(f"*-{site}.ndjson.gz")):
            with gzip.open(file) as lines:
                for line in lines:
                    yield site, msgspec.json.decode(line)


def make_study(connection: Connection) -> None:
    """Everything but the sessions, which are projected already."""
    for statement in _ROSTER.split(";\n"):
        if statement.strip():
            connection.execute(text(statement), {"secret": SECRET} if ":secret" in statement else {})
