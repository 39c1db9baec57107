"""Where a service is found by its own machine, and where it may listen with what secret."""

import pytest

from sync_server.settings import SettingsError, own_base_url, read_settings

GOOD = {"DATABASE_URL": "postgresql://x@127.0.0.1/x", "REDIS_URL": "redis://127.0.0.1", "DATA_DIR": "/none"}


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:8000"),
        ("localhost", "http://localhost:8000"),
        ("0.0.0.0", "http://127.0.0.1:8000"),  # noqa: S104 (nothing is bound)
        ("::1", "http://[::1]:8000"),
        ("::", "http://[::1]:8000"),
        ("fd00::7", "http://[fd00::7]:8000"),
        ("sync.example", "http://sync.example:8000"),
    ],
)
def test_every_address_to_listen_on_has_one_to_call(host: str, url: str) -> None:
    assert own_base_url(host, 8000) == url
    assert read_settings({**GOOD, "HOST": host, "JWT_SECRET_KEY": "s" * 32}).feed_url == f"{url}/db"


def test_the_secret_of_the_source_code_is_for_this_machine_alone() -> None:
    for host in ("127.0.0.1", "::1", "localhost"):
        assert read_settings({**GOOD, "HOST": host}).host == host
    for host in ("0.0.0.0", "::", "10.0.0.7", "sync.example"):  # noqa: S104 (nothing is bound)
        with pytest.raises(SettingsError, match="JWT_SECRET_KEY must be set"):
            read_settings({**GOOD, "HOST": host})


@pytest.mark.parametrize(
    ("name", "url"),
    [
        ("DATABASE_URL", "postgresql://x:p@h:port/x"),
        ("DATABASE_URL", "postgresql://x:pass/word@h/x"),
        ("DATABASE_URL", "postgresql://[x/d"),
        ("REDIS_URL", "redis://h:99999"),
        ("STORE_URL", "http://h:x/db"),
    ],
)
def test_a_url_that_no_client_could_read_is_refused_without_being_shown(name: str, url: str) -> None:
    with pytest.raises(SettingsError) as told:
        read_settings({**GOOD, name: url})
    (problem,) = told.value.problems
    assert problem.startswith(f"{name} is no URL")
    assert url not in problem
