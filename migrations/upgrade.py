"""Bring a database to the newest schema, from Python rather than from Alembic's command line."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection

# Held while migrating, so that two services starting together run the migrations once.
MIGRATION_LOCK = 7_310_248_114


def upgrade(connection: Connection) -> None:
    """Run every pending migration on `connection` (a transaction is open; the caller commits)."""
    connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({MIGRATION_LOCK})")
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
