"""The schema that migrations make is the schema that the code expects."""

from collections.abc import Iterator

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, text

from migrations.upgrade import upgrade
from reporting.engine import sync_engine
from reporting.tables import metadata

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
                "SELECT has_table_privilege('trials', 'INSERT, DELETE'),"
                " has_table_privilege('trials', 'SELECT'), has_schema_privilege('public', 'CREATE')"
            )
        ).one()
    engine.dispose()
    assert rights == (True, True, False)
