"""Settings are read once, and wrong or unsafe ones refuse to boot with a sentence each."""

from pathlib import Path

import pytest

from sync_server.settings import Settings, SettingsError, read_settings

GOOD = {
    "DATABASE_URL": "postgresql://app:secret@127.0.0.1/metricis",
    "REDIS_URL": "unix:///run/valkey.sock",
    "DATA_DIR": "/srv/metricis",
}
PRODUCTION = {**GOOD, "ENVIRONMENT": "production", "JWT_SECRET_KEY": "s" * 32}


def _problems(environ: dict[str, str]) -> list[str]:
    with pytest.raises(SettingsError) as refused:
        read_settings(environ)
    return refused.value.problems


def test_the_defaults_serve_on_loopback_with_their_own_store() -> None:
    settings = read_settings(GOOD)
    assert settings == Settings(
        database_url=GOOD["DATABASE_URL"], redis_url=GOOD["REDIS_URL"], data_dir=Path(GOOD["DATA_DIR"])
    )
    assert settings.feed_url == "http://127.0.0.1:8000/db"


def test_values_are_converted_and_other_variables_ignored() -> None:
    given = {"PORT": "9000", "DEBUG": "true", "ALLOWED_ORIGINS": "https://a.example, https://b.example"}
    settings = read_settings({**GOOD, **given, "PATH": "/bin"})
    assert (settings.port, settings.debug) == (9000, True)
    assert settings.allowed_origins == ("https://a.example", "https://b.example")


def test_every_problem_is_told_at_once() -> None:
    problems = _problems({"PORT": "many", "LOG_LEVEL": "LOUD", "JWT_ALGORITHM": "none"})
    names = ["DATABASE_URL", "DATA_DIR", "JWT_ALGORITHM", "LOG_LEVEL", "PORT", "REDIS_URL"]
    assert sorted(problem.replace("=", " ").split()[0] for problem in problems) == names
    assert all(problem.endswith(".") for problem in problems)


@pytest.mark.parametrize(
    ("environ", "setting"),
    [
        ({**GOOD, "DATABASE_URL": "mysql://x/y"}, "DATABASE_URL"),
        ({**GOOD, "REDIS_URL": "http://x"}, "REDIS_URL"),
        ({**GOOD, "COUCHDB_URL": "couch.example"}, "COUCHDB_URL"),
        ({**GOOD, "ADMIN_EMAIL": "a@b.example"}, "ADMIN_EMAIL"),
        ({**GOOD, "ADMIN_EMAIL": "a@b.example", "ADMIN_PASSWORD": "short"}, "ADMIN_PASSWORD"),
        ({**GOOD, "PORT": "70000"}, "PORT"),
        ({**GOOD, "JWT_SECRET_KEY": "s" * 32, "JWT_ALGORITHM": "HS512"}, "JWT_SECRET_KEY"),
        ({**GOOD, "ENVIRONMENT": "production"}, "JWT_SECRET_KEY"),
        ({**PRODUCTION, "JWT_SECRET_KEY": "short"}, "JWT_SECRET_KEY"),
        ({**PRODUCTION, "DEBUG": "true"}, "DEBUG"),
        ({**PRODUCTION, "ALLOWED_ORIGINS": "*"}, "ALLOWED_ORIGINS"),
    ],
)
def test_an_unsafe_or_wrong_setting_is_refused_by_name(environ: dict[str, str], setting: str) -> None:
    (problem,) = _problems(environ)
    assert problem.startswith(setting)


def test_a_safe_production_boots() -> None:
    assert read_settings(PRODUCTION).environment == "production"


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"SMTP_URL": "http://mail"}, "SMTP_URL must begin with"),
        ({"SMTP_URL": "smtp://u:p/w@mail:25", "MAIL_FROM": "a@b.example"}, "SMTP_URL is no URL"),
        ({"SMTP_URL": "smtp://mail"}, "MAIL_FROM must be set"),
        ({"MAIL_FROM": "nobody"}, "MAIL_FROM must be an address"),
        ({"SESSION_STORAGE_BACKEND": "disk"}, "it is one of memory, redis"),
        ({"REFRESH_TOKEN_EXPIRE_DAYS": "0"}, "REFRESH_TOKEN_EXPIRE_DAYS"),
        ({"RESEARCH_STATEMENT_MINUTES": "0"}, "RESEARCH_STATEMENT_MINUTES"),
        ({"RESEARCH_IDLE_MINUTES": "100000"}, "RESEARCH_IDLE_MINUTES"),
        ({"RESEARCH_STATEMENT_MINUTES": "180"}, "RESEARCH_TRANSACTION_MINUTES must be"),
    ],
    ids=str,
)
def test_settings_of_logins_and_mails_are_checked(given: dict[str, str], problem: str) -> None:
    required = {"DATABASE_URL": "postgresql://x/y", "REDIS_URL": "redis://x", "DATA_DIR": "."}
    with pytest.raises(SettingsError, match=problem):
        read_settings({**required, **given})
