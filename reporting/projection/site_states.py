"""A site's state, folded from how its turns ended. Pure.

```
                 first turn, or read from the start again
   (no state) ──▶ initializing ──────────▶ running         the feed's end is reached
                      ▲  │                  ▲  │
                      │  ▼ a turn fails     │  ▼
                  backing_off ◀── outage · defect ──▶ error
```

| a turn ended | state after it | failures |
|---|---|---|
| well, the reading from the start goes on | `initializing` | 0 |
| well, else | `running` | 0 |
| with an outage: the site database, or Postgres, is away or slow | `backing_off` | one more |
| with a defect or a refusal: waiting mends nothing | `error` | one more |
| dropped, because another projector went on: the first in a row | as before | 0 |
| dropped again | `backing_off` | one more |

A failing site is tried again whatever its state: `error` says that a person should look.
"""

from enum import StrEnum
from typing import NamedTuple

LONGEST_ERROR = 1000
"""Characters of a failure's text that are kept."""


class SiteState(StrEnum):
    """As `site_states.state` and the API say it."""

    INITIALIZING = "initializing"
    RUNNING = "running"
    BACKING_OFF = "backing_off"
    ERROR = "error"


class Failing(StrEnum):
    """How a turn failed."""

    OUTAGE = "outage"
    DEFECT = "defect"
    DROPPED = "dropped"


class Standing(NamedTuple):
    """A site's state, and what it is in it for."""

    state: SiteState
    failures: int = 0
    """In a row."""
    error: str | None = None
    next_try_s: float | None = None
    """Seconds from the last failure to the next try."""


def after_success(*, rereading: bool) -> Standing:
    """The standing after a turn that ended well."""
    return Standing(SiteState.INITIALIZING if rereading else SiteState.RUNNING)


def after_failure(
    before: Standing | None, failing: Failing, *, error: str, failures: int, next_try_s: float
) -> Standing:
    """The standing after the last of so many failures in a row."""
    if failing is Failing.DROPPED and failures == 1:
        return before or Standing(SiteState.INITIALIZING)
    state = SiteState.ERROR if failing is Failing.DEFECT else SiteState.BACKING_OFF
    return Standing(state, failures, _shown(error), next_try_s)


def _shown(error: str) -> str:
    """As a text column holds it, also where the failure quotes what no text column can."""
    return error.encode("utf-8", "replace").decode().replace("\x00", "\ufffd")[:LONGEST_ERROR]
