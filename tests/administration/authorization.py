"""Who may call what, cell by cell: the world that the matrix is walked in, and an example of every route.

A route added to the API needs one line in EXAMPLES. Choose what is refused *after* the right was asked for
(no If-Match, a member that contradicts another), so that a cell that may call changes nothing.
"""

from collections.abc import Mapping
from typing import Any

from reporting.scope import Part, Scope
from sync_server.api.route import Route
from sync_server.identity.access_tokens import Role
from sync_server.policy import RIGHTS
from tests.administration.administration_examples import ADMINISTRATION
from tests.administration.example import Example, Reach
from tests.administration.redcap_examples import REDCAP

STUDY, SITE, OTHER_SITE = "SRO", "lima", "quito"
OTHER_STUDY, FOREIGN_SITE = "ABC", "cusco"
"""SRO runs at lima and quito, ABC at cusco."""

ROLES: tuple[Role, ...] = ("read-only", "researcher", "coordinator", "admin")

PLACES: Mapping[str, Part] = {
    "everywhere": Part(),
    "in the study": Part(STUDY, None, frozenset({SITE, OTHER_SITE})),
    "at the site": Part(STUDY, SITE),
    "in another study": Part(OTHER_STUDY, None, frozenset({FOREIGN_SITE})),
}

NUMBERS = {SITE: "1001", OTHER_SITE: "1002"}
"""What the world has by number at each site: an account, a code, a webhook, a job."""

EXAMPLES: dict[tuple[str, str], Example] = {
    **ADMINISTRATION,
    **REDCAP,
    ("GET", "/api/auth/me"): Example(),
    ("GET", "/api/sites"): Example(),
    ("GET", "/api/sites/{site}"): Example(reach="site", path={"site": "{site}"}),
    ("GET", "/api/sessions"): Example(),
    ("GET", "/api/sessions/{id}"): Example(reach="study and site", path={"id": "s-{site}"}),
    ("GET", "/api/sessions/{id}/trials"): Example(reach="study and site", path={"id": "s-{site}"}),
    ("GET", "/api/conflicts"): Example(),
    ("GET", "/api/conflicts/{session}"): Example(reach="study and site", path={"session": "s-{site}"}),
    ("POST", "/api/conflicts/{session}/resolve"): Example(
        reach="study and site",
        path={"session": "s-{site}"},
        body={"reason": "why", "rev": "9-z", "accept": "union"},
    ),
    ("GET", "/api/quarantine"): Example(),
    ("GET", "/api/quarantine/groups"): Example(),
    ("GET", "/api/quarantine/documents/{site}"): Example(
        reach="site", path={"site": "{site}"}, query={"document": "session:none"}, may_be_missing=True
    ),
    ("POST", "/api/quarantine/retry"): Example(reach="site", body={"site": "{site}", "code": "none"}),
    ("POST", "/api/quarantine/patch"): Example(
        reach="site",
        body={"site": "{site}", "doc_id": "session:q", "rev": "9-z", "patch": {}, "reason": "why"},
    ),
    ("POST", "/api/quarantine/waive"): Example(
        reach="site",
        body={"site": "{site}", "doc_id": "none", "code": "none", "path": "$", "reason": "why"},
        may_be_missing=True,
    ),
    ("POST", "/api/quarantine/unwaive"): Example(
        reach="site",
        body={"site": "{site}", "doc_id": "none", "code": "none", "path": "$", "reason": "why"},
    ),
    ("GET", "/api/exports"): Example(),
    ("POST", "/api/exports"): Example(
        reach="study and site",
        body={"study": "{study}", "sites": ["{site}"], "datasets": ["visits"], "where": ["rt_ms.gte=200"]},
    ),
    # Somebody else's: admins see it.
    ("GET", "/api/exports/{id}"): Example(
        reach="study and site", right="research.policy", path={"id": "{number}"}
    ),
    ("GET", "/api/exports/{id}/download"): Example(
        reach="study and site", right="research.policy", path={"id": "{number}"}
    ),
    ("DELETE", "/api/exports/{id}"): Example(
        reach="study and site", right="research.policy", path={"id": "{number}"}
    ),
    ("GET", "/api/reports"): Example(),
    ("POST", "/api/reports"): Example(
        reach="study and site", body={"kind": "site", "study": "{study}", "site": "{site}"}
    ),
    # Somebody else's: admins see it.
    ("GET", "/api/reports/{id}"): Example(
        reach="study and site", right="research.policy", path={"id": "3{number}"}
    ),
    ("GET", "/api/reports/{id}/download"): Example(
        reach="study and site", right="research.policy", path={"id": "3{number}"}
    ),
    ("DELETE", "/api/reports/{id}"): Example(
        reach="study and site", right="research.policy", path={"id": "3{number}"}
    ),
    ("GET", "/api/audit"): Example(),
    ("GET", "/api/schedules/{study}"): Example(reach="study seen", path={"study": "{study}"}),
    ("PUT", "/api/schedules/{study}/{code}"): Example(
        reach="study", path={"study": "{study}", "code": "baseline"}, body={}
    ),
    ("DELETE", "/api/schedules/{study}/{code}"): Example(
        reach="study", path={"study": "{study}", "code": "baseline"}, body={"reason": "why"}
    ),
    ("GET", "/api/visits"): Example(),
    ("GET", "/api/visits/{study}/{participant}"): Example(
        reach="study and site", path={"study": "{study}", "participant": "v-{site}"}
    ),
    ("GET", "/api/visits/{study}/{participant}/{visit}"): Example(
        reach="study and site", path={"study": "{study}", "participant": "v-{site}", "visit": "baseline"}
    ),
    ("PATCH", "/api/visits/{study}/{participant}/{visit}"): Example(
        reach="study and site",
        path={"study": "{study}", "participant": "v-{site}", "visit": "baseline"},
        body={"state": "cancelled", "reason": "why"},
    ),
    ("GET", "/api/research"): Example(),
    ("GET", "/api/research/{dataset}"): Example(
        reach="study seen",
        path={"dataset": "trials"},
        query={"study": "{study}", "limit": "10", "rt_ms.gte": "100"},
    ),
    ("GET", "/api/dashboard"): Example(),
    ("GET", "/api/dashboard/{study}"): Example(reach="study seen", path={"study": "{study}"}),
}

WORLD: list[str] = [
    "INSERT INTO studies (code, title) VALUES ('SRO', 'SRO'), ('ABC', 'ABC')",
    "INSERT INTO research_policies (study) SELECT code FROM studies",
    "INSERT INTO sites (code) VALUES ('lima'), ('quito'), ('cusco')",
    "INSERT INTO study_sites (study, site) VALUES ('SRO', 'lima'), ('SRO', 'quito'), ('ABC', 'cusco')",
    "INSERT INTO sessions (site, id, study, participant, status, started_at, rev)"
    " SELECT site, 's-' || site, study, 'p1', 'completed', '2026-01-01', '1-a' FROM study_sites",
    "INSERT INTO conflicts (site, session_id, path, winner_rev, winner_value, other_rev, other_value)"
    " SELECT site, 's-' || site, '$.visit', '1-b', '1', '1-a', '2' FROM study_sites",
    "INSERT INTO quarantine (site, doc_id, rev, type, code, path, message)"
    " SELECT site, 'session:q', '1-a', 'session', 'missing', '$.study', 'required' FROM study_sites",
    "INSERT INTO checkpoints (site, database, epoch, batch, since, rereading)"
    " SELECT site, 'site-' || site, 'e', 1, '1', false FROM study_sites",
    "INSERT INTO visit_definitions (study, code, anchor) VALUES ('SRO', 'baseline', 'enrolment')",
    "INSERT INTO reminder_rules (study, code, moment, days, channel, send_at, useful_hours)"
    " VALUES ('SRO', 'before', 'before_due', 1, 'email', '09:00', 12)",
    "INSERT INTO reminder_templates (study, rule, language, text) VALUES ('SRO', 'before', 'en', 'Come.')",
    "INSERT INTO participants (study, code, site, status, enrolled_on)"
    " SELECT study, 'v-' || site, site, 'enrolled', '2999-01-01' FROM study_sites",
    "INSERT INTO visits (study, participant, code, site, state, due_on, window_from, window_to, anchor,"
    " offset_days, window_before_days, window_after_days)"
    " SELECT study, 'v-' || site, 'baseline', site, 'planned', '2999-01-01', '2999-01-01', '2999-01-01',"
    " 'enrolment', 0, 0, 0 FROM study_sites",
    "INSERT INTO participants (study, code, site)"
    " SELECT study, 'p-' || site, site FROM study_sites UNION ALL SELECT code, 'by-code', NULL FROM studies",
    "INSERT INTO devices (credential, device, site, role, token_sha256, revoked_at)"
    " SELECT site || d.name, d.name, site, d.role, '', d.at FROM study_sites, (VALUES"
    " ('tablet-1', 'tablet', NULL), ('revoked', 'tablet', now()), ('revoked-hub', 'hub', now()))"
    " d (name, role, at)",
    "INSERT INTO batteries (id, version) VALUES ('known-by-id', 1)",
    "INSERT INTO battery_drafts (id, definition) VALUES"
    """ ('in-draft', '{"tasks": [{"task": "stroop"}], "description": ""}')""",
    "INSERT INTO item_bank_drafts (id, definition) VALUES"
    """ ('in-draft', '{"model": "1PL", "items": [], "calibration": {}, "description": ""}')""",
    "INSERT INTO item_banks (id, version, definition)"
    " SELECT 'published', 1, definition FROM item_bank_drafts",
    "INSERT INTO consent_form_drafts (study, id, texts) SELECT code, 'information', '{}' FROM studies",
    "INSERT INTO consent_forms (study, id, version, texts, supersedes)"
    " SELECT code, 'information', 1, '{}', false FROM studies",
    "INSERT INTO consents (site, id, study, participant, signed_at, has_signature, flags, rev)"
    " SELECT site, 'c-' || site, study, 'p-' || site, '2026-01-01', true, '{}', '1-a' FROM study_sites",
    *(
        statement.format(number=number, site=site)
        for site, number in NUMBERS.items()
        for statement in (
            "INSERT INTO users (id, email) VALUES ({number}, '{site}@clinic.example')",
            "INSERT INTO memberships (person, study, site, role)"
            " VALUES ({number}, 'SRO', '{site}', 'read-only')",
            "INSERT INTO enrolment_codes"
            " (id, code_sha256, site, device, role, created_by, expires_at, cancelled_at)"
            " OVERRIDING SYSTEM VALUE VALUES"
            " ({number}, '{site}', '{site}', 'tablet-2', 'tablet', 'somebody', now(), now())",
            "INSERT INTO webhooks (id, url, events, study, secret, created_by) OVERRIDING SYSTEM VALUE"
            " VALUES ({number}, 'https://host.example', '{{}}', 'SRO', '', 'somebody')",
            "INSERT INTO replication_jobs"
            " (id, site, name, kind, direction, url, desired, created_by, updated_by)"
            " OVERRIDING SYSTEM VALUE VALUES ({number}, '{site}', 'up', 'collected', 'push',"
            " 'https://host.example/db', 'cancelled', 'somebody', 'somebody')",
            "INSERT INTO redcap_connections (id, study, site, url, token, created_by)"
            " OVERRIDING SYSTEM VALUE VALUES"
            " ({number}, 'SRO', '{site}', 'https://host.example/api/', '', 'somebody')",
            "INSERT INTO research_files"
            " (id, kind, study, sites, identified, request, state, person, asked_by)"
            " OVERRIDING SYSTEM VALUE VALUES"
            " ({number}, 'export', 'SRO', '{{{site}}}', false, '{{}}', 'expired', 0, 'somebody'),"
            " (3{number}, 'site_report', 'SRO', '{{{site}}}', false, '{{}}', 'expired', 0, 'somebody')",
            "INSERT INTO redcap_projects (project, study) VALUES ('key@{site}', 'SRO')",
            "INSERT INTO redcap_ledger (id, project, study, site, session_id, form, record, state)"
            " OVERRIDING SYSTEM VALUE VALUES"
            " ({number}, 'key@{site}', 'SRO', '{site}', 's-{site}', 'cog', '1', 'retired')",
            "INSERT INTO redcap_pulled (id, project, record, value) OVERRIDING SYSTEM VALUE VALUES"
            " ({number}, 'key@{site}', '1', '{{}}')",
            "INSERT INTO reminders (id, study, participant, visit, rule, channel, occurrence, planned_at,"
            " useful_until, state) OVERRIDING SYSTEM VALUE VALUES ({number}, 'SRO', 'v-{site}', 'baseline',"
            " 'before', 'email', 0, '2026-01-01', '2026-01-02', 'sent')",
            "INSERT INTO outbox (id, kind, key, study, site, payload, payload_sha256, state)"
            " OVERRIDING SYSTEM VALUE VALUES"
            " ({number}, 'publication', '{site}/1', 'SRO', '{site}', 'null', '', 'done'),"
            " (2{number}, 'publication', '{site}/2', NULL, '{site}', 'null', '', 'done')",
        )
    ),
    "INSERT INTO redcap_hosts (host) VALUES ('host.example:443')",
    "INSERT INTO redcap_connections (id, study, url, token, created_by) OVERRIDING SYSTEM VALUE"
    " VALUES (1000, 'SRO', 'https://host.example/api/', '', 'somebody')",
    "INSERT INTO webhooks (id, url, events, secret, created_by) OVERRIDING SYSTEM VALUE"
    " VALUES (1000, 'https://host.example', '{}', '', 'somebody')",
    "INSERT INTO outbox (id, kind, key, study, payload, payload_sha256, state) OVERRIDING SYSTEM VALUE"
    " VALUES (1000, 'mail', 'a', NULL, 'null', '', 'done'), (2000, 'mail', 'b', 'SRO', 'null', '', 'done')",
]
"""Statements that make the world, in order."""


def filled(value: Any, site: str, me: str = "1") -> Any:
    """The value with its placeholders filled in."""
    match value:
        case str():
            told = {"{study}": STUDY, "{site}": site, "{number}": NUMBERS[site], "{me}": me}
            for placeholder, text in told.items():
                value = value.replace(placeholder, text)
            return value
        case list():
            return [filled(each, site, me) for each in value]
        case dict():
            return {filled(name, site, me): filled(each, site, me) for name, each in value.items()}
        case _:
            return value


def may(route: Route, role: Role, place: str, example: Example, site: str) -> bool:
    """What the policy says of this cell, from its tables alone."""
    right = example.right or route.right
    if right == "public" or right == "own account" or right == "device":  # noqa: PLR1714
        return True
    if role not in RIGHTS[right]:
        return False
    scope = Scope((PLACES[place],))
    covered: dict[Reach, bool] = {
        "study and site": scope.covers(STUDY, site),
        "study": scope.covers(STUDY, None),
        "study seen": scope.sees_study(STUDY),
        "site": scope.covers_site(site),
        "everywhere": scope.is_everything,
        "anywhere": True,
    }
    return covered[example.reach]


def is_shown(row: dict[str, Any], route: Route, role: Role, place: str) -> bool:
    """Whether a row of a list may be shown: as far as it says to which study and site it belongs."""
    if route.right == "public" or route.right == "own account" or route.right == "device":  # noqa: PLR1714
        return True
    scope = Scope((PLACES[place],)) if role in RIGHTS[route.right] else Scope(())
    match row.get("study"), row.get("site"):
        case None, None:
            return True
        case None, site:
            return scope.covers_site(str(site))
        case study, None:
            return scope.sees_study(str(study))
        case study, site:
            return scope.covers(str(study), str(site))
