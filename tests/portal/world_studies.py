"""What pages of studies look at, in the small world of `world.py`: participants with visits, consent,
reminders and a way to REDCap, batteries and item banks; `{mark}` before every free text.
"""

import msgspec

from reporting.redcap.mapping_text import kept, read_mapping

MAPPING = """
project: {key: sro, record_id: {from: participant.redcap_id}}
instruments:
  - battery: self-regulation
    form: cog_session
    repeat: {mode: instrument, key_field: cog_session_uid}
    fields:
      cog_started: {from: session.started_at, as: datetime}
    complete: {from: status, map: {completed: 2, abandoned: 0}}
"""

_MAPPING = msgspec.json.encode(kept(read_mapping(MAPPING))).decode()

BATTERY = (
    '{"tasks": [{"task": "simon", "repetitions": 2, "params": {"trials": 40}},'
    ' {"task": "digit_span", "repetitions": 1, "params": {}}]}'
)
BANK = (
    '{"model": "2PL", "items": [{"id": "i1", "a": 1.2, "b": -0.4}, {"id": "i2", "a": 0.8, "b": 0.9}],'
    ' "calibration": {"sample": "Students in Lima", "n": 640, "calibrated_on": "2025-03-01",'
    ' "software": "mirt 1.41"}}'
)

_STATEMENTS = (
    "UPDATE studies SET description = {mark} || 'Whether sleep before and after learning keeps what was"
    " learnt, in three visits.', consent_required = true WHERE code = 'SRO'",
    "INSERT INTO batteries (id, version, tasks, title, definition, published_by) SELECT 'self-regulation', n,"
    " ARRAY['simon', 'digit_span'], {mark} || 'Self-regulation', '{battery}', 'ada@example.org'"
    " FROM generate_series(1, 2) n",
    "UPDATE sessions SET visit = 'baseline', battery_id = 'self-regulation', battery_version = 2,"
    " device_id = 'tablet-1', participant = 'p' || (1 + length(id) + ascii(right(id, 1)) % 7),"
    " started_at = received_at - interval '50 minutes' WHERE study = 'SRO' AND id > 's-lima2'",
    "INSERT INTO battery_drafts (id, title, definition) VALUES"
    " ('self-regulation', {mark} || 'Self-regulation', '{battery}')",
    "INSERT INTO study_batteries (study, battery_id, battery_version) VALUES ('SRO', 'self-regulation', 2)",
    "INSERT INTO item_banks (id, version, title, definition, published_by) VALUES"
    " ('vocabulary', 1, {mark} || 'Vocabulary', '{bank}', 'ada@example.org')",
    "UPDATE visit_definitions SET title = {mark} || 'Baseline', window_before_days = 6,"
    " window_after_days = 6, battery_id = 'self-regulation', battery_version = 2 WHERE code = 'baseline'",
    "INSERT INTO visit_definitions (study, code, title, anchor, offset_days, window_before_days,"
    " window_after_days, position) VALUES ('SRO', 'week-4', 'Week 4', 'baseline', 28, 3, 7, 1),"
    " ('SRO', 'week-12', 'Week 12', 'baseline', 84, 7, 14, 2)",
    "INSERT INTO visits (study, participant, code, site, state, anchor, offset_days, window_before_days,"
    " window_after_days) SELECT 'SRO', 'p' || n, 'week-4', 'lima', 'planned', 'baseline', 28, 3, 7"
    " FROM generate_series(1, 12) n",
    "UPDATE visits SET moved_to = due_on, moved_reason = {mark} || 'They travel that week'"
    " WHERE participant = 'p1' AND code = 'baseline'",
    "UPDATE participants SET language = 'es', redcap_id = '10' || substr(code, 2) WHERE study = 'SRO'",
    "INSERT INTO consent_form_drafts (study, id, title, texts) VALUES ('SRO', 'main',"
    " {mark} || 'Taking part', jsonb_build_object('en', {mark} || 'You take part of your own free will.',"
    " 'es', 'Usted participa por su propia voluntad.'))",
    "INSERT INTO consent_forms (study, id, version, title, texts, supersedes, published_by) VALUES"
    " ('SRO', 'main', 1, {mark} || 'Taking part', jsonb_build_object('es', {mark} || 'texto'), false,"
    " 'ada@example.org')",
    "INSERT INTO consents (site, id, study, participant, form, form_version, language, signed_at,"
    " has_signature, flags, rev, received_at) SELECT 'lima', 'c' || n, 'SRO', 'p' || n, 'main', 1, 'es',"
    " now() - n * interval '5 days', false, '{}', '1-a', now() FROM generate_series(1, 9) n",
    "INSERT INTO consent_withdrawals (study, participant, form, withdrawn_at, reason, recorded_by) VALUES"
    " ('SRO', 'p9', NULL, now(), {mark} || 'moves away', 'ada@example.org')",
    "INSERT INTO reminder_rules (study, code, moment, days, channel, send_at, useful_hours) VALUES"
    " ('SRO', 'week-before', 'before_due', 7, 'email', '09:00', 12),"
    " ('SRO', 'overdue', 'overdue', 2, 'email', '09:00', 12)",
    "INSERT INTO reminder_templates (study, rule, language, subject, text) VALUES ('SRO', 'week-before',"
    " 'en', {mark} || 'Your visit on {due_on}', {mark} || 'Dear participant, your visit {visit} at {site} is"
    " on {due_on}. To get no more of these: {stop}')",
    "INSERT INTO reminders (study, participant, visit, rule, channel, occurrence, planned_at, useful_until,"
    " state, reason, cancelled_reason, sent_at) SELECT 'SRO', 'p' || n, 'baseline', 'week-before', 'email',"
    " 0, now() + (n - 5) * interval '1 day', now() + (n - 4) * interval '1 day',"
    " CASE WHEN n = 4 THEN 'cancelled' WHEN n < 5 THEN 'sent' ELSE 'planned' END,"
    " CASE WHEN n = 4 THEN 'person' END, CASE WHEN n = 4 THEN {mark} || 'we have called' END,"
    " CASE WHEN n < 4 THEN now() + (n - 5) * interval '1 day' END FROM generate_series(1, 12) n",
    "INSERT INTO redcap_connections (study, url, token, created_by) VALUES"
    " ('SRO', 'https://redcap.example.org/api/', 'sealed', {mark} || 'ada@example.org')",
    "INSERT INTO redcap_mappings (study, definition, created_by, updated_by) VALUES ('SRO', '{mapping}',"
    " 'ada@example.org', {mark} || 'ada@example.org')",
    "INSERT INTO redcap_projects (project, study, title, redcap_version, checked_at, pulled_at) VALUES"
    " ('sro', 'SRO', {mark} || 'Sleep and memory', '14.5.2', now(), now() - interval '8 minutes')",
    "INSERT INTO redcap_ledger (project, study, site, session_id, form, record, instance, state, reason)"
    " SELECT 'sro', 'SRO', 'lima', 's-lima' || n, 'cog_session', '101', n + 1,"
    " CASE WHEN n = 2 THEN 'parked' ELSE 'done' END,"
    " CASE WHEN n = 2 THEN {mark} || 'cog_started has no value' END FROM generate_series(0, 2) n",
    "INSERT INTO redcap_attempts (ledger, action, outcome, http_status, after, error)"
    " SELECT id, 'import', 'refused', 400, jsonb_build_object('cog_started', {mark} || '2026-11-01 09:00'),"
    " {mark} || 'The value is out of range' FROM redcap_ledger WHERE state = 'parked'",
    "INSERT INTO redcap_pulled (project, record, participant, value, problem, conflicts) VALUES"
    " ('sro', '199', NULL, '{}', {mark} || 'has no site', NULL),"
    " ('sro', '104', 'p4', '{}', 'Both sides have changed it.', jsonb_build_object('language',"
    " jsonb_build_object('here', 'es', 'redcap', {mark} || 'qu', 'ours', 'es', 'theirs', 'qu')))",
)

STATEMENTS = tuple(
    each.replace("{battery}", BATTERY).replace("{bank}", BANK).replace("{mapping}", _MAPPING)
    for each in _STATEMENTS
)

PARTS = {
    "study": "SRO",
    "participant": "p1",
    "visit": "baseline",
    "consent_form": "main",
    "code": "week-4",
    "rule": "week-before",
    "language": "en",
    "entry": "3",
    "battery": "self-regulation",
    "bank": "vocabulary",
    "person": "1",
}
"""Parts of the paths of pages; `person` is whoever was the first to join."""
