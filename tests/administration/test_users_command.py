"""`sync-server users`: accounts from the command line."""

import json
from pathlib import Path

import psycopg
import pytest

from tests.gateway.processes import invoke


@pytest.fixture
def env(database_url: str, redis_url: str, tmp_path: Path) -> dict[str, str]:
    return {"DATABASE_URL": database_url, "REDIS_URL": redis_url, "DATA_DIR": str(tmp_path), "PORT": "1"}


def test_accounts_are_made_listed_changed_and_closed_with_passwords_told_once(
    env: dict[str, str], database_url: str
) -> None:
    made = invoke("users", "create", "--email", "a@b.example", "--temporary", "--json", env=env)
    root = json.loads(made.out)
    assert (root["role"], len(root["temporary_password"])) == ("admin", 19)
    member = invoke("users", "create", "--email", "m@b.example", "--role", "none", "--temporary", env=env)
    assert "a member" in member.err
    assert len(member.out.strip()) == 19
    both = ("--temporary", "--password", "correct horse battery")
    invoke("users", "create", "--email", "x@b.example", *both, env=env).failed_with("--temporary")

    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO logins (id, person, method, expires_at)"
            " SELECT email, id, 'password', now() + interval '1 day' FROM users"
        )
        reset = json.loads(invoke("users", "reset-password", "--email", "M@b.example", "--json", env=env).out)
        assert reset["temporary_password"] != member.out.strip()
        ended = connection.execute("SELECT id, end_reason FROM logins WHERE ended_at IS NOT NULL").fetchall()
        assert ended == [("m@b.example", "password_reset")]

        invoke("users", "deactivate", "--email", "a@b.example", env=env).failed_with("last admin")
        invoke("users", "role", "--email", "a@b.example", "none", env=env).failed_with("last admin")
        assert invoke("users", "role", "--email", "m@b.example", "admin", env=env).code == 0
        closed = invoke("users", "deactivate", "--email", "a@b.example", "--json", env=env)
        assert json.loads(closed.out)["active"] is False
        invoke("users", "role", "--email", "nobody@b.example", "admin", env=env).failed_with("no account")

        listed = json.loads(invoke("users", "list", "--json", env=env).out)
        assert [(row["email"], row["role"], row["active"]) for row in listed] == [
            ("a@b.example", "admin", False),
            ("m@b.example", "admin", True),
        ]
        assert "a@b.example" in invoke("users", "list", env=env).out
        kept = str(connection.execute("SELECT * FROM audit_log, users").fetchall())
        assert "sync-server users" in kept
        for password in (root["temporary_password"], reset["temporary_password"], member.out.strip()):
            assert password not in kept + str(listed)
