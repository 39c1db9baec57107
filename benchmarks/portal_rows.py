"""A database as large as the portal has to bear: sites, tablets, sessions, and all that pages show of them.

Everything is made by Postgres itself from numbers, so that a million sessions take minutes. The study `SRO`
runs at all sites and has seven sessions of ten; eleven small ones share the rest. The same size makes the
same rows, but for the hour, since pages ask what came today. A session has two scores and one trial: no page
reads trials.
"""

from collections.abc import Callable
from typing import Final

import msgspec
import psycopg

from reporting.redcap.mapping_text import kept, read_mapping
from tests.portal.world_studies import MAPPING

_BATTERY: Final = '{"tasks": [{"task": "simple_reaction_time", "repetitions": 1, "params": {"trials": 40}}]}'
_BANK: Final = (
    '{"model": "2PL", "items": [{"id": "i1", "a": 1.2, "b": -0.4}], "calibration": {"sample": "Students",'
    ' "n": 640, "calibrated_on": "2025-03-01", "software": "mirt 1.41"}}'
)

_PLACES: Final = (
    "INSERT INTO studies (code, title, status, consent_required) SELECT CASE n WHEN 1 THEN 'SRO' ELSE "
    "'S-' || n END, 'Study ' || n, 'active', n = 1 FROM generate_series(1, 12) n",
    "INSERT INTO sites (code, name, timezone) SELECT 'site-' || n, 'Clinic ' || n, CASE n % 3 WHEN 0 THEN"
    " 'America/Lima' WHEN 1 THEN 'Africa/Nairobi' ELSE 'Asia/Kolkata' END FROM generate_series(0, {sites}"
    " - 1) n",
    "INSERT INTO study_sites (study, site) SELECT 'SRO', code FROM sites",
    "INSERT INTO study_sites (study, site) SELECT 'S-' || 2 + n % 11, 'site-' || n FROM "
    "generate_series(0, least({sites}, 330) - 1) n",
    "INSERT INTO checkpoints (site, database, epoch, batch, since, rereading, pending, advanced_at, "
    "changed_at, complete_through) SELECT code, 'site-' || code, 'e', 1, '1', false, 0, now(), now() - "
    "interval '1 minute', now() FROM sites",
    "INSERT INTO site_states (site, state, since, failures, error, projector) SELECT code, CASE WHEN "
    "right(code, 2) = '13' THEN 'backing_off' ELSE 'running' END, now(), 0, CASE WHEN right(code, 2) = "
    "'13' THEN 'The store does not answer.' END, 'p' FROM sites",
    "CREATE TEMP TABLE tablets AS SELECT 'site-' || n % {sites} AS site, 'tablet-' || n / {sites} AS "
    "device, n FROM generate_series(0, {tablets} - 1) n",
    "INSERT INTO devices (credential, device, site, role, token_sha256, enrolled_at, revoked_at) SELECT "
    "'c' || n, device, site, 'tablet', '', now() - interval '200 days', CASE WHEN n % 50 = 49 THEN now() "
    "END FROM tablets",
    "INSERT INTO devices (credential, device, site, role, token_sha256) SELECT 'h' || code, 'hub-1', "
    "code, 'hub', '' FROM sites WHERE right(code, 1) = '7'",
    "INSERT INTO device_labels (site, device, label, row_version) SELECT site, device, 'Case ' || n, 1 "
    "FROM tablets",
    "INSERT INTO device_activity (site, device, last_seen_at, last_push_at, app) SELECT site, device, "
    "now() - n % 90 * interval '3 hours', now() - n % 90 * interval '3 hours', 'app' FROM tablets",
    "INSERT INTO device_status (site, device, rev, app_version, os, free_bytes, battery_level, "
    "outstanding, clock_at, received_at) SELECT site, device, '1-a', '4.' || n % 4, 'Android 14', "
    "9000000000, 0.5, CASE WHEN n % 23 = 0 THEN n % 7 ELSE 0 END, now(), now() - n % 90 * interval '3 "
    "hours' FROM tablets",
    "INSERT INTO hubs (site, device, urls, app, documents_waiting, tablets, storage_free_bytes, clock_at,"
    " told_at) SELECT site, device, '{}', '4.2', 0, '[]', 1000000000, now(), now() FROM devices WHERE "
    "role = 'hub'",
    "INSERT INTO enrolment_codes (code_sha256, site, device, role, created_by, expires_at) SELECT "
    "sha256(convert_to(code, 'UTF8')), code, 'tablet-99', 'tablet', 'ada@example.org', now() + interval "
    "'30 days' FROM sites",
    "INSERT INTO batteries (id, version, tasks, title, definition, published_by) SELECT "
    "'self-regulation', n, ARRAY['simple_reaction_time'], 'Self-regulation', '{battery}', "
    "'ada@example.org' FROM generate_series(1, 2) n",
    "INSERT INTO item_banks (id, version, title, definition, published_by) VALUES ('vocabulary', 1, "
    "'Vocabulary', '{bank}', 'ada@example.org')",
    "INSERT INTO study_batteries (study, battery_id, battery_version) SELECT code, 'self-regulation', 2 "
    "FROM studies",
    "INSERT INTO visit_definitions (study, code, title, anchor, offset_days, window_before_days, "
    "window_after_days, position) SELECT code, CASE n WHEN 0 THEN 'baseline' ELSE 'week-' || n * 12 END, "
    "'Visit ' || n, CASE n WHEN 0 THEN 'enrolment' ELSE 'baseline' END, n * 84, 7, 14, n FROM studies, "
    "generate_series(0, 5) n",
    "INSERT INTO users (email, role, name) SELECT 'person-' || n || '@example.org', NULL, 'Person ' || n "
    "FROM generate_series(1, 2000) n",
    "INSERT INTO memberships (person, study, site, role) SELECT id, 'SRO', 'site-' || id % {sites}, "
    "'coordinator' FROM users WHERE email LIKE 'person-%'",
    "INSERT INTO logins (id, person, method, expires_at) SELECT md5(id || '/' || n), id, 'password', "
    "now() + interval '10 days' FROM users, generate_series(1, 5) n",
)

_SESSIONS: Final = (
    # Who sits down: seven of ten sessions in the large study, by turns, six of them for a visit.
    "CREATE TEMP TABLE sittings AS SELECT n, md5(n::text)::uuid::text AS id, study, participant, 'site-' "
    "|| CASE study WHEN 'SRO' THEN person % {sites} ELSE (substr(study, 3)::int - 2 + 11 * (person % 30))"
    " % {sites} END AS site, turn, now() - (({sessions} - n)::float8 / {sessions} * 500) * interval '1 "
    "day' AS at FROM (SELECT n, CASE WHEN n % 10 < 7 THEN 'SRO' ELSE 'S-' || 2 + n % 11 END AS study, "
    "CASE WHEN n % 10 < 7 THEN k % {people} ELSE n / 110 % ({people} / 12 + 1) END AS person, CASE WHEN n"
    " % 10 < 7 THEN 'p' || k % {people} ELSE 'p' || n / 110 % ({people} / 12 + 1) END AS participant, "
    "CASE WHEN n % 10 < 7 THEN k / {people} ELSE n / 110 / ({people} / 12 + 1) END AS turn FROM (SELECT "
    "n, n / 10 * 7 + n % 10 AS k FROM generate_series(0, {sessions} - 1) n) numbered) placed",
    "INSERT INTO sessions (site, id, study, participant, visit, status, started_at, ended_at, "
    "received_at, rev, battery_id, battery_version, device_id, app_version) SELECT site, id, study, "
    "participant, CASE WHEN turn = 0 THEN 'baseline' WHEN turn < 6 THEN 'week-' || turn * 12 END, CASE "
    "WHEN n % 40 = 0 THEN 'abandoned' ELSE 'completed' END, at - interval '2 hours', at - interval '1 "
    "hour', at, '1-a', 'self-regulation', 2, 'tablet-' || n % 10, '4.2' FROM sittings",
    "INSERT INTO task_runs (site, session_id, task, run, status, n_trials) SELECT site, id, "
    "'simple_reaction_time', 1, 'completed', 1 FROM sittings",
    "INSERT INTO scores (site, session_id, task, run, name, value, scoring_version) SELECT site, id, "
    "'simple_reaction_time', 1, s.name, s.base + n::bigint * 7919 % 200 - least(turn, 6) * 4, 1 FROM "
    "sittings, (VALUES ('avg_rt', 300), ('std_rt', 60)) s(name, base)",
    "INSERT INTO trial_rows (site, session_id, task, run, trial_index, stage, rt_ms, correct) SELECT "
    "site, id, 'simple_reaction_time', 1, 0, 'test', 300 + n % 200, true FROM sittings",
    "INSERT INTO quality_flags (site, session_id, task, run, code, detail) SELECT site, id, "
    "'simple_reaction_time', 1, CASE n % 3 WHEN 0 THEN 'many_timeouts' ELSE 'low_accuracy' END, '{}' FROM"
    " sittings WHERE n % 17 = 0",
    "INSERT INTO documents (site, doc_id, type, winner_rev, leaves, state, epoch, projected_at) SELECT "
    "site, 'session:' || id, 'session', '1-a', ARRAY['1-a'], 'projected', 'e', at FROM sittings",
    "INSERT INTO ingest_log (site, doc_id, rev, outcome, device, role, credential, request_id, "
    "received_at) SELECT site, 'session:' || id, '1-a', 'received', 'tablet-' || n % 10, 'tablet', 'c', "
    "'r', at FROM sittings",
    "INSERT INTO ingest_log (site, doc_id, rev, outcome, device, role, credential, request_id, reason) "
    "SELECT site, 'session:refused-' || n, '1-a', 'refused', device, 'tablet', 'c', 'r', 'Too deep' FROM "
    "tablets",
    "INSERT INTO participants (study, code, site, status, enrolled_on, redcap_id) SELECT study, "
    "participant, min(site), CASE WHEN right(participant, 1) = '9' THEN 'withdrawn' ELSE 'enrolled' END, "
    "min(at)::date, participant FROM sittings GROUP BY study, participant",
    "INSERT INTO visits (study, participant, code, site, state, due_on, window_from, window_to, "
    "completed_at, completed_on, in_window, session_site, session_id, session_count, anchor, offset_days,"
    " window_before_days, window_after_days) SELECT DISTINCT ON (study, participant, visit) study, "
    "participant, visit, site, 'completed', started_at::date, started_at::date - 7, started_at::date + "
    "14, started_at, started_at::date, true, site, id, 1, 'enrolment', 0, 7, 14 FROM sessions WHERE visit"
    " IS NOT NULL AND status = 'completed' ORDER BY study, participant, visit, sessions.started_at",
    "INSERT INTO visit_definitions (study, code, title, anchor, offset_days, window_before_days, "
    "window_after_days, position) SELECT code, 'next-' || n, 'Next ' || n, 'baseline', 500 + n * 7, 7, "
    "14, 6 + n FROM studies, generate_series(1, 3) n",
    "INSERT INTO visits (study, participant, code, site, state, due_on, window_from, window_to, anchor, "
    "offset_days, window_before_days, window_after_days) SELECT study, p.code, 'next-' || n, site, CASE "
    "WHEN day < current_date THEN CASE WHEN day > current_date - 14 THEN 'due' ELSE 'missed' END ELSE "
    "'planned' END, day, day - 7, day + 14, 'baseline', 500 + n * 7, 7, 14 FROM participants p, "
    "generate_series(1, 3) n, LATERAL (SELECT current_date + n * 30 - 60 + (hashtext(p.code) % 30) AS "
    "day) d WHERE status = 'enrolled'",
)

_HANDS: Final = (
    "INSERT INTO quarantine (site, doc_id, rev, type, code, path, message, quarantined_at) SELECT site, "
    "'session:' || id, '2-b', 'session', CASE n % 4 WHEN 0 THEN 'bad_time' WHEN 1 THEN 'unknown_value' "
    "ELSE 'missing_member' END, '$.tasks[' || n % 5 || '].started_at', '$.started_at is required.', at "
    "FROM sittings WHERE n < {hands}",
    "INSERT INTO waivers (site, doc_id, code, path, reason, waived_by) SELECT site, doc_id, code, path, "
    "'Known', 'ada@example.org' FROM quarantine WHERE code = 'bad_time'",
    "INSERT INTO conflicts (site, session_id, path, winner_rev, winner_value, other_rev, other_value) "
    "SELECT site, id, '$.visit', '1-b', '\"baseline\"', '1-a', '\"week-12\"' FROM sittings WHERE n < {hands}",
    "UPDATE documents SET leaves = ARRAY['1-a', '1-b'], state = 'conflicted', winner_rev = '1-b' FROM "
    "conflicts c WHERE documents.site = c.site AND documents.doc_id = 'session:' || c.session_id",
    "INSERT INTO outbox (kind, key, state, attempts, error, ended_at, payload, payload_sha256, site, "
    "study, created_at, next_attempt_at) SELECT CASE n % 2 WHEN 0 THEN 'webhook' ELSE 'mail' END, 'k' || "
    "n, CASE n % 4 WHEN 0 THEN 'dead' WHEN 1 THEN 'pending' ELSE 'done' END, 12, 'connection refused', "
    "CASE WHEN n % 4 <> 1 THEN now() END, '{}', '', 'site-' || n % {sites}, 'SRO', now() - n * interval "
    "'1 minute', now() + interval '3000 days' FROM generate_series(0, {hands} * 5 - 1) n",
    "INSERT INTO outbox_attempts (entry, lease, started_at, ended_at, outcome, error) SELECT id, n, "
    "now(), now(), CASE n WHEN 4 THEN 'given_up' ELSE 'failed' END, 'connection refused' FROM outbox, "
    "generate_series(1, 4) n WHERE state = 'dead'",
    "INSERT INTO replication_jobs (site, name, kind, direction, url, created_by, updated_by, desired, "
    "state, observed_at, pending, written, failures, per_second, stuck_since) SELECT code, 'to-centre', "
    "'collected', 'push', 'https://centre.example/db/' || code, 'ada@example.org', 'ada@example.org', "
    "'paused', 'paused', now(), 10, 1000, 0, 1, CASE WHEN right(code, 1) = '3' THEN now() END FROM sites",
    "INSERT INTO replication_job_events (job, at, state, detail) SELECT id, now() - n * interval '1 "
    "hour', 'running', NULL FROM replication_jobs, generate_series(1, 20) n",
    "INSERT INTO audit_log (at, actor, actor_kind, role, action, entity, entity_id, site, study, reason, "
    "before, after) SELECT now() - ({audit} - n) * interval '30 seconds', 'person-' || n % 2000 || "
    "'@example.org', 'person', 'coordinator', 'participant.change', 'participant', 'SRO/p' || n % "
    "{people}, 'site-' || n % {sites}, 'SRO', NULL, '{\"site\": \"a\"}', '{\"site\": \"b\"}' FROM "
    "generate_series(1, {audit}) n",
    "INSERT INTO consent_forms (study, id, version, title, texts, supersedes, published_by) VALUES "
    "('SRO', 'main', 1, 'Taking part', '{\"en\": \"You take part of your own free will.\"}', false, "
    "'ada@example.org')",
    "INSERT INTO consent_form_drafts (study, id, title, texts) VALUES ('SRO', 'main', 'Taking part', "
    '\'{"en": "You take part of your own free will."}\')',
    "INSERT INTO consents (site, id, study, participant, form, form_version, language, signed_at, "
    "has_signature, flags, rev, received_at) SELECT site, 'consent-' || code, study, code, 'main', 1, "
    "'en', now(), false, '{}', '1-a', now() FROM participants WHERE study = 'SRO' AND right(code, 1) <> "
    "'5'",
    "INSERT INTO reminder_rules (study, code, moment, days, channel, send_at, useful_hours) VALUES "
    "('SRO', 'week-before', 'before_due', 7, 'email', '09:00', 12)",
    "INSERT INTO reminder_templates (study, rule, language, subject, text) VALUES ('SRO', 'week-before', "
    "'en', 'Your visit on {due_on}', 'Your visit {visit} at {site} is on {due_on}. {stop}')",
    "INSERT INTO reminders (study, participant, visit, rule, channel, occurrence, planned_at, "
    "useful_until, state, reason, cancelled_reason, sent_at) SELECT 'SRO', participant, code, "
    "'week-before', 'email', 0, due_on - interval '7 days', due_on - interval '6 days', CASE WHEN due_on "
    "> current_date + 7 THEN 'planned' ELSE 'sent' END, NULL, NULL, CASE WHEN due_on <= current_date + 7 "
    "THEN due_on - interval '7 days' END FROM visits WHERE study = 'SRO' AND due_on IS NOT NULL",
    "INSERT INTO reminder_opt_outs (study, participant, channel, by_whom) SELECT study, code, 'all', "
    "'participant' FROM participants WHERE study = 'SRO' AND right(code, 1) = '4'",
    "INSERT INTO redcap_mappings (study, definition, created_by, updated_by) VALUES ('SRO', '{mapping}', "
    "'ada', 'ada')",
    "INSERT INTO redcap_projects (project, study, title, redcap_version, checked_at, pulled_at, "
    "paused_at, paused_cause, paused_reason) VALUES ('sro', 'SRO', 'Sleep', '14.5.2', now(), now(), "
    "now(), 'person', 'not now')",
    "INSERT INTO redcap_ledger (project, study, site, session_id, form, record, instance, state, reason) "
    "SELECT 'sro', 'SRO', site, id, 'cog_session', participant, n, CASE WHEN n % 10 = 0 THEN 'parked' "
    "ELSE 'done' END, NULL FROM sittings WHERE study = 'SRO' AND n < {hands} * 30",
    "INSERT INTO redcap_pulled (project, record, participant, value, problem, conflicts) SELECT 'sro', "
    "'x' || n, 'p' || n, '{}', 'Both sides have changed it.', '{\"language\": {\"here\": \"es\", \"redcap\": "
    '"qu", "ours": "es", "theirs": "qu"}}\' FROM generate_series(1, 500) n',
    "INSERT INTO research_policies (study, secret) SELECT code, sha256(convert_to(code, 'UTF8')) FROM "
    "studies ON CONFLICT DO NOTHING",
    "INSERT INTO research_files (kind, study, identified, request, state, person, asked_by, asked_at, "
    "content_key, file_name, media_type, size, sha256, expires_at) SELECT CASE n % 2 WHEN 0 THEN 'export'"
    " ELSE 'participant_report' END, 'SRO', false, CASE n % 2 WHEN 0 THEN '{\"datasets\": [\"trials\"], "
    '"format": "csv"}\' ELSE \'{"language": "en", "participant": "p1"}\' END::jsonb, \'done\', 0, '
    "'ana@example.org', now() - n * interval '1 minute', repeat('c', 64), 'SRO.zip', 'application/zip', "
    "48213, repeat('a', 64), now() + interval '90 days' FROM generate_series(1, 4000) n",
)


class Size(msgspec.Struct, frozen=True):
    """How many there are; of the others as many as that makes likely."""

    sites: int
    tablets: int
    sessions: int


def fill(owner_url: str, size: Size, *, tell: Callable[[str], None] = lambda _: None) -> None:
    """Write it into a migrated, empty database: all of it, or nothing."""
    numbers = {
        **msgspec.structs.asdict(size),
        "people": max(20, size.sessions // 50),
        "audit": size.sessions,
        "hands": max(10, size.sessions // 250),
    }
    mapping = msgspec.json.encode(kept(read_mapping(MAPPING))).decode().replace("'", "''")
    texts = {"battery": _BATTERY, "bank": _BANK, "mapping": mapping}
    with psycopg.connect(owner_url) as connection:
        connection.execute("SET synchronous_commit = off")
        connection.execute("SET work_mem = '256MB'")
        for statement in (*_PLACES, *_SESSIONS, *_HANDS):
            filled = statement
            for name, value in {**numbers, **texts}.items():
                filled = filled.replace(f"{{{name}}}", str(value))
            tell(" ".join(statement.split()[:3]))
            connection.execute(filled.encode())
    with psycopg.connect(owner_url, autocommit=True) as connection:
        connection.execute("VACUUM (ANALYZE)")
