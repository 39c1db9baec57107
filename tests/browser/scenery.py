"""What pictures show: the small world of `tests/portal/world.py`, made to look like a year of work.

Tests look at markup, short codes and round numbers. Whoever looks at a picture wants people's codes, sites'
names, a chart with a shape. So for pictures only, the world is changed where it is: rows get other names,
dates of their own, company. Chance is taken from names, and is the same each time.
"""

import hashlib
from typing import Final

import psycopg

from sync_server.portal.pages import Page
from sync_server.portal.routes import RESEARCH_PAGES
from tests.portal import world

STUDY: Final = "MEM"
"""A study with many scores."""

_FREE: Final = (
    # Evenly from 0 to 1, and normally with mean 0 and standard deviation 1.
    "CREATE FUNCTION pg_temp.chance(text) RETURNS float LANGUAGE sql AS"
    " $$ SELECT ('x' || substr(md5($1), 1, 8))::bit(32)::bigint / 4294967296.0 $$",
    "CREATE FUNCTION pg_temp.normal(text) RETURNS float LANGUAGE sql AS $$ SELECT sqrt(3) *"
    " (pg_temp.chance($1) + pg_temp.chance($1 || 'b') + pg_temp.chance($1 || 'c')"
    " + pg_temp.chance($1 || 'd') - 2) $$",
    # Days ago, in working hours, and past.
    "CREATE FUNCTION pg_temp.back(days float, text) RETURNS timestamptz LANGUAGE sql AS $$ SELECT"
    " least(date_trunc('day', now() - make_interval(days => days::int)) + make_interval(mins =>"
    " (480 + 560 * pg_temp.chance($2))::int), now() - make_interval(mins =>"
    " (12 + 170 * pg_temp.chance($2))::int)) $$",
    # Codes are changed where they are keys, table by table; needs a superuser.
    "SET session_replication_role = replica",
)

_NAMES: Final = (
    "UPDATE studies SET title = 'Sleep and memory in adolescents', created_at = now() - interval '14 months',"
    " updated_at = now() - interval '23 days' WHERE code = 'SRO'",
    "UPDATE studies SET updated_at = now() - interval '9 days' WHERE code = 'ABC'",
    "UPDATE studies SET title = 'Retest reliability', updated_at = now() - interval '64 days',"
    " status = 'completed' WHERE code = 'RET'",
    "UPDATE sites SET name = 'Quito Norte' WHERE code = 'quito'",
    "UPDATE devices SET enrolled_at = enrolled_at - make_interval(hours => (900 *"
    " pg_temp.chance(credential))::int)",
    "UPDATE device_labels SET label = 'Blue case, room 2' WHERE device = 'tablet-1'",
    "UPDATE device_labels SET label = 'Red case' WHERE device = 'tablet-2'",
    "UPDATE device_status SET clock_at = now() - interval '1 second' WHERE outstanding = 0",
    "UPDATE site_states SET error = 'The store of the documents does not answer' WHERE error IS NOT NULL",
    "UPDATE checkpoints SET pending = (9 * pg_temp.chance(site))::int,"
    " changed_at = now() - make_interval(mins => (4 + 50 * pg_temp.chance(site))::int)",
    "UPDATE ingest_log SET reason = 'The document is nested too deep' WHERE outcome = 'refused'",
    "UPDATE conflicts SET path = '$.participant', winner_value = '\"SR-104\"', other_value = '\"SR-140\"'"
    " WHERE path = '$.params.'",
    "UPDATE outbox SET key = 'clinic.example/session.completed/8817', error = 'Connection refused',"
    ' payload = \'{"event": "session.completed", "study": "SRO", "site": "lima"}\''
    " WHERE kind = 'webhook'",
    "UPDATE outbox SET error = '550 No such mailbox' WHERE kind = 'mail'",
    "UPDATE outbox_attempts SET error = 'Connection refused'",
    "UPDATE replication_jobs SET updated_at = now() - interval '41 days',"
    " error = CASE WHEN error IS NULL THEN NULL ELSE 'The other side answers 401' END",
    "UPDATE replication_job_events SET detail = 'The other side answers 401' WHERE detail IS NOT NULL",
    "UPDATE batteries SET created_at = now() - interval '60 days' * (3 - version)",
    "UPDATE battery_drafts SET updated_at = now() - interval '3 days'",
    "UPDATE item_banks SET created_at = now() - interval '210 days'",
    "UPDATE visit_definitions SET updated_at = now() - interval '80 days', battery_id = 'self-regulation',"
    " battery_version = 2",
    "UPDATE visits SET moved_reason = 'They travel that week' WHERE moved_reason IS NOT NULL",
    "UPDATE consent_form_drafts SET updated_at = now() - interval '2 days', texts = texts ||"
    ' \'{"en": "You take part of your own free will. You can stop at any time, without a reason."}\'',
    "UPDATE consent_forms SET created_at = now() - interval '190 days'",
    "UPDATE consent_withdrawals SET reason = 'Moves to another city'",
    "UPDATE redcap_connections SET created_at = now() - interval '120 days',"
    " updated_at = now() - interval '120 days'",
    "UPDATE redcap_mappings SET updated_at = now() - interval '17 days'",
    "UPDATE redcap_pulled SET problem = 'The record has no site' WHERE problem = 'has no site'",
    "UPDATE redcap_pulled SET pulled_at = now() - interval '8 minutes'",
    "UPDATE redcap_ledger SET updated_at = now() - make_interval(hours => 3 + id::int * 7)",
    "UPDATE research_policies SET pseudonyms_since = now() - interval '160 days'",
)

_PEOPLE: Final = (
    "INSERT INTO users (email, password_hash, role, name, created_at) VALUES"
    " ('ana.torres@example.org', 'x', NULL, 'Ana Torres', now() - interval '300 days'),"
    " ('wanjiku.mwangi@example.org', 'x', NULL, 'Wanjiku Mwangi', now() - interval '250 days'),"
    " ('priya.rao@example.org', 'x', 'researcher', 'Priya Rao', now() - interval '140 days'),"
    " ('luc.martin@example.org', 'x', NULL, 'Luc Martin', now() - interval '25 days')",
    "INSERT INTO memberships (person, study, site, role) SELECT id, m.study, m.site, m.role FROM users JOIN"
    " (VALUES ('ana.torres@example.org', 'SRO', NULL, 'coordinator'),"
    " ('ana.torres@example.org', 'MEM', NULL, 'coordinator'),"
    " ('wanjiku.mwangi@example.org', 'SRO', 'nairobi', 'coordinator'),"
    " ('luc.martin@example.org', 'SRO', NULL, 'researcher')) m(email, study, site, role) USING (email)",
    "UPDATE participants SET created_at = now() - interval '90 days', updated_at = now() - interval '6 days',"
    " language = CASE WHEN length(code) % 2 = 1 THEN 'es' ELSE 'qu' END WHERE study = 'SRO'",
    "UPDATE participants SET site = 'nairobi', language = 'sw' WHERE study = 'SRO' AND code IN"
    " ('p15', 'p16', 'p18', 'p21')",
    "UPDATE participants SET status = 'withdrawn' WHERE study = 'SRO' AND code IN ('p9', 'p20')",
    "UPDATE participants SET status = 'completed' WHERE study = 'SRO' AND code IN ('p22', 'p23', 'p24')",
    "UPDATE participants SET status = 'screened', enrolled_on = NULL WHERE study = 'SRO' AND code = 'p17'",
    "DELETE FROM participants WHERE study = 'SRO' AND code IN ('p13', 'p14', 'p19')",
    "INSERT INTO consents (site, id, study, participant, form, form_version, language, signed_at,"
    " has_signature, flags, rev, received_at) SELECT p.site, 'd' || p.code, 'SRO', p.code, 'main', 1, 'es',"
    " pg_temp.back(30, p.code), true, '{}', '1-a', pg_temp.back(30, p.code) FROM participants p"
    " WHERE p.study = 'SRO' AND p.code NOT IN ('p17', 'p10', 'p21')"
    " AND NOT EXISTS (SELECT FROM consents c WHERE c.study = 'SRO' AND c.participant = p.code)",
    "UPDATE consents SET device_id = 'tablet-1', has_signature = true",
    "INSERT INTO participants (study, code, site, enrolled_on, status, language) SELECT 'ABC', 'AS-' || 200 +"
    " n, CASE WHEN n % 3 = 0 THEN 'quito' ELSE 'hyderabad' END, current_date - n * 2, CASE WHEN n % 9 = 0"
    " THEN 'screened' ELSE 'enrolled' END, 'te' FROM generate_series(1, 46) n",
    "INSERT INTO visit_definitions (study, code, title, anchor) VALUES"
    " ('ABC', 'entry', 'School entry', 'enrolment')",
    "INSERT INTO visits (study, participant, code, site, state, due_on, window_from, window_to, anchor,"
    " offset_days, window_before_days, window_after_days, completed_at, completed_on, in_window)"
    " SELECT study, code, 'entry', site, CASE WHEN n > 16 THEN 'completed' WHEN n < 3 THEN 'planned'"
    " ELSE 'due' END, current_date + 12 - n, current_date + 5 - n, current_date + 19 - n, 'enrolment', 0, 7,"
    " 7, CASE WHEN n > 16 THEN now() - make_interval(days => n - 12) END,"
    " CASE WHEN n > 16 THEN current_date - n + 12 END, CASE WHEN n > 16 THEN true END"
    " FROM participants CROSS JOIN LATERAL (SELECT substr(code, 4)::int - 200 AS n) x WHERE study = 'ABC'",
)

_SESSIONS: Final = (
    "UPDATE sessions SET received_at = pg_temp.back(29 * pg_temp.chance(id) ^ 1.3, id), device_id ="
    " 'tablet-' || 1 + (2 * pg_temp.chance(id))::int WHERE study IN ('SRO', 'ABC')",
    "UPDATE sessions SET started_at = received_at - make_interval(mins => (25 + 60 *"
    " pg_temp.chance(id || 's'))::int), ended_at = received_at - interval '4 minutes', visit = CASE WHEN"
    " pg_temp.chance(id || 'v') < 0.6 THEN 'baseline' ELSE 'week-4' END, battery_id = 'self-regulation',"
    " battery_version = 2, participant = 'p' || 1 + (23 * pg_temp.chance(id || 'p'))::int"
    " WHERE study = 'SRO'",
    "UPDATE sessions SET participant = 'p4', visit = 'baseline', device_id = 'tablet-1'"
    " WHERE id IN ('s-lima0', 's-nairobi1')",
    "UPDATE sessions SET started_at = received_at - interval '40 minutes', participant = 'AS-' || 201 +"
    " (44 * pg_temp.chance(id))::int, visit = 'entry' WHERE study = 'ABC'",
)

_CODES: Final = (
    # People and sessions get the codes that studies and tablets give them, wherever they are named.
    "DO $$ DECLARE place record; BEGIN FOR place IN SELECT c.table_name, c.column_name FROM"
    " information_schema.columns c JOIN information_schema.tables t USING (table_schema, table_name)"
    " WHERE table_schema = 'public' AND table_type = 'BASE TABLE' AND (column_name = 'participant' AND"
    " data_type = 'text' OR table_name = 'participants' AND column_name = 'code') LOOP EXECUTE"
    " format('UPDATE %I SET %2$I = ''SR-'' || 100 + substr(%2$I, 2)::int WHERE %2$I ~ ''^p[0-9]+$''',"
    " place.table_name, place.column_name); END LOOP;"
    " FOR place IN SELECT c.table_name, c.column_name FROM information_schema.columns c JOIN"
    " information_schema.tables t USING (table_schema, table_name) WHERE table_schema = 'public' AND"
    " table_type = 'BASE TABLE' AND (column_name = 'session_id' OR table_name = 'sessions' AND column_name ="
    " 'id') LOOP EXECUTE format('UPDATE %I SET %2$I = substr(md5(%2$I), 1, 10) WHERE %2$I LIKE ''s-%%''',"
    " place.table_name, place.column_name); END LOOP;"
    " FOR place IN SELECT unnest(ARRAY['documents', 'ingest_log', 'quarantine']) AS table_name LOOP EXECUTE"
    " format('UPDATE %I SET doc_id = split_part(doc_id, '':'', 1) || '':'' ||"
    " substr(md5(split_part(doc_id, '':'', 2)), 1, 10)', place.table_name); END LOOP; END $$",
)

_RESEARCH: Final = (
    "INSERT INTO studies (code, title, status, description, updated_at) VALUES ('MEM', 'Memory training in"
    " later life', 'active', 'Six weeks of training at home, with three visits.', now() -"
    " interval '31 days')",
    "INSERT INTO study_sites (study, site) VALUES ('MEM', 'lima'), ('MEM', 'nairobi'), ('MEM', 'quito')",
    "INSERT INTO study_batteries (study, battery_id, battery_version) VALUES ('MEM', 'self-regulation', 2)",
    "INSERT INTO research_policies (study, pseudonyms_since) VALUES ('MEM', now() - interval '160 days')"
    " ON CONFLICT (study) DO UPDATE SET pseudonyms_since = excluded.pseudonyms_since",
    "INSERT INTO participants (study, code, site, enrolled_on, language) SELECT 'MEM', 'MT-' || 1000 + n,"
    " (ARRAY['lima', 'lima', 'nairobi', 'quito'])[1 + n % 4], current_date - 3 - (190 *"
    " pg_temp.chance('enrolled' || n))::int, 'es' FROM generate_series(1, 186) n",
    "INSERT INTO sessions (site, id, study, participant, visit, status, started_at, ended_at, received_at,"
    " rev, device_id, battery_id, battery_version) SELECT site, substr(md5(code || visit), 1, 10), study,"
    " code, visit, 'completed', at, at + interval '38 minutes', at + interval '50 minutes', '1-a',"
    " 'tablet-1', 'self-regulation', 2 FROM participants CROSS JOIN (VALUES ('baseline', 0), ('month-2', 60),"
    " ('month-4', 112)) v(visit, days) CROSS JOIN LATERAL (SELECT enrolled_on + interval '8 hours'"
    " + make_interval(days => days + (4 * pg_temp.chance(code || visit))::int,"
    " mins => (500 * pg_temp.chance(code || visit || 'm'))::int) AS at) t"
    " WHERE study = 'MEM' AND at < now() - interval '1 hour' AND pg_temp.chance(code || visit || 'k') < 0.94",
    "INSERT INTO task_runs (site, session_id, task, run, status, n_trials) SELECT site, id, t.task, 1,"
    " 'completed', t.n FROM sessions, (VALUES ('simple_reaction_time', 60), ('digit_span', 14))"
    " t(task, n) WHERE study = 'MEM'",
    "INSERT INTO scores (site, session_id, task, run, name, value, scoring_version) SELECT site, id,"
    " 'simple_reaction_time', 1, s.name, round((s.base + s.spread * pg_temp.normal(participant || s.name)"
    " + s.spread * 0.45 * pg_temp.normal(id || s.name) - s.spread * CASE visit WHEN 'baseline' THEN 0 WHEN"
    " 'month-2' THEN 0.55 ELSE 0.7 END)::numeric, 1), 1 FROM sessions,"
    " (VALUES ('avg_rt', 342, 41.0), ('std_rt', 74, 14.0)) s(name, base, spread) WHERE study = 'MEM'",
    "INSERT INTO quality_flags (site, session_id, task, run, code, detail) SELECT site, id,"
    " 'simple_reaction_time', 1, f.code, '{}' FROM sessions, (VALUES ('missed_share', 0.03),"
    " ('focus_lost', 0.21), ('timing_gap', 0.09), ('anticipatory_share', 0.02)) f(code, share)"
    " WHERE study = 'MEM' AND pg_temp.chance(id || f.code) < f.share",
    "INSERT INTO quality_flags (site, session_id, code, detail) SELECT site, id, f.code, '{}' FROM sessions,"
    " (VALUES ('clock_suspect', 0.06), ('missing_tasks', 0.04)) f(code, share)"
    " WHERE study = 'MEM' AND pg_temp.chance(id || f.code) < f.share",
    "UPDATE research_files SET study = 'MEM', file_name = replace(file_name, 'RET', 'MEM'),"
    " asked_by = 'ana.torres@example.org'",
    "UPDATE research_files SET error = 'The disk is full: free some space, and ask again.'"
    " WHERE error IS NOT NULL",
    'UPDATE research_files SET request = \'{"language": "en", "participant": "MT-1042"}\''
    " WHERE kind = 'participant_report'",
    "INSERT INTO research_files (kind, study, identified, request, state, person, asked_by, asked_at,"
    " content_key, file_name, media_type, size, sha256, expires_at) VALUES ('study_report', 'MEM', false,"
    " '{\"language\": \"en\"}', 'done', 0, 'priya.rao@example.org', now() - interval '26 hours',"
    " repeat('d', 64), 'MEM-report.pdf', 'application/pdf', 318204, repeat('b', 64),"
    " now() + interval '6 days')",
)

_RECORD: Final = (
    "DELETE FROM audit_log",
    "INSERT INTO audit_log (at, actor, actor_kind, role, action, entity, entity_id, site, study, reason,"
    " before, after) SELECT now() - ago::interval, actor, 'person', role, action, entity, id, site, study,"
    " reason, before::jsonb, after::jsonb FROM (VALUES"
    " ('9 minutes', 'wanjiku.mwangi@example.org', 'coordinator', 'device.rename', 'device', 'tablet-2',"
    " 'nairobi', NULL, 'It got a new case', '{\"label\": \"\"}', '{\"label\": \"Red case\"}'),"
    " ('52 minutes', 'ana.torres@example.org', 'coordinator', 'visit.move', 'visit', 'SR-101/baseline',"
    " 'lima', 'SRO', 'They travel that week', '{\"moved_to\": null}', '{\"moved_to\": \"2026-11-24\"}'),"
    " ('3 hours', 'ana.torres@example.org', 'coordinator', 'participant.update', 'participant', 'SR-112',"
    " 'lima', 'SRO', NULL, '{\"language\": \"es\"}', '{\"language\": \"qu\"}'),"
    " ('5 hours', 'rosa.quispe@example.org', 'admin', 'quarantine.waive', 'document', 'session:4be1c07d22',"
    " 'hyderabad', 'ABC', 'A test session', NULL, '{\"code\": \"bad_time\"}'),"
    " ('1 day', 'priya.rao@example.org', 'researcher', 'export.ask', 'research_file', '5', NULL, 'MEM',"
    ' NULL, NULL, \'{"format": "excel"}\'),'
    " ('1 day 2 hours', 'rosa.quispe@example.org', 'admin', 'conflict.decide', 'session', '9f21d0a4c8',"
    " 'lima', 'SRO', 'The paper form says so', '{\"visit\": \"week-4\"}', '{\"visit\": \"baseline\"}'),"
    " ('2 days', 'ana.torres@example.org', 'coordinator', 'consent.withdraw', 'participant', 'SR-109',"
    " 'lima', 'SRO', 'Moves to another city', NULL, '{\"form\": null}'),"
    " ('3 days', 'rosa.quispe@example.org', 'admin', 'device.revoke', 'device', 'tablet-0', 'lima', NULL,"
    ' \'It was stolen\', \'{"state": "enrolled"}\', \'{"state": "revoked"}\'))'
    " a(ago, actor, role, action, entity, id, site, study, reason, before, after) ORDER BY ago::interval"
    " DESC",
)


def furnish(connection: psycopg.Connection) -> None:
    """Make the small world, filled in without its mark, one to be shown; as a superuser."""
    for statement in (*_FREE, *_RESEARCH, *_NAMES, *_PEOPLE, *_SESSIONS, *_CODES, *_RECORD):
        connection.execute(statement.encode())


_QUERIES: Final = {
    "codebook": "?dataset=sessions_wide&q=reaction",
    "receipts": "?document=session:{}",
    "quarantined": "?site=lima&document=session:{}",
    "conflict": "?session={}&site=lima",
}
_OLD_CODES: Final = {"receipts": "refused-1", "quarantined": "q1", "conflict": "s-lima0"}


def address_of(page: Page) -> str:
    """Where a page is to be pictured; `world.address_of` for this world."""
    study = STUDY if page in RESEARCH_PAGES else "SRO"
    participant = "SR-101" if page.name == "visit" else "SR-104"
    path = world.path_of(page, study=study, participant=participant)
    code = hashlib.md5(_OLD_CODES.get(page.name, "").encode(), usedforsecurity=False).hexdigest()[:10]
    return path + _QUERIES.get(page.name, "").format(code)
