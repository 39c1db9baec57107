"""The schema that migrations make is the schema that the code expects."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import Connection, text

import migrations
from migrations.upgrade import upgrade
from reporting.engine import sync_engine
from reporting.tables import metadata
from sync_server.researchers.bound import FENCED

EVERYTHING = text(
    """
    SELECT table_name, column_name, ordinal_position, data_type, is_nullable, column_default
    FROM information_schema.columns WHERE table_schema = 'public'
    ORDER BY table_name, ordinal_position
    """
)


@pytest.fixture
def owner(owner_database_url: str) -> Iterator[Connection]:
    """The role that owns the schema."""
    engine = sync_engine(owner_database_url)
    with engine.connect() as connection:
        # As whoever migrates does: Postgres changes no column on which a view hangs.
        connection.execute(text("DROP SCHEMA IF EXISTS research, research_rows CASCADE"))
        yield connection
    engine.dispose()


def test_schema_from_migrations_equals_schema_from_metadata(owner: Connection) -> None:
    context = MigrationContext.configure(
        owner, opts={"compare_type": True, "compare_server_default": True, "target_metadata": metadata}
    )
    assert compare_metadata(context, metadata) == []


def test_constraints_and_indexes_from_migrations_equal_those_from_metadata(owner: Connection) -> None:
    # What the comparison above does not look at: checks, key order, treatment of NULL, names.
    definitions = text(
        "SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint"
        " WHERE connamespace = 'public'::regnamespace AND contype <> 'n'"
        " UNION ALL SELECT tablename, indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'"
        " ORDER BY 1, 2, 3"
    )
    migrated = owner.execute(definitions).all()
    for table in FENCED:
        owner.execute(text(f"DROP POLICY research ON {table}"))
    metadata.drop_all(owner)
    metadata.create_all(owner)
    assert owner.execute(definitions).all() == migrated
    assert len(migrated) > 2 * len(metadata.tables)
    owner.rollback()


def test_upgrading_again_changes_nothing(owner: Connection) -> None:
    before = owner.execute(EVERYTHING).all()
    assert before
    upgrade(owner)
    assert owner.execute(EVERYTHING).all() == before


def test_application_role_may_write_results_but_not_change_the_schema(database_url: str) -> None:
    engine = sync_engine(database_url)
    with engine.connect() as connection:
        rights = connection.execute(
            text(
                "SELECT has_table_privilege('trial_rows', 'INSERT, DELETE'),"
                " has_table_privilege('trials', 'SELECT'), has_schema_privilege('public', 'CREATE')"
            )
        ).one()
    engine.dispose()
    assert rights == (True, True, False)


BEFORE_TRIALS_MOVED = "0004"
BEFORE_ADMINISTRATION = "0005"


def _alembic(connection: Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    config.attributes["connection"] = connection
    return config


def test_rows_of_trials_survive_their_move_and_its_undoing(owner: Connection) -> None:
    config = _alembic(owner)
    sent = "'lima', 's1', 'simon', 1, n, 'test', n * 1.5, n > 0, '37', NULL, n, json_build_object('n', n)"
    command.downgrade(config, BEFORE_TRIALS_MOVED)
    owner.execute(text(f"INSERT INTO trials SELECT {sent} FROM generate_series(-70, 70) AS n"))  # noqa: S608
    everything = text("SELECT * FROM trials ORDER BY trial_index")
    before = owner.execute(everything).all()
    command.upgrade(config, "head")
    assert owner.execute(everything).all() == before
    assert owner.execute(text("SELECT part FROM trial_extras ORDER BY part")).scalars().all() == [
        -2,
        -1,
        0,
        1,
    ]
    command.downgrade(config, BEFORE_TRIALS_MOVED)
    assert owner.execute(everything).all() == before
    command.upgrade(config, "head")


def test_trials_without_their_extras_are_read_from_narrow_rows_alone(owner: Connection) -> None:
    plan = owner.execute(text("EXPLAIN SELECT site, session_id, avg(rt_ms) FROM trials GROUP BY 1, 2"))
    assert "trial_extras" not in "".join(plan.scalars())


def test_going_back_before_memberships_keeps_people_who_had_nothing_else_and_shuts_them_out(
    owner: Connection,
) -> None:
    config = _alembic(owner)
    owner.execute(
        text(
            "INSERT INTO users (email, password_hash, role) VALUES ('everywhere', 'h', 'admin'),"
            " ('member', 'h', NULL), ('invited', NULL, 'researcher')"
        )
    )
    command.downgrade(config, BEFORE_ADMINISTRATION)
    people = owner.execute(text("SELECT email, role, active FROM users ORDER BY email")).all()
    assert people == [
        ("everywhere", "admin", True),
        ("invited", "researcher", False),
        ("member", "read-only", False),
    ]
    command.upgrade(config, "head")
