"""Alembic migrations. Files in `versions/` import no application code: they are history."""
