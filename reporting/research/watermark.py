"""Through when a study's data are complete, per site, and what is outstanding."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection


def read_watermark(connection: Connection, study: str, sites: Sequence[str] | None) -> Mapping[str, Any]:  # noqa: ARG001
    """By site. `sites` None: every site of the study."""
    return {}
