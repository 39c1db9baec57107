"""The double of a server: its projects, its faults, who is banned, and what it answers to a request.

No HTTP yet: `server.py` puts it behind a port. Its methods may be called from any thread while it serves.

| the caller | gets |
|---|---|
| is banned, or sends more than the limit in a minute | the text of the ban, from now on for good |
| has a token that no project knows, or none | 403 |
| has a fault coming | what that fault makes of it |
| else | what the API answers |
"""

import threading
from collections import defaultdict, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial

from tests.redcap_double import answers
from tests.redcap_double.answers import Answer
from tests.redcap_double.api import Request, answer
from tests.redcap_double.catalogue import make_fault
from tests.redcap_double.dictionary import Dictionary
from tests.redcap_double.faults import Call, Cut, Dropped, Fault, Faults, Reply
from tests.redcap_double.importing import Write
from tests.redcap_double.parameters import Parameters
from tests.redcap_double.project import Project
from tests.redcap_double.records import Lock, Place
from tests.redcap_double.refusals import forbidden
from tests.redcap_double.request_log import Ending, Entry, RequestLog

REQUESTS_PER_MINUTE = 600
_MINUTE = timedelta(minutes=1)


def utc_now() -> datetime:
    """Server time of a server in UTC; as REDCap's, it names no zone."""
    return datetime.now(UTC).replace(tzinfo=None)


@dataclass
class Double:
    """All state is public: a test may look at it and change it, holding `lock` where it serves meanwhile."""

    projects: list[Project]
    clock: Callable[[], datetime] = utc_now
    requests_per_minute: int | None = REQUESTS_PER_MINUTE
    """Of one address; more and it is banned. None: no limit."""
    ban_status: int = 403
    """Versions differ in it; the text is what one knows a ban by."""
    version: str = "14.5.5"
    names_event: bool = False
    """Whether the lines of data errors have the event in parentheses after the record's name."""
    on_write: Callable[[Project, Write], None] | None = None
    """Is told of every row that an import wrote."""
    faults: Faults = field(default_factory=lambda: Faults(make_fault))
    requests: RequestLog = field(default_factory=RequestLog)
    banned: set[str] = field(default_factory=set)
    """Addresses."""
    lock: threading.RLock = field(default_factory=threading.RLock)
    _recent: dict[str, deque[datetime]] = field(default_factory=lambda: defaultdict(deque))
    _number: int = 0

    @property
    def project(self) -> Project:
        """The first project."""
        return self.projects[0]

    @property
    def token(self) -> str:
        """That of its first user."""
        return self.project.users[0].token

    # What the shell calls.

    def admit(self, remote: str, token: str, parameters: Parameters) -> tuple[Call, list[Fault]] | Answer:
        """The call and the faults that befall it, or the refusal of a stranger. Counts the request."""
        with self.lock:
            self._number += 1
            if self._is_banned(remote):
                return self._refuse(remote, parameters, self._ban(remote))
            for project in self.projects:
                if (user := project.user(token)) is not None:
                    call = Call(
                        self._number,
                        parameters.content,
                        parameters.action,
                        parameters,
                        project,
                        user,
                        remote,
                        partial(self.person_writes, project=project),
                        partial(self._ban, remote),
                    )
                    return call, self.faults.due(call)
            return self._refuse(remote, parameters, answers.refused(forbidden(), parameters.return_format))

    def respond(self, call: Call, faults: list[Fault], upload: tuple[str, bytes] | None) -> Reply:
        """Do the work, as far as the faults let it."""
        with self.lock:
            reply = self._reply(call, faults, upload)
            sent = reply.answer if isinstance(reply, Cut) else reply
            ending = {Dropped: Ending.DROPPED, Cut: Ending.CUT}.get(type(reply), Ending.ANSWERED)
            status = sent.status if isinstance(sent, Answer) else 0
            self._log(
                call.remote,
                call.parameters,
                status=status,
                number=call.number,
                username=call.user.username,
                ending=ending,
                faults=faults,
            )
            return reply

    def _reply(self, call: Call, faults: list[Fault], upload: tuple[str, bytes] | None) -> Reply:
        parameters = call.parameters
        for fault in faults:
            found = fault.before(call) if fault.before else None
            if isinstance(found, Parameters):
                parameters = found
            elif found is not None:
                return found
        if not call.user.token:
            return answers.refused(forbidden(), parameters.return_format)
        request = Request(
            call.project,
            call.user,
            parameters,
            self.clock(),
            upload,
            self.version,
            self.names_event,
            self.on_write,
        )
        reply: Reply = answer(request)
        for fault in faults:
            if fault.after and isinstance(reply, Answer):
                reply = fault.after(call, reply)
        return reply

    def _is_banned(self, remote: str) -> bool:
        now, recent = self.clock(), self._recent[remote]
        recent.append(now)
        while now - recent[0] >= _MINUTE:
            recent.popleft()
        limit = self.requests_per_minute
        return remote in self.banned or (limit is not None and len(recent) > limit)

    def _ban(self, remote: str) -> Answer:
        self.banned.add(remote)
        text = f"Your IP address ({remote}) has been banned due to suspected abuse."
        return Answer(self.ban_status, text.encode(), "text/html; charset=utf-8")

    def _refuse(self, remote: str, parameters: Parameters, refused: Answer) -> Answer:
        self._log(remote, parameters, status=refused.status, number=self._number)
        return refused

    def _log(
        self,
        remote: str,
        parameters: Parameters,
        *,
        status: int,
        number: int,
        username: str = "",
        ending: Ending = Ending.ANSWERED,
        faults: Sequence[Fault] = (),
    ) -> None:
        data = parameters.text("data")
        self.requests.add(
            Entry(
                number=number,
                at=self.clock(),
                content=parameters.content,
                action=parameters.action,
                remote=remote,
                username=username,
                status=status,
                ending=ending,
                faults=tuple(fault.name for fault in faults),
                size=len(data.encode()),
            )
        )

    # What people at the server do.

    def person_writes(
        self,
        record: str,
        values: Mapping[str, str],
        *,
        event: str = "",
        form: str = "",
        instance: int | None = None,
        username: str = "person",
        project: Project | None = None,
    ) -> int:
        """Write as data entry does, unchecked; the next instance of a repeating `form` unless one is given.

        Returns the instance, 0 for what does not repeat.
        """
        with self.lock:
            where = project or self.project
            event = event or where.event_names[0]
            repeats = form in where.repeating_forms(event) or where.event_repeats(event)
            series = (record, event, form if form in where.repeating_forms(event) else "")
            if repeats and instance is None:
                instance = max(where.records.instances(*series), default=0) + 1
            place = Place(*series, (instance or 0) if repeats else 0)
            where.records.write(place, values, at=self.clock(), username=username, how="")
            return place.instance

    def values(
        self, record: str, *, event: str = "", form: str = "", instance: int = 0
    ) -> dict[str, str] | None:
        """What is stored in a row (blank values and unticked boxes are not); None where there is none."""
        with self.lock:
            row = self.project.records.rows.get(
                Place(record, event or self.project.event_names[0], form, instance)
            )
            return None if row is None else dict(row)

    def lock_form(self, record: str, form: str, *, event: str = "", instance: int | None = None) -> None:
        """Lock one form of a record: at all events and in all instances unless one is given."""
        with self.lock:
            self.project.records.locks.add(Lock(record, form, event, instance))

    def lock_record(self, record: str) -> None:
        """Lock all of it."""
        with self.lock:
            self.project.records.locks.add(Lock(record))

    def unlock(self, record: str) -> None:
        """Take away all locks of a record."""
        with self.lock:
            records = self.project.records
            records.locks = {one for one in records.locks if one.record != record}

    def edit_dictionary(self, edit: Callable[[Dictionary], Dictionary]) -> None:
        """As `edit_dictionary(lambda dictionary: dictionary.without("cog_srt_ms"))`."""
        with self.lock:
            self.project.dictionary = edit(self.project.dictionary)

    def unban(self) -> None:
        """As an administrator does: nobody is banned any more."""
        with self.lock:
            self.banned.clear()
            self._recent.clear()
