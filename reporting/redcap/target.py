"""What a session has to be in REDCap: a row of strings at an address. Pure values."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

import msgspec


class SessionFacts(msgspec.Struct, frozen=True, kw_only=True):
    """All that a mapping may read of a session and its participant, as rows have it. Times are aware, UTC.

    `scores` by (task, run, name), `tasks` by (task, run) to (status, number of trials); `flags` are codes.
    `columns` has the session's row by column, and the roster's as `participant.<column>`; what is not in it
    is null.
    """

    site: str
    id: str
    study: str
    participant: str
    redcap_id: str | None
    visit: str | None
    status: str
    timezone: str
    columns: Mapping[str, Any]
    scores: Mapping[tuple[str, int, str], float | None]
    tasks: Mapping[tuple[str, int], tuple[str | None, int]]
    flags: frozenset[str]
    started_at: datetime
    ended_at: datetime | None

    @property
    def uid(self) -> str:
        """What the key field holds: the same whatever becomes of the session."""
        return f"{self.site}/{self.id}"


class Address(NamedTuple):
    """Where a session goes; `event` empty in classic projects."""

    record: str
    event: str
    form: str


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """Values by field (checkbox choices as `field___code`), all strings as REDCap has them. `repeat`: none,
    instrument or event. `key_field` None where the form does not repeat.
    """

    address: Address
    repeat: str
    key_field: str | None
    values: Mapping[str, str]


class Unmapped(msgspec.Struct, frozen=True, kw_only=True):
    """Why a session cannot be written as its mapping says; it is parked with this. `path` in the mapping,
    `form` where it would have gone.
    """

    path: str
    message: str
    form: str = ""


class NotWanted(msgspec.Struct, frozen=True, kw_only=True):
    """No instrument of the mapping takes this session now (another battery, still in progress, no record yet:
    `waits`). `form` is the one it does not go to.
    """

    why: str
    waits: bool = False
    form: str = ""
