"""Pure: what is done in one contact with the centre, what a failure means, and when the next contact is.

```
status ─▶ site list ─▶ erasures ─▶ journal ─▶ push, pull (go on beside later contacts) ─▶ receipts
```

| a step ends with | the contact | the link |
|---|---|---|
| success | goes on | up |
| away: no answer, 429, 502, 503, 504 | ends | down |
| refused: 401, 403 | ends | down: the hub's credential is not valid any more, or never was |
| rejected: 400, 413, 422 | goes on; what the centre cannot take is left out | up |
| failed: anything else | goes on with the next step | up, with a problem that is shown |

Revocations and erasures come before documents, and the journal before what it names; a backlog of hours does
not hold up the next list of revocations.
"""

import enum
from collections.abc import Mapping
from datetime import datetime
from typing import Final, Literal

import msgspec

LONGEST_WAIT_S: Final = 60.0
LONGEST_WAIT_ROUNDS: Final = 6
FIRST_WAIT_S: Final = 1.0


class Step(enum.Enum):
    """What is done in a contact, in this order."""

    STATUS = "status"
    SITE_LIST = "site list"
    ERASURES = "erasures"
    JOURNAL = "journal"
    PUSH = "push"
    PULL = "pull"
    RECEIPTS = "receipts"


NEWS: Final = (Step.STATUS, Step.SITE_LIST, Step.ERASURES, Step.JOURNAL)
"""Done in a row; replication then goes on in the background."""
REPLICATION: Final = (Step.PUSH, Step.PULL)

Kind = Literal["away", "refused", "rejected", "failed"]


class StepFailure(Exception):
    """A step did not succeed, for this reason."""

    def __init__(self, kind: Kind, why: str) -> None:
        self.kind = kind
        self.why = why
        super().__init__(why)


class LinkState(msgspec.Struct, frozen=True, kw_only=True):
    """`since`: up or down since then. `problems` by step, in words, of the last contact that got so far."""

    since: datetime
    up: bool = False
    failures: int = 0
    last_contact: datetime | None = None
    last_error: str | None = None
    problems: Mapping[str, str] = {}
    clock_offset_s: float | None = None
    """The hub's clock minus the centre's."""


def succeeded(state: LinkState, step: Step) -> LinkState:
    """The step was done: its earlier problem is over."""
    if step.value not in state.problems:
        return state
    problems = {name: why for name, why in state.problems.items() if name != step.value}
    return msgspec.structs.replace(state, problems=problems)


def failed(state: LinkState, step: Step, why: str) -> LinkState:
    """The step failed, the contact goes on."""
    return msgspec.structs.replace(state, problems={**state.problems, step.value: why})


def answered(state: LinkState, at: datetime) -> LinkState:
    """The centre answers: the link is up."""
    since = state.since if state.up else at
    return msgspec.structs.replace(state, up=True, since=since, failures=0, last_contact=at, last_error=None)


def with_clock(state: LinkState, offset_s: float) -> LinkState:
    """How the clocks compare."""
    return msgspec.structs.replace(state, clock_offset_s=offset_s)


def ended(state: LinkState, step: Step, failure: StepFailure, at: datetime) -> LinkState:
    """The contact ended early: the link is down."""
    since = at if state.up else state.since
    why = f"{step.value}: {failure.why}"
    return msgspec.structs.replace(state, up=False, since=since, failures=state.failures + 1, last_error=why)


def ends(failure: StepFailure) -> bool:
    """Whether nothing more can be done in this contact."""
    return failure.kind in ("away", "refused")


def wait_s(state: LinkState, *, every: float, chance: float) -> float:
    """Seconds until the next contact; `chance` from 0 to 1 keeps hubs that lost one centre apart."""
    if state.failures == 0:
        return every
    longest = min(LONGEST_WAIT_S, LONGEST_WAIT_ROUNDS * every)
    return min(longest, FIRST_WAIT_S * 2.0 ** min(state.failures - 1, 20)) * (0.5 + 0.5 * chance)
