"""Roles of research access in Postgres."""

from typing import Final

ROWS_OWNER: Final = "metricis_research_rows"
"""Owns the inner views; the only role for which row-level security has policies."""
OWNER: Final = "metricis_research"
"""Owns the datasets."""
READERS: Final = "metricis_researchers"
"""What every researcher's login is a member of; may read the datasets and nothing else."""
