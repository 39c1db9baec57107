"""A study with scores: 30 people at two sites, most of them measured twice; flags, and files made of it."""

from typing import Final

STUDY: Final = "RET"

STATEMENTS: Final[tuple[str, ...]] = (
    "INSERT INTO studies (code, title, status) VALUES ('RET', 'Retest ' || {mark}, 'active')",
    "INSERT INTO study_sites (study, site) VALUES ('RET', 'lima'), ('RET', 'nairobi')",
    "INSERT INTO research_policies (study) VALUES ('RET') ON CONFLICT DO NOTHING",
    "INSERT INTO participants (study, code, site, enrolled_on) SELECT 'RET', 'r' || n,"
    " CASE WHEN n % 3 = 0 THEN 'nairobi' ELSE 'lima' END, '2026-01-01' FROM generate_series(1, 30) n",
    "INSERT INTO sessions (site, id, study, participant, visit, status, started_at, received_at, rev)"
    " SELECT p.site, 'ret-' || p.code || '-' || v.n, 'RET', p.code, v.visit, 'completed',"
    " timestamptz '2026-02-01 09:00Z' + make_interval(days => 28 * v.n), now() - interval '40 days', '1-a'"
    " FROM participants p, (VALUES (1, 'first'), (2, 'second ' || {mark})) v(n, visit)"
    " WHERE p.study = 'RET' AND NOT (v.n = 2 AND p.code IN ('r7', 'r11'))",
    "INSERT INTO task_runs (site, session_id, task, run, status, n_trials)"
    " SELECT site, id, 'simple_reaction_time', 1, 'completed', 40 FROM sessions WHERE study = 'RET'",
    "INSERT INTO scores (site, session_id, task, run, name, value, scoring_version)"
    " SELECT site, id, 'simple_reaction_time', 1, s.name,"
    " s.base + s.spread * ((p.n * 7) % 30 + (p.n * 11) % 31 - 30) / 2"
    " - CASE WHEN visit = 'first' THEN 0 ELSE s.spread * (2 + (p.n * 3) % 7) END, 1"
    " FROM sessions CROSS JOIN LATERAL (SELECT substr(participant, 2)::int AS n) p,"
    " (VALUES ('avg_rt', 310, 4.0), ('std_rt', 60, 1.0)) s(name, base, spread)"
    " WHERE study = 'RET'",
    "INSERT INTO quality_flags (site, session_id, task, run, code, detail)"
    " SELECT site, id, 'simple_reaction_time', 1, 'many_timeouts', '{{}}' FROM sessions"
    " WHERE study = 'RET' AND participant IN ('r2', 'r3')",
    "INSERT INTO quality_flags (site, session_id, code, detail)"
    " SELECT site, id, {mark} || 'clock_suspect', '{{}}'"
    " FROM sessions WHERE study = 'RET' AND participant IN ('r4', 'r5')",
    "INSERT INTO research_files (kind, study, identified, request, state, stage, rows_done, rows_total,"
    " person, asked_by, asked_at, error) VALUES"
    " ('export', 'RET', false, '{\"datasets\": [\"trials\"], \"format\": \"csv\"}', 'running', 'trials',"
    " 31000, 82000, 0, 'ana@example.org', now() - interval '2 minutes', NULL),"
    " ('export', 'RET', true, '{\"datasets\": [\"sessions_wide\"], \"format\": \"spss\"}', 'failed', NULL,"
    " 0, NULL, 0, {mark}, now() - interval '1 day', 'The disk is full: ' || {mark}),"
    " ('participant_report', 'RET', true, jsonb_build_object('language', 'en', 'participant', {mark}),"
    " 'queued', NULL, 0, NULL, 0, 'ana@example.org', now() - interval '1 hour', NULL)",
    "INSERT INTO research_files (kind, study, identified, request, state, person, asked_by, asked_at,"
    " content_key, file_name, media_type, size, sha256, expires_at) VALUES"
    ' (\'export\', \'RET\', false, \'{"datasets": ["sessions_wide", "quality"], "format": "excel"}\','
    " 'done', 0, 'ana@example.org', now() - interval '3 hours', repeat('c', 64), 'RET.zip',"
    " 'application/zip', 48213, repeat('a', 64), now() + interval '6 days')",
)
