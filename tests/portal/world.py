"""A small world that pages look at: two studies, four sites, tablets in every state, much to look after.

Every free text in it begins with MARK, a markup that would show, or run, where it was not escaped.
"""

import psycopg

from sync_server.portal.pages import Page
from sync_server.portal.routes import RESEARCH_PAGES
from tests.portal import world_research, world_studies

MARK = """<script>alert("x")</script><b>'&"""

STATEMENTS = (
    "INSERT INTO studies (code, title, status) VALUES ('SRO', {mark} || 'Sleep and memory', 'active'),"
    " ('ABC', 'Attention before school', 'active')",
    "INSERT INTO sites (code, name, timezone) VALUES"
    " ('lima', {mark} || 'Hospital Santa Rosa', 'America/Lima'),"
    " ('nairobi', 'Nairobi West', 'Africa/Nairobi'), ('hyderabad', 'Hyderabad Clinic', 'Asia/Kolkata'),"
    " ('quito', '', 'America/Guayaquil')",
    "INSERT INTO study_sites (study, site) VALUES ('SRO', 'lima'), ('SRO', 'nairobi'), ('ABC', 'hyderabad'),"
    " ('ABC', 'quito')",
    "INSERT INTO checkpoints (site, database, epoch, batch, since, rereading, pending, changed_at,"
    " complete_through) SELECT site, 'site-' || site, 'e', 1, '1', false, 3, now() - interval '4 minutes',"
    " now() - interval '1 minute' FROM study_sites",
    "INSERT INTO site_states (site, state, since, failures, error, projector) VALUES"
    " ('lima', 'running', now(), 0, NULL, 'p'), ('nairobi', 'running', now(), 0, NULL, 'p'),"
    " ('hyderabad', 'backing_off', now(), 3, {mark} || 'the store does not answer', 'p')",
    "INSERT INTO devices (credential, device, site, role, token_sha256, enrolled_at, revoked_at)"
    " SELECT site || d.name, d.name, site, d.role, '', now() - interval '90 days', d.at FROM study_sites,"
    " (VALUES ('tablet-1', 'tablet', NULL), ('tablet-2', 'tablet', NULL), ('tablet-3', 'tablet', NULL),"
    " ('hub-1', 'hub', NULL), ('tablet-0', 'tablet', now() - interval '40 days')) d (name, role, at)",
    "INSERT INTO device_labels (site, device, label, row_version) VALUES"
    " ('lima', 'tablet-1', {mark} || 'blue case, room 2', 1), ('lima', 'tablet-2', 'red case', 1)",
    "INSERT INTO device_activity (site, device, last_seen_at, last_push_at, app) VALUES"
    " ('lima', 'tablet-1', now() - interval '3 minutes', now() - interval '3 minutes', {mark} || 'app'),"
    " ('lima', 'tablet-2', now() - interval '6 days', now() - interval '6 days', 'app'),"
    " ('lima', 'tablet-3', now() - interval '2 hours', now() - interval '2 hours', 'app'),"
    " ('nairobi', 'tablet-1', now() - interval '20 minutes', now() - interval '20 minutes', 'app'),"
    " ('nairobi', 'tablet-2', now() - interval '21 days', now() - interval '21 days', 'app')",
    "INSERT INTO device_status (site, device, rev, app_version, os, free_bytes, battery_level, outstanding,"
    " clock_at, received_at) VALUES"
    " ('lima', 'tablet-1', '1-a', {mark} || '4.2.0', {mark} || 'Android 14', 21400000000, 0.86, 0, now(),"
    " now()), ('lima', 'tablet-2', '1-a', '4.1.3', 'Android 12', 640000000, 0.31, 7,"
    " now() - interval '6 days 20 minutes', now() - interval '6 days'),"
    " ('lima', 'tablet-3', '1-a', '4.2.0', 'iPadOS 19', 9000000000, 0.64, 2, now() - interval '2 hours',"
    " now() - interval '2 hours'),"
    " ('nairobi', 'tablet-1', '1-a', '4.2.0', 'Android 14', 12000000000, 0.5, 0, now(), now())",
    "INSERT INTO enrolment_codes (code_sha256, site, device, role, label, created_by, expires_at) VALUES"
    " ('x', 'lima', 'tablet-9', 'tablet', '', 'ada@example.org', now() + interval '50 minutes')",
    "INSERT INTO ingest_log (site, doc_id, rev, outcome, device, role, credential, request_id, reason) VALUES"
    " ('lima', 'session:refused-1', '1-a', 'refused', 'tablet-2', 'tablet', 'c', 'r', {mark} || 'too deep')",
    "INSERT INTO sessions (site, id, study, participant, status, started_at, received_at, rev)"
    " SELECT site, 's-' || site || n, study, 'p1', 'completed', now(), now() - n * interval '7 hours', '1-a'"
    " FROM study_sites, generate_series(0, 60) n WHERE n % 5 < 3",
    "INSERT INTO quarantine (site, doc_id, rev, type, code, path, message, quarantined_at) VALUES"
    " ('lima', 'session:q1', '1-a', 'session', 'missing_member', '$.study', {mark} || '$.study is required.',"
    " now() - interval '2 hours'), ('lima', 'session:q2', '1-a', 'session', 'missing_member', '$.study',"
    " {mark} || '$.study is required.', now() - interval '5 days'),"
    " ('lima', 'session:q3', '1-a', 'session', 'bad_time', '$.tasks[0].started_at', '$.tasks[0].started_at"
    " has no time zone.', now() - interval '40 minutes'),"
    " ('nairobi', 'session:q4', '1-a', 'session', 'unknown_value', '$.status', '$.status is \"lost\": it has"
    " to be in_progress, completed or abandoned.', now() - interval '3 hours'),"
    " ('hyderabad', 'consent:q5', '1-a', 'consent', 'missing_member', '$.signed_at', '$.signed_at is"
    " required.', now() - interval '1 day')",
    "INSERT INTO conflicts (site, session_id, path, winner_rev, winner_value, other_rev, other_value)"
    " VALUES ('lima', 's-lima0', '$.visit', '1-b', to_jsonb({mark} || 'baseline'), '1-a', '\"month-3\"'),"
    " ('lima', 's-lima0', '$.tasks[simon,1].trials[3]', '1-b', '{\"rt\": 412, \"correct\": 1}', '1-a',"
    ' \'{"rt": 388, "correct": 0}\'),'
    " ('lima', 's-lima0', '$.params.' || {mark}, '1-b', '1', '1-a', '2'),"
    " ('nairobi', 's-nairobi1', '$.status', '1-b', '\"completed\"', '1-a', '\"abandoned\"')",
    "INSERT INTO task_runs (site, session_id, task, run, status, n_trials) VALUES"
    " ('lima', 's-lima0', 'simon', 1, 'completed', 96), ('lima', 's-lima0', 'stroop', 1, 'completed', 120)",
    "INSERT INTO documents (site, doc_id, type, winner_rev, leaves, state, epoch) SELECT site,"
    " 'session:' || session_id, 'session', '1-b', ARRAY['1-a', '1-b'], 'conflicted', 'e' FROM conflicts"
    " GROUP BY site, session_id",
    "INSERT INTO ingest_log (site, doc_id, rev, outcome, device, role, credential, request_id, received_at)"
    " VALUES ('lima', 'session:s-lima0', '1-a', 'received', 'tablet-2', 'tablet', 'c', 'r',"
    " now() - interval '6 days'), ('lima', 'session:s-lima0', '1-b', 'received', 'tablet-1', 'tablet', 'c',"
    " 'r', now() - interval '26 hours')",
    "INSERT INTO hubs (site, device, urls, app, documents_waiting, tablets, storage_free_bytes, clock_at,"
    " told_at) VALUES ('lima', 'hub-1', '{{}}', {mark} || '4.2.0', 0, '[]', 412000000000, now(), now()),"
    " ('nairobi', 'hub-1', '{{}}', '4.1.3', 184, '[]', 96000000000, now() - interval '2 days',"
    " now() - interval '2 days')",
    "INSERT INTO device_activity (site, device, last_seen_at, last_push_at, app) VALUES"
    " ('lima', 'hub-1', now() - interval '20 seconds', now() - interval '3 minutes', 'hub'),"
    " ('nairobi', 'hub-1', now() - interval '2 days', now() - interval '2 days', 'hub')",
    "INSERT INTO outbox (kind, key, state, attempts, error, ended_at, payload, payload_sha256, site,"
    " created_at) VALUES"
    " ('webhook', {mark} || 'clinic.example/1', 'dead', 12, {mark} || 'connection refused', now(),"
    " jsonb_build_object('text', {mark}), 'x', 'lima', now() - interval '9 hours'),"
    " ('mail', 'reminder/81', 'dead', 9, '550 no such mailbox', now(), '{{}}', 'y', NULL,"
    " now() - interval '2 days'),"
    " ('redcap', 'sro/s012/baseline', 'pending', 2, 'REDCap answers 503', NULL, '{{}}', 'z', 'lima', now())",
    "INSERT INTO outbox_attempts (entry, lease, started_at, ended_at, outcome, error)"
    " SELECT outbox.id, n, now() - n * interval '3 hours', now() - n * interval '3 hours' + interval '4 s',"
    " CASE n WHEN 0 THEN 'given_up' ELSE 'failed' END, {mark} || 'connection refused'"
    " FROM outbox, generate_series(0, 3) n WHERE kind = 'webhook' ORDER BY n DESC",
    "INSERT INTO replication_jobs (site, name, kind, direction, url, login_name, created_by, updated_by,"
    " state, observed_at, pending, written, failures, per_second, error, error_at, next_retry_at,"
    " stuck_since) VALUES ('lima', {mark} || 'to-regional-centre', 'collected', 'push',"
    " 'https://centre.example/db/site-lima', {mark} || 'lima-hub', 'ada@example.org', 'ada@example.org',"
    " 'crashing', now() - interval '20 seconds', 1420, 88, 3, 0, {mark} || 'the other side answers 401',"
    " now() - interval '4 minutes', now() + interval '6 minutes', now() - interval '3 hours'),"
    " ('lima', 'from-regional-centre', 'published', 'pull', 'https://centre.example/db/site-lima', NULL,"
    " 'ada@example.org', 'ada@example.org', 'running', now() - interval '20 seconds', 0, 640, 0, 12.5, NULL,"
    " NULL, NULL, NULL), ('nairobi', 'to-centre', 'collected', 'push', 'https://hub.example/db/site-nairobi',"
    " NULL, 'ada@example.org', 'ada@example.org', 'running', now() - interval '9 seconds', 61, 20412, 0,"
    " 148.25, NULL, NULL, NULL, NULL)",
    "INSERT INTO replication_job_events (job, at, state, detail) SELECT id,"
    " now() - n * interval '50 minutes', CASE n WHEN 5 THEN 'running' ELSE 'crashing' END,"
    " CASE n WHEN 5 THEN NULL ELSE {mark} || 'the other side answers 401' END"
    " FROM replication_jobs, generate_series(1, 5) n WHERE state = 'crashing' ORDER BY n DESC",
    "INSERT INTO audit_log (actor, actor_kind, role, action, entity, entity_id, site, study, reason, before,"
    " after) VALUES ({mark} || 'eve@example.org', 'person', 'admin', 'device.rename', 'device',"
    " {mark} || 'tablet-2', 'lima', 'SRO', {mark} || 'it got a new case',"
    " jsonb_build_object('label', {mark}), jsonb_build_object('label', 'red case'))",
    "INSERT INTO visit_definitions (study, code, anchor) VALUES ('SRO', 'baseline', 'enrolment')",
    "INSERT INTO participants (study, code, site, status, enrolled_on)"
    " SELECT 'SRO', 'p' || n, 'lima', 'enrolled', current_date - n * 5 FROM generate_series(1, 24) n",
    "INSERT INTO visits (study, participant, code, site, state, due_on, window_from, window_to, anchor,"
    " offset_days, window_before_days, window_after_days)"
    " SELECT 'SRO', 'p' || n, 'baseline', 'lima', CASE WHEN n < 4 THEN 'due' ELSE 'planned' END,"
    " current_date - 3 + n, current_date - 9 + n, current_date + 9 + n, 'enrolment', 0, 6, 6"
    " FROM generate_series(1, 12) n",
)


def fill(connection: psycopg.Connection, *, mark: str = MARK) -> None:
    """Put it into an empty database; with another mark, or none, for who wants to look at it."""
    quoted = "'" + mark.replace("'", "''") + "'"
    for statement in (*STATEMENTS, *world_studies.STATEMENTS, *world_research.STATEMENTS):
        connection.execute(statement.replace("{mark}", quoted).replace("{{}}", "{}").encode())


PARTS = {"site": "lima", "device": "tablet-2", "id": "1", **world_studies.PARTS}
"""Parts of the paths of pages, as they are in this world."""


def path_of(page: Page, **parts: str) -> str:
    """Where a page is in this world; scores are of a study of their own."""
    own = {"study": world_research.STUDY} if page.name in {each.name for each in RESEARCH_PAGES} else {}
    return page.path.format(**{**PARTS, **own, **parts})


QUERIES = {
    "codebook": "?dataset=trials",
    "receipts": "?document=session:refused-1",
    "quarantined": "?site=lima&document=session:q1",
    "conflict": "?session=s-lima0&site=lima",
}
"""What a page is asked, by its name, where it shows nothing otherwise."""


def address_of(page: Page, **parts: str) -> str:
    """The same with what it is asked."""
    return path_of(page, **parts) + QUERIES.get(page.name, "")
