"""A batch of one project: what is pushed, and what has come of it so far.

An `Item` is one row of the ledger on its way; an entry of the outbox is a session, which may have several.
What becomes of an entry follows from its items:

| among its items is | outcome of the entry |
|---|---|
| one that could not be tried now, or not to its end | the one that was told for it: postponed, or failed |
| one that a person has to look at | given up, with the reasons; the session's next change tries again |
| else | done, or what was said of it (nothing wanted) |
"""

import math
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import NoReturn

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from reporting.outbox.policy import Done, Failed, Outcome
from reporting.redcap.attempts import Attempt, payload_digest, record_attempts
from reporting.redcap.dictionary import Dictionary
from reporting.redcap.ledger import LedgerRow, change
from reporting.redcap.mapping import Mapping as StudyMapping
from reporting.redcap.target import Target
from sync_server.redcap.client import Redcap
from sync_server.redcap.locking import StillHeld


class Halt(Exception):
    """Nothing more is asked of REDCap in this batch; what is not concluded ends with `outcome`."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(str(outcome))
        self.outcome = outcome


class Item:
    """One row on its way. `withdraws`: the target takes values away, and the row is retired in the end."""

    def __init__(self, entry: int, row: LedgerRow, target: Target, *, withdraws: bool = False) -> None:
        self.entry = entry
        self.row = row
        self.target = target
        self.withdraws = withdraws
        self.before: Mapping[str, str] | None = None
        self.sends = 0
        self.is_concluded = False
        self.is_done = False
        self.in_flight = row.state == "sent"
        """What somebody sent before may still be on its way, and be written after what is sent now."""

    @property
    def action(self) -> str:
        """What sending it is, in the attempts."""
        return "withdraw" if self.withdraws else "import"


class Verdicts:
    """What has come of entries."""

    def __init__(self, entries: Iterable[int]) -> None:
        self._open: dict[int, Outcome | None] = dict.fromkeys(entries)
        self._parked: dict[int, list[str]] = {}
        self._said: dict[int, Outcome] = {}

    def later(self, entry: int, outcome: Outcome) -> None:
        """It is not at its end. A failure is told before a delay: it has been tried."""
        if self._open[entry] is None or isinstance(outcome, Failed):
            self._open[entry] = outcome

    def park(self, entry: int, reason: str) -> None:
        """A person has to look at it."""
        self._parked.setdefault(entry, []).append(reason)

    def say(self, entry: int, outcome: Outcome) -> None:
        """What it is if nothing else comes up."""
        self._said[entry] = outcome

    def outcomes(self) -> dict[int, Outcome]:
        """By entry."""
        found: dict[int, Outcome] = {}
        for entry, later in self._open.items():
            if later is not None:
                found[entry] = later
            elif entry in self._parked:
                found[entry] = Failed("; ".join(self._parked[entry]), final=True)
            else:
                found[entry] = self._said.get(entry, Done())
        return found


class Batch:
    """All that the steps of a push work with. One a project and job."""

    def __init__(
        self,
        engine: AsyncEngine,
        client: Redcap,
        still_held: StillHeld,
        *,
        project: str,
        study: str,
        mapping: StudyMapping,
        dictionary: Dictionary,
        sessions: Mapping[int, tuple[str, str]],
        attempts: Mapping[int, int] | None = None,
        until: float = math.inf,
    ) -> None:
        """`sessions`: (site, session id) by entry of the outbox; `attempts` that have failed, likewise. After
        `until`, by `time.monotonic`, nothing new is sent.
        """
        self.engine = engine
        self.client = client
        self.still_held = still_held
        self.project = project
        self.study = study
        self.mapping = mapping
        self.dictionary = dictionary
        self.sessions = sessions
        self.attempts: Mapping[int, int] = attempts or {}
        self.items: list[Item] = []
        self.verdicts = Verdicts(sessions)
        self.unopened: set[int] = set(sessions)
        """Entries for which there is more to do than items say."""
        self._until = until

    def is_over(self) -> bool:
        """Whether the job has worked for long enough."""
        return time.monotonic() > self._until

    def end(self, outcome: Outcome) -> None:
        """All that is not concluded ends like this."""
        for entry in self.unopened:
            self.verdicts.later(entry, outcome)
        for item in self.items:
            if not item.is_concluded:
                self.verdicts.later(item.entry, outcome)

    def open_items(self, *, withdraws: bool) -> list[Item]:
        """Those on which something has to be done."""
        return [item for item in self.items if not item.is_concluded and item.withdraws == withdraws]

    async def record(self, connection: AsyncConnection, attempts: Sequence[Attempt]) -> None:
        """Append them."""
        if attempts:
            await connection.execute(record_attempts(attempts))

    async def park(self, items: Sequence[tuple[Item, str]], attempts: Sequence[Attempt] = ()) -> None:
        """A person has to look at these, for these reasons."""
        async with self.engine.begin() as connection:
            await self.record(connection, attempts)
            for item, reason in items:
                await connection.execute(change(item.row, state="parked", reason=reason[:2000]))
        for item, reason in items:
            item.is_concluded = True
            self.verdicts.park(item.entry, f"{item.row.form}: {reason}")

    def attempt(self, item: Item, action: str, outcome: str, error: str | None = None) -> Attempt:
        """What was tried on an item."""
        return Attempt(
            ledger=item.row.id,
            entry=item.entry,
            action=action,  # type: ignore[arg-type]  # one of four, by who calls
            outcome=outcome,
            http_status=self.client.last_status,
            before=item.before,
            after=item.target.values if action in ("import", "withdraw") else None,
            payload_sha256=payload_digest(item.target.values) if action in ("import", "withdraw") else None,
            error=error,
        )


def halt(outcome: Outcome) -> NoReturn:
    """Raises Halt."""
    raise Halt(outcome)
