"""An example of every route of study administration, for the matrix."""

from tests.administration.example import Example

_ONE = {"study": "{study}", "code": "p-{site}"}
_FORM = {"study": "{study}", "form": "information"}
_BATTERY = {"study": "{study}", "battery": "known-by-id", "version": "1"}
_DEVICE = {"site": "{site}", "device": "tablet-1"}
_PARTICIPANT = {"study": "{study}", "participant": "p-{site}"}

PEOPLE: dict[tuple[str, str], Example] = {
    ("POST", "/api/auth/logout"): Example(),
    ("POST", "/api/auth/change-password"): Example(body={}),
    ("POST", "/api/auth/totp"): Example(),
    ("POST", "/api/auth/totp/confirm"): Example(body={"code": "no code"}),
    ("DELETE", "/api/auth/totp"): Example(body={}),
    ("GET", "/api/user-sessions"): Example(),
    ("DELETE", "/api/user-sessions"): Example(),
    ("DELETE", "/api/user-sessions/{login}"): Example(path={"login": "none"}, may_be_missing=True),
    ("GET", "/api/users"): Example(),
    ("POST", "/api/users"): Example(reach="everywhere", body={"email": "no address"}),
    ("POST", "/api/users/invite"): Example(
        reach="study and site",
        body={
            "email": "no address",
            "memberships": [{"study": "{study}", "site": "{site}", "role": "read-only"}],
        },
    ),
    ("GET", "/api/users/{person}"): Example(reach="study and site", path={"person": "{number}"}),
    # Their own account may be changed by everybody, with the version that they have seen.
    ("PATCH", "/api/users/{person}"): Example(path={"person": "{me}"}, body={"name": "another"}),
    # The only admin everywhere in this world cannot be done without.
    ("POST", "/api/users/{person}/deactivate"): Example(reach="everywhere", path={"person": "{me}"}),
    ("POST", "/api/users/{person}/activate"): Example(reach="everywhere", path={"person": "{me}"}),
    ("PUT", "/api/users/{person}/memberships"): Example(
        reach="study and site",
        path={"person": "{number}"},
        body={"study": "{study}", "site": "{site}", "role": "read-only"},
    ),
    ("DELETE", "/api/users/{person}/memberships"): Example(
        reach="study", path={"person": "{number}"}, body={"study": "{study}"}, may_be_missing=True
    ),
}

STUDIES: dict[tuple[str, str], Example] = {
    ("GET", "/api/studies"): Example(),
    ("POST", "/api/studies"): Example(reach="everywhere", body={"code": "{study}"}),
    ("GET", "/api/studies/{study}"): Example(reach="study seen", path={"study": "{study}"}),
    ("PATCH", "/api/studies/{study}"): Example(reach="study", path={"study": "{study}"}, body={}),
    ("GET", "/api/research/statistics"): Example(reach="study seen", query={"study": "{study}"}),
    ("GET", "/api/research/statistics/{score}"): Example(
        reach="study seen", path={"score": "stroop_acc"}, query={"study": "{study}"}
    ),
    ("GET", "/api/research/statistics/{score}/retest"): Example(
        reach="study and site",
        path={"score": "stroop_acc"},
        query={"study": "{study}", "sites": "{site}", "first": "baseline", "second": "retest"},
    ),
    ("GET", "/api/research/statistics/{score}/participants/{participant}"): Example(
        reach="study and site",
        path={"score": "stroop_acc", "participant": "p1"},
        query={"study": "{study}", "sites": "{site}"},
        may_be_missing=True,
    ),
    ("GET", "/api/studies/{study}/research-policy"): Example(reach="study seen", path={"study": "{study}"}),
    ("PUT", "/api/studies/{study}/research-policy"): Example(
        reach="study", path={"study": "{study}"}, body={"participants": "code", "dates": "actual"}
    ),
    ("PUT", "/api/studies/{study}/sites/{site}"): Example(
        reach="study", path={"study": "{study}", "site": "{site}"}
    ),
    ("DELETE", "/api/studies/{study}/sites/{site}"): Example(
        reach="study", path={"study": "{study}", "site": "{site}"}, body={"reason": "why"}
    ),
    ("PUT", "/api/studies/{study}/batteries/{battery}/{version}"): Example(reach="study", path=_BATTERY),
    ("DELETE", "/api/studies/{study}/batteries/{battery}/{version}"): Example(
        reach="study", path=_BATTERY, may_be_missing=True
    ),
    ("POST", "/api/sites"): Example(reach="everywhere", body={"code": "{site}"}),
    ("PATCH", "/api/sites/{site}"): Example(reach="everywhere", path={"site": "{site}"}, body={}),
    ("POST", "/api/sites/{site}/archive"): Example(
        reach="everywhere", path={"site": "{site}"}, body={"reason": "why"}
    ),
    ("POST", "/api/sites/{site}/reopen"): Example(
        reach="everywhere", path={"site": "{site}"}, body={"reason": "why"}
    ),
    ("GET", "/api/modules"): Example(),
    ("POST", "/api/modules"): Example(body={"id": "stroop", "parameters": {"type": "object"}}),
    ("GET", "/api/modules/{id}"): Example(path={"id": "stroop"}),
    ("PATCH", "/api/modules/{id}"): Example(path={"id": "stroop"}, body={}),
    ("DELETE", "/api/modules/{id}"): Example(path={"id": "stroop"}),
    ("GET", "/api/batteries"): Example(),
    ("GET", "/api/batteries/{id}"): Example(path={"id": "known-by-id"}),
    ("GET", "/api/batteries/{id}/draft"): Example(path={"id": "in-draft"}),
    ("PUT", "/api/batteries/{id}/draft"): Example(
        path={"id": "in-draft"}, body={"definition": {"tasks": [{"task": "stroop"}]}}
    ),
    ("DELETE", "/api/batteries/{id}/draft"): Example(path={"id": "in-draft"}),
    ("POST", "/api/batteries/{id}/publish"): Example(path={"id": "in-draft"}),
    ("GET", "/api/batteries/{id}/{version}"): Example(path={"id": "known-by-id", "version": "1"}),
    ("GET", "/api/item-banks"): Example(),
    ("GET", "/api/item-banks/{id}"): Example(path={"id": "in-draft"}),
    ("GET", "/api/item-banks/{id}/draft"): Example(path={"id": "in-draft"}),
    ("PUT", "/api/item-banks/{id}/draft"): Example(path={"id": "in-draft"}, body={}),
    ("DELETE", "/api/item-banks/{id}/draft"): Example(path={"id": "in-draft"}),
    ("POST", "/api/item-banks/{id}/publish"): Example(path={"id": "in-draft"}),
    ("GET", "/api/item-banks/{id}/{version}"): Example(path={"id": "published", "version": "1"}),
    ("GET", "/api/templates"): Example(),
    ("GET", "/api/templates/{id}"): Example(path={"id": "cognitive-screening"}),
}

PARTICIPANTS: dict[tuple[str, str], Example] = {
    ("GET", "/api/participants"): Example(),
    ("POST", "/api/participants"): Example(
        reach="study and site", body={"study": "{study}", "code": "p-{site}", "site": "{site}"}
    ),
    ("POST", "/api/participants/import"): Example(
        reach="study seen", query={"study": "{study}", "dry_run": "true"}, text="code,site\np-{site},{site}\n"
    ),
    ("GET", "/api/participants/export"): Example(reach="study seen", query={"study": "{study}"}),
    ("GET", "/api/participants/{study}/{code}"): Example(reach="study and site", path=_ONE),
    ("PATCH", "/api/participants/{study}/{code}"): Example(reach="study and site", path=_ONE, body={}),
    ("GET", "/api/erasures"): Example(),
    # A reason that names the participant.
    ("POST", "/api/participants/{study}/{code}/erasure"): Example(
        reach="study and site", path=_ONE, body={"reason": "p-{site} asked for it"}
    ),
    ("GET", "/api/participants/{study}/{code}/erasure/{id}"): Example(
        reach="study and site", path={**_ONE, "id": "1"}, may_be_missing=True
    ),
    ("POST", "/api/participants/{study}/{code}/erasure/{id}/confirm"): Example(
        reach="study and site", path={**_ONE, "id": "1"}, may_be_missing=True
    ),
    ("POST", "/api/participants/{study}/{code}/erasure/{id}/cancel"): Example(
        reach="study and site", path={**_ONE, "id": "1"}, may_be_missing=True
    ),
    ("GET", "/api/consent/forms"): Example(),
    ("GET", "/api/consent/forms/{study}/{form}"): Example(reach="study seen", path=_FORM),
    ("PUT", "/api/consent/forms/{study}/{form}"): Example(
        reach="study", path=_FORM, body={"title": "Information", "texts": {}}
    ),
    # A form without a text.
    ("POST", "/api/consent/forms/{study}/{form}/publish"): Example(
        reach="study", path=_FORM, body={"supersedes": False}
    ),
    ("GET", "/api/consent/forms/{study}/{form}/versions"): Example(reach="study seen", path=_FORM),
    ("GET", "/api/consent/forms/{study}/{form}/versions/{version}"): Example(
        reach="study seen", path={**_FORM, "version": "1"}
    ),
    ("GET", "/api/consent/participants"): Example(),
    ("GET", "/api/consent/signature/{site}/{id}"): Example(
        reach="study and site", path={"site": "{site}", "id": "c-{site}"}, may_be_missing=True
    ),
    ("GET", "/api/consent/{study}/{participant}"): Example(reach="study and site", path=_PARTICIPANT),
    ("POST", "/api/consent/{study}/{participant}/withdraw"): Example(
        reach="study and site", path=_PARTICIPANT, body={"reason": "why", "form": "none"}
    ),
}

COLLECTING: dict[tuple[str, str], Example] = {
    ("POST", "/api/session/start"): Example(
        reach="study and site",
        # No year in which anything was started.
        body={
            "study": "{study}",
            "participant": "p-{site}",
            "site": "{site}",
            "started_at": "1899-12-31T00:00:00Z",
        },
    ),
    ("POST", "/api/submit"): Example(
        reach="study and site",
        body={
            "site": "{site}",
            "session": "not-started",
            "task_run": {"task": "stroop", "run": 1, "trials": []},
        },
        may_be_missing=True,
    ),
    ("POST", "/api/session/end"): Example(
        reach="study and site", body={"site": "{site}", "session": "not-started"}, may_be_missing=True
    ),
    ("GET", "/api/session/{site}/{session}"): Example(
        reach="study and site", path={"site": "{site}", "session": "not-started"}, may_be_missing=True
    ),
    ("GET", "/api/sync/devices"): Example(),
    ("GET", "/api/sync/devices/{site}/{device}"): Example(reach="site", path=_DEVICE),
    ("PATCH", "/api/sync/devices/{site}/{device}"): Example(reach="site", path=_DEVICE, body={}),
    ("POST", "/api/sync/devices/{site}/{device}/revoke"): Example(
        reach="site", path={**_DEVICE, "device": "revoked"}, body={"reason": "why"}
    ),
    ("POST", "/api/sync/devices/{site}/{device}/wiped"): Example(
        reach="site", path={**_DEVICE, "device": "revoked-hub"}, body={"reason": "shredded"}
    ),
    ("GET", "/api/sync/devices/{site}/{device}/refused"): Example(reach="site", path=_DEVICE),
    ("GET", "/api/sync/receipts/{site}"): Example(
        reach="site", path={"site": "{site}"}, query={"document": "session:none"}, may_be_missing=True
    ),
    ("GET", "/api/sync/enrolments"): Example(),
    ("POST", "/api/sync/enrolments"): Example(reach="site", body={"site": "{site}", "device": "tablet-9"}),
    # A code that was cancelled.
    ("DELETE", "/api/sync/enrolments/{id}"): Example(reach="site", path={"id": "{number}"}),
}

OPERATIONS: dict[tuple[str, str], Example] = {
    ("GET", "/api/webhooks"): Example(),
    ("POST", "/api/webhooks"): Example(
        reach="study", body={"study": "{study}", "url": "ftp://host.example", "events": ["site.created"]}
    ),
    ("GET", "/api/webhooks/{id}"): Example(reach="study", path={"id": "{number}"}),
    ("PATCH", "/api/webhooks/{id}"): Example(reach="study", path={"id": "{number}"}, body={}),
    ("DELETE", "/api/webhooks/{id}"): Example(reach="study", path={"id": "{number}"}),
    ("POST", "/api/webhooks/{id}/rotate-secret"): Example(reach="study", path={"id": "{number}"}),
    ("POST", "/api/webhooks/{id}/test"): Example(reach="study", path={"id": "{number}"}),
    ("GET", "/api/webhooks/{id}/deliveries"): Example(reach="study", path={"id": "{number}"}),
    ("GET", "/api/jobs"): Example(),
    ("GET", "/api/jobs/{id}"): Example(reach="study and site", path={"id": "{number}"}),
    # Jobs that are done.
    ("POST", "/api/jobs/{id}/retry"): Example(reach="study and site", path={"id": "{number}"}),
    ("POST", "/api/jobs/{id}/discard"): Example(
        reach="study and site", path={"id": "{number}"}, body={"reason": "why"}
    ),
    ("GET", "/api/replication/jobs"): Example(),
    ("POST", "/api/replication/jobs"): Example(
        reach="site", body={"site": "{site}", "name": "up", "kind": "collected", "url": "ftp://host.example"}
    ),
    ("GET", "/api/replication/jobs/{id}"): Example(reach="site", path={"id": "{number}"}),
    ("PATCH", "/api/replication/jobs/{id}"): Example(reach="site", path={"id": "{number}"}, body={}),
    ("DELETE", "/api/replication/jobs/{id}"): Example(reach="site", path={"id": "{number}"}),
    # Jobs that are cancelled.
    ("POST", "/api/replication/jobs/{id}/pause"): Example(reach="site", path={"id": "{number}"}),
    ("POST", "/api/replication/jobs/{id}/resume"): Example(reach="site", path={"id": "{number}"}),
    ("POST", "/api/replication/jobs/{id}/retry"): Example(reach="site", path={"id": "{number}"}),
    ("POST", "/api/replication/jobs/{id}/restart"): Example(
        reach="site", path={"id": "{number}"}, body={"reason": "why"}
    ),
}

_RULE = {"study": "{study}", "code": "before"}
_TEMPLATE = {"study": "{study}", "rule": "before", "language": "en"}
_OPT_OUT = {"study": "{study}", "participant": "p-{site}", "channel": "email"}
_REMINDERS = "/api/schedules/reminders/{study}"

REMINDERS: dict[tuple[str, str], Example] = {
    ("GET", "/api/schedules/reminders"): Example(),
    # One that was sent.
    ("POST", "/api/schedules/reminders/{id}/cancel"): Example(
        reach="study and site", path={"id": "{number}"}, body={"reason": "why"}
    ),
    ("GET", f"{_REMINDERS}/rules"): Example(reach="study seen", path={"study": "{study}"}),
    ("PUT", f"{_REMINDERS}/rules/{{code}}"): Example(
        reach="study", path=_RULE, body={"moment": "before_due", "days": 1}
    ),
    ("DELETE", f"{_REMINDERS}/rules/{{code}}"): Example(reach="study", path=_RULE, body={"reason": "why"}),
    ("GET", f"{_REMINDERS}/settings"): Example(reach="study seen", path={"study": "{study}"}),
    ("PUT", f"{_REMINDERS}/settings"): Example(reach="study", path={"study": "{study}"}, body={}),
    ("PUT", f"{_REMINDERS}/gateway"): Example(
        reach="study", path={"study": "{study}"}, body={"url": "ftp://host.example"}
    ),
    ("DELETE", f"{_REMINDERS}/gateway"): Example(reach="study", path={"study": "{study}"}),
    ("GET", f"{_REMINDERS}/templates"): Example(reach="study seen", path={"study": "{study}"}),
    ("PUT", f"{_REMINDERS}/templates/{{rule}}/{{language}}"): Example(
        reach="study", path=_TEMPLATE, body={"text": "Come."}
    ),
    ("DELETE", f"{_REMINDERS}/templates/{{rule}}/{{language}}"): Example(reach="study", path=_TEMPLATE),
    ("GET", f"{_REMINDERS}/opt-outs"): Example(reach="study seen", path={"study": "{study}"}),
    # A channel that there is not.
    ("PUT", f"{_REMINDERS}/opt-outs/{{participant}}/{{channel}}"): Example(
        reach="study and site", path={**_OPT_OUT, "channel": "pigeon"}
    ),
    ("DELETE", f"{_REMINDERS}/opt-outs/{{participant}}/{{channel}}"): Example(
        reach="study and site", path=_OPT_OUT, body={"reason": "why"}, may_be_missing=True
    ),
    ("GET", f"{_REMINDERS}/preview"): Example(
        reach="study seen", path={"study": "{study}"}, query={"due_on": "2026-05-10"}
    ),
    ("POST", f"{_REMINDERS}/test"): Example(
        reach="study", path={"study": "{study}"}, body={"rule": "before"}
    ),
}

ADMINISTRATION: dict[tuple[str, str], Example] = {
    **PEOPLE,
    **STUDIES,
    **PARTICIPANTS,
    **COLLECTING,
    **OPERATIONS,
    **REMINDERS,
}

FURTHER: list[tuple[tuple[str, str], Example]] = [
    # Accounts of others.
    (
        ("PATCH", "/api/users/{person}"),
        Example(right="users.manage", reach="everywhere", path={"person": "{number}"}, body={"name": "x"}),
    ),
    (
        ("PATCH", "/api/users/{person}"),
        Example(right="users.manage", reach="everywhere", path={"person": "{me}"}, body={"role": "admin"}),
    ),
    (
        ("GET", "/api/user-sessions"),
        Example(right="users.manage", reach="everywhere", query={"person": "{number}"}),
    ),
    (
        ("DELETE", "/api/user-sessions"),
        Example(right="users.manage", reach="everywhere", query={"person": "{number}"}),
    ),
    (("POST", "/api/users/invite"), Example(reach="everywhere", body={"email": "no address"})),
    (
        ("POST", "/api/users/invite"),
        Example(
            reach="study",
            body={"email": "no address", "memberships": [{"study": "{study}", "role": "read-only"}]},
        ),
    ),
    (("GET", "/api/users"), Example(reach="study seen", query={"study": "{study}"})),
    # Webhooks of all studies.
    (
        ("POST", "/api/webhooks"),
        Example(reach="everywhere", body={"url": "ftp://host.example", "events": ["site.created"]}),
    ),
    (("GET", "/api/webhooks/{id}"), Example(reach="everywhere", path={"id": "1000"})),
    # Jobs of a study, of a site, of neither.
    (("GET", "/api/jobs/{id}"), Example(reach="study", path={"id": "2000"})),
    (("GET", "/api/jobs/{id}"), Example(reach="site", path={"id": "2{number}"})),
    (("GET", "/api/jobs/{id}"), Example(reach="everywhere", path={"id": "1000"})),
    # Contacts.
    (
        ("GET", "/api/participants/{study}/{code}"),
        Example(right="participants.contact", reach="study and site", path=_ONE, query={"contact": "true"}),
    ),
    (
        ("GET", "/api/participants/export"),
        Example(
            right="participants.contact", reach="study seen", query={"study": "{study}", "contact": "true"}
        ),
    ),
    # A participant who was never seen at a site.
    (
        ("GET", "/api/participants/{study}/{code}"),
        Example(reach="study", path={"study": "{study}", "code": "by-code"}),
    ),
    (
        ("PATCH", "/api/participants/{study}/{code}"),
        Example(reach="study", path={"study": "{study}", "code": "by-code"}, body={}),
    ),
    # What a participant would be sent.
    (
        ("GET", f"{_REMINDERS}/preview"),
        Example(reach="study and site", path={"study": "{study}"}, query={"participant": "v-{site}"}),
    ),
    # Lists of one study or site.
    (("GET", "/api/audit"), Example(query={"study": "{study}"})),
    (("GET", "/api/jobs"), Example(query={"study": "{study}", "site": "{site}"})),
]
"""Further calls of the same routes: what they take depends on what they ask for."""
