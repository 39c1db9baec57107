"""Who may call what, cell by cell: the world that the matrix is walked in, and an example of every route.

A route added to the API needs one line in EXAMPLES. Choose what is refused *after* the right was asked for
(no If-Match, a member that contradicts another), so that a cell that may call changes nothing.
"""

from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from reporting.scope import Part, Scope
from sync_server.api.route import Route
from sync_server.identity.access_tokens import Role
from sync_server.policy import RIGHTS

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

Reach = Literal["study and site", "study", "study seen", "site", "everywhere", "anywhere"]
"""What the right is asked for on:

| reach | on |
|---|---|
| study and site | what belongs to both: a session, a participant, a visit |
| study | a study as a whole, to change it |
| study seen | a study, to read it |
| site | what belongs to a site and no study: a tablet, a quarantined document |
| everywhere | nothing less than everything |
| anywhere | nothing in particular: lists show what is in the scope, and own accounts |
"""


class Example(msgspec.Struct, frozen=True, kw_only=True):
    """A call of a route. `{study}` and `{site}` in path parts, query and body are filled in."""

    reach: Reach = "anywhere"
    path: Mapping[str, str] = {}
    query: Mapping[str, str] = {}
    body: Any = None
    may_be_missing: bool = False
    """Also who has the right is told 404: there is none of it in this world."""


EXAMPLES: dict[tuple[str, str], Example] = {
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
    ("GET", "/api/dashboard"): Example(),
    ("GET", "/api/dashboard/{study}"): Example(reach="study seen", path={"study": "{study}"}),
}

WORLD: list[str] = [
    "INSERT INTO studies (code, title) VALUES ('SRO', 'SRO'), ('ABC', 'ABC')",
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
    "INSERT INTO participants (study, code, site, status, enrolled_on)"
    " SELECT study, 'v-' || site, site, 'enrolled', '2999-01-01' FROM study_sites",
    "INSERT INTO visits (study, participant, code, site, state, due_on, window_from, window_to, anchor,"
    " offset_days, window_before_days, window_after_days)"
    " SELECT study, 'v-' || site, 'baseline', site, 'planned', '2999-01-01', '2999-01-01', '2999-01-01',"
    " 'enrolment', 0, 0, 0 FROM study_sites",
]
"""Statements that make the world, in order."""


def filled(value: Any, site: str) -> Any:
    """The value with its placeholders filled in."""
    match value:
        case str():
            return value.replace("{study}", STUDY).replace("{site}", site)
        case list():
            return [filled(each, site) for each in value]
        case dict():
            return {filled(name, site): filled(each, site) for name, each in value.items()}
        case _:
            return value


def may(route: Route, role: Role, place: str, reach: Reach, site: str) -> bool:
    """What the policy says of this cell, from its tables alone."""
    if route.right == "public" or route.right == "own account" or route.right == "device":  # noqa: PLR1714
        return True
    if role not in RIGHTS[route.right]:
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
    return covered[reach]
