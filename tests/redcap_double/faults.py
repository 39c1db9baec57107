"""Faults: what may go wrong with a request, and with which request it does.

A fault acts before the work (nothing is written where it answers by itself), after it (the work is done, the
answer is another one or none), or lets the request wait. `catalogue.py` has those with names; a test adds its
own with `Faults.hook`.

    double.faults.add("drop-after", content="record", action="import")     # the next import
    double.faults.add("html", nth=3, times=2)                              # the third and fourth request
    double.faults.hook(before=lambda call: call.project.records.locks.add(Lock("7")), content="record")
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.redcap_double.answers import Answer
from tests.redcap_double.parameters import Parameters
from tests.redcap_double.project import Project, User


@dataclass(frozen=True)
class Call:
    """A request as a fault sees it."""

    number: int
    """From 1, counting all requests of the double."""
    content: str
    action: str
    parameters: Parameters
    project: Project
    user: User
    remote: str
    write: Callable[..., int]
    """Writes as a person does: `Double.person_writes` without the project."""
    ban: Callable[[], Answer]
    """Bans the caller for good, and is the answer to that."""


@dataclass(frozen=True, slots=True)
class Dropped:
    """The connection is closed, nothing is sent back."""


@dataclass(frozen=True, slots=True)
class Cut:
    """The answer's head and some of its body, then the connection is closed."""

    answer: Answer
    sent: int
    """Bytes of the body."""


Reply = Answer | Dropped | Cut
Before = Callable[[Call], Reply | Parameters | None]
"""Answers by itself, or goes on: with other parameters, or (None) with those sent."""
After = Callable[[Call, Answer], Reply]


@dataclass(frozen=True, slots=True)
class Wait:
    """Before the work: some seconds, or until the client has hung up and `released` says so."""

    seconds: float | None = None
    released: Callable[[], bool] | None = None


@dataclass(frozen=True)
class Fault:
    """What goes wrong."""

    name: str
    before: Before | None = None
    after: After | None = None
    wait: Wait | None = None
    content: str = ""
    action: str = ""
    """The only requests that it can befall, "" for any."""


@dataclass
class Scheduled:
    """A fault and its turn: the `nth` request that it matches from now, `times` times, None for ever."""

    fault: Fault
    nth: int = 1
    times: int | None = 1
    content: str = ""
    action: str = ""
    when: Callable[[Call], bool] | None = None
    seen: int = 0
    """Requests that matched."""
    fired: int = 0

    def is_due(self, call: Call) -> bool:
        """Whether it befalls this call; counts the call."""
        if not self._matches(call):
            return False
        self.seen += 1
        if self.seen < self.nth or (self.times is not None and self.fired >= self.times):
            return False
        self.fired += 1
        return True

    def _matches(self, call: Call) -> bool:
        return (
            all(content in ("", call.content) for content in (self.content, self.fault.content))
            and all(action in ("", call.action) for action in (self.action, self.fault.action))
            and (self.when is None or self.when(call))
        )


@dataclass
class Faults:
    """All that are scheduled. `catalogue` makes a fault of its name and options."""

    catalogue: Callable[..., Fault]
    scheduled: list[Scheduled] = field(default_factory=list)

    def add(
        self,
        fault: Fault | str,
        *,
        nth: int = 1,
        times: int | None = 1,
        content: str = "",
        action: str = "",
        when: Callable[[Call], bool] | None = None,
        **options: Any,
    ) -> Scheduled:
        """Schedule a fault, by its name with the options of the catalogue."""
        made = self.catalogue(fault, **options) if isinstance(fault, str) else fault
        scheduled = Scheduled(made, nth, times, content, action, when)
        self.scheduled.append(scheduled)
        return scheduled

    def hook(
        self,
        *,
        before: Callable[[Call], Any] | None = None,
        after: After | None = None,
        name: str = "hook",
        nth: int = 1,
        times: int | None = 1,
        content: str = "",
        action: str = "",
        when: Callable[[Call], bool] | None = None,
    ) -> Scheduled:
        """Schedule own code. What `before` returns counts only if it is a reply or parameters."""

        def reply(call: Call) -> Reply | Parameters | None:
            found = before(call) if before else None
            return found if isinstance(found, Answer | Dropped | Cut | Parameters) else None

        fault = Fault(name, before=reply, after=after)
        return self.add(fault, nth=nth, times=times, content=content, action=action, when=when)

    def due(self, call: Call) -> list[Fault]:
        """Those that befall this call, in the order added."""
        return [scheduled.fault for scheduled in self.scheduled if scheduled.is_due(call)]

    def clear(self) -> None:
        """None is left."""
        self.scheduled.clear()


_WRITTEN = re.compile(
    r"(?P<name>[a-z0-9-]+?)(@(?P<nth>[1-9]\d*))?(x(?P<times>[1-9]\d*|all))?"
    r"(:(?P<content>\w+)(/(?P<action>\w+))?)?"
)


def parse_fault(text: str) -> dict[str, Any]:
    """The arguments of `Faults.add` from `name[@nth][xtimes][:content[/action]]`. Raises `ValueError`."""
    match = _WRITTEN.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is not name[@nth][xtimes][:content[/action]], as html@2:record/import")
    times = match["times"]
    return {
        "fault": match["name"],
        "nth": int(match["nth"] or 1),
        "times": None if times == "all" else int(times or 1),
        "content": match["content"] or "",
        "action": match["action"] or "",
    }
