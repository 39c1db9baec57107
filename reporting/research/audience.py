"""Who a dataset is made for: that decides what fences its rows, and how they are de-identified.

| audience | rows | de-identified |
|---|---|---|
| `LOGIN` | what `current_user` has a grant for | unless the grant is of identified data |
| `DEIDENTIFIED` | of one study, or its sites: the service asks who calls | as the study's policy says |
| `IDENTIFIED` | likewise | no |
"""

from enum import StrEnum
from typing import NamedTuple


class Audience(StrEnum):
    """See the module."""

    LOGIN = "login"
    DEIDENTIFIED = "deidentified"
    IDENTIFIED = "identified"


class Wanted(NamedTuple):
    """What the service asks for. `sites` None: all sites, and what belongs to none yet."""

    study: str
    sites: tuple[str, ...] | None = None
