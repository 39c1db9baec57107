"""`sync-server migrate` on a Postgres that somebody else runs."""

import psycopg
import pytest
from click.testing import CliRunner
from psycopg import sql

from sync_server.cli import main
from tests.embedded.supervised import SupervisedSystem


def test_an_empty_database_gets_the_schema_and_the_service_role_its_rights(
    postgres_server: SupervisedSystem,
) -> None:
    with psycopg.connect(postgres_server.superuser_url, autocommit=True) as admin:
        admin.execute("CREATE DATABASE bare OWNER metricis_owner TEMPLATE template0")
        try:
            url = postgres_server.owner_url.rsplit("/", 1)[0] + "/bare"
            for _ in range(2):
                arguments = ["migrate", "--database-url", url, "--grant-to", "metricis_app"]
                assert CliRunner().invoke(main, arguments).exit_code == 0
            _check_rights(postgres_server.database_url.rsplit("/", 1)[0] + "/bare")
        finally:
            admin.execute(sql.SQL("DROP DATABASE bare WITH (FORCE)"))


def _check_rights(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as service:
        service.execute("INSERT INTO studies (code) VALUES ('SRO')")
        service.execute("INSERT INTO users (email, password_hash, role) VALUES ('a@b.example', 'x', 'admin')")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            service.execute("DELETE FROM alembic_version")


def test_a_postgres_that_is_away_ends_with_a_sentence() -> None:
    result = CliRunner().invoke(main, ["migrate", "--database-url", "postgresql://x@127.0.0.1:1/none"])
    assert result.exit_code == 1
    assert "Postgres cannot be reached" in result.output
