"""What proves that a form is ours, and where signing in may lead."""

import pytest

from sync_server.portal.signing_in import own_path
from sync_server.portal.tokens import is_token, new_token
from sync_server.sealing import Sealer

_KEYS = ("A" * 43 + "=", "B" * 43 + "=")


def test_a_token_is_of_one_login_one_form_and_the_known_keys() -> None:
    sealer = Sealer(_KEYS[:1])
    token = new_token(sealer, "login", "form")
    assert token != new_token(sealer, "login", "form")
    assert is_token(sealer, "login", "form", token)
    assert is_token(Sealer(_KEYS[::-1]), "login", "form", token)
    assert not is_token(Sealer(_KEYS[1:]), "login", "form", token)
    assert not is_token(sealer, "other", "form", token)
    assert not is_token(sealer, "login", "other", token)
    for wrong in ("", "x", "é", token[:-4], "A" * len(token), token + "AAAA"):
        assert not is_token(sealer, "login", "form", wrong)


@pytest.mark.parametrize(
    ("asked", "leads_to"),
    [
        ("/portal/sites/lima?page=2", "/portal/sites/lima?page=2"),
        (None, "/portal/"),
        ("", "/portal/"),
        ("https://evil.example/portal/", "/portal/"),
        ("//evil.example/portal/", "/portal/"),
        ("/portal//evil.example", "/portal//evil.example"),
        ("/portal/\\evil.example", "/portal/"),
        ("/portal/../api/auth/me", "/portal/"),
        ("/portal/%2e%2E/api/auth/me", "/portal/"),
        ("/portal/.%2e%5capi", "/portal/"),
        ("/portal/\r\nSet-Cookie: a=b", "/portal/"),
        ("/api/auth/me", "/portal/"),
        ("/portalling", "/portal/"),
        ("/portal/sign-in", "/portal/"),
        ("javascript:alert(1)", "/portal/"),
    ],
)
def test_signing_in_leads_to_pages_of_the_portal_only(asked: str | None, leads_to: str) -> None:
    assert own_path(asked) == leads_to
