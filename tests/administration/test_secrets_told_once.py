"""Answers with a secret are told once: the same Idempotency-Key again is 409, and nothing is done again."""

import json
import re

import pytest

from sync_server.api.routes import API_ROUTES
from tests.administration.office import Office

SECRETS = re.compile(r"^(secret|temporary_password|token|qr_text)$")

CALLS: dict[str, object] = {
    "/api/auth/totp": None,
    "/api/users": {"email": "new@clinic.example"},
    "/api/users/invite": {"email": "invited@clinic.example", "role": "read-only"},
    "/api/sync/enrolments": {"site": "lima", "device": "tablet-1"},
    "/api/webhooks": {"url": "https://192.0.2.1/hook", "events": ["site.created"]},
    "/api/webhooks/{id}/rotate-secret": None,
}
"""Every route with secrets that heeds the key, and what it is sent."""


def test_every_route_that_tells_a_secret_says_so() -> None:
    heeding = [route for route in API_ROUTES if route.heeds_key]
    telling = {
        route.path
        for route in heeding
        if any(SECRETS.match(name) for name in getattr(route.answer, "__struct_fields__", ()))
    }
    assert telling == CALLS.keys()
    assert {route.path for route in heeding if route.secret} == CALLS.keys()


async def test_secret_is_told_to_the_first_request_only(office: Office) -> None:
    office.study("SRO", "lima")
    admin = office.as_("admin")
    office.rows(
        "INSERT INTO webhooks (id, url, events, secret, created_by) OVERRIDING SYSTEM VALUE"
        " VALUES (1000, 'https://192.0.2.1', '{}', '', 'somebody')"
    )
    for path, body in CALLS.items():
        target = path.replace("{id}", "1000")
        first = await admin.post(target, body, Idempotency_Key=target, If_Match="*")
        assert first.status in (200, 201), (path, first.body)
        again = await admin.post(target, body, Idempotency_Key=target, If_Match="*")
        assert again.error == (409, "not_possible"), (path, again.body)
        assert "told once" in json.dumps(again.body)
    assert office.rows("SELECT count(*), count(answer) FROM idempotency_keys") == [(len(CALLS), 0)]
    assert office.rows("SELECT row_version FROM webhooks WHERE id = 1000") == [(2,)]


@pytest.mark.parametrize("path", ["/api/sync/enrol", "/api/auth/login", "/api/auth/totp/confirm"])
def test_other_routes_with_secrets_heed_no_key(path: str) -> None:
    assert not any(route.heeds_key for route in API_ROUTES if route.path == path)
