"""A REDCap project over its API: PyCap, with statuses seen and every request in its host's turn.

PyCap makes one exception of refusals, timeouts and answers that are no JSON, so what came back is looked at
here, before PyCap does; `reporting.redcap.faults` says what it means. Calls run in threads.

| what happens | outcome |
|---|---|
| an answer that is one | the value |
| anything else | a `Fault`; the breaker and the ban are noted before it is handed on |
| the host is not to be asked now | NoTurn, nothing is sent |
| an error text has the token in it | scrubbed: it is in no log, error or repr |
| an error may quote a contact, or be half of an export that has some | nothing of its text is kept |
| a worker dies in the middle | REDCap may have taken the request; the ledger said so before it was sent |
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple, TypeVar
from urllib.parse import urlsplit

import requests
from redcap.project import Project

from reporting.redcap.dictionary import Dictionary
from reporting.redcap.dictionary_answers import dictionary_of, is_set
from reporting.redcap.faults import Fault, UnknownOutcome, classify, without_words
from sync_server.redcap.throttle import Throttle
from sync_server.redcap.transport import CONNECT_SECONDS, Received

ANSWER_SECONDS: Final = 60.0
"""Of silence, and of an answer as a whole."""

Row = Mapping[str, str]

T = TypeVar("T")


class About(NamedTuple):
    """What a project is, as read at once."""

    dictionary: Dictionary
    title: str
    version: str | None


def host_of(url: str) -> str:
    """Whose throttle it is: the host, with its port; with a dot at the end it is the same."""
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    return f"{(parts.hostname or '').lower().rstrip('.')}:{port}"


class _Project(Project):
    """PyCap's, which asks for the whole dictionary to learn how records are named: it is told."""

    record_id = ""

    @property
    def def_field(self) -> str:
        """The field that names records."""
        return self.record_id


class Redcap:
    """One project. One call at a time. `last_status` is the HTTP status of the last one, None for none;
    `last_date` the server's clock when it answered, as far as it said so.
    """

    def __init__(
        self, url: str, token: str, throttle: Throttle, *, answer_seconds: float = ANSWER_SECONDS
    ) -> None:
        """`url` of the API, which ends in `/api/`; `token` has 32 characters."""
        self._url = url
        self._token = token
        self._throttle = throttle
        self._seconds = answer_seconds
        self.last_status: int | None = None
        self.last_date: datetime | None = None

    def __repr__(self) -> str:
        return f"Redcap({self._url!r})"

    async def read_about(self) -> About | Fault:
        """The project's dictionary and title; four requests at most."""
        info = await self._ask(lambda project: project.export_project_info(), _is_row)
        if isinstance(info, Fault):
            return info
        metadata = await self._ask(lambda project: project.export_metadata(), _are_rows)
        if isinstance(metadata, Fault):
            return metadata
        events: Any = []
        repeating: Any = []
        # Not `project.is_longitudinal`, which a network error makes False for good.
        if is_set(info.get("is_longitudinal")):
            events = await self._ask(lambda project: project.export_instrument_event_mappings(), _are_rows)
            if isinstance(events, Fault):
                return events
        if is_set(info.get("has_repeating_instruments_or_events")):
            repeating = await self._ask(
                lambda project: project.export_repeating_instruments_events(), _are_rows
            )
            if isinstance(repeating, Fault):
                return repeating
        dictionary = dictionary_of(info, metadata, events, repeating)
        if dictionary is None:
            return UnknownOutcome(text="the project's metadata name no field")
        return About(dictionary, str(info.get("project_title") or ""), None)

    async def read_dictionary(self) -> Dictionary | Fault:
        """The project's dictionary."""
        about = await self.read_about()
        return about.dictionary if isinstance(about, About) else about

    async def read_rows(
        self,
        record_id: str,
        *,
        fields: Sequence[str],
        records: Sequence[str] | None = None,
        events: Sequence[str] = (),
        begin: datetime | None = None,
        end: datetime | None = None,
        groups: bool = False,
        has_contacts: bool = False,
    ) -> list[dict[str, str]] | Fault:
        """Rows as REDCap exports them, raw, all values as text; `record_id` is the field that names records.

        `records` None: all. `begin` and `end` are REDCap's clock: records created or changed between them.
        `groups`: with `redcap_data_access_group`. `has_contacts`: a fault has nothing of what came back.
        """
        wanted = list(dict.fromkeys([record_id, *fields]))

        def ask(project: _Project) -> Any:
            project.record_id = record_id
            return project.export_records(
                records=None if records is None else list(records),
                fields=wanted,
                events=list(events) or None,
                date_begin=begin,
                date_end=end,
                export_data_access_groups=groups,
            )

        if records is not None and not records:
            return []
        rows = await self._ask(ask, _are_rows, has_contacts=has_contacts)
        return rows if isinstance(rows, Fault) else [_as_text(row) for row in rows]

    async def read_keys(
        self,
        record_id: str,
        *,
        records: Sequence[str],
        key_fields: Sequence[str],
        events: Sequence[str] = (),
        forms: Sequence[str] = (),
    ) -> list[dict[str, str]] | Fault:
        """Rows of these records with their key fields, and whether the forms are filled in: what is there,
        whoever made it.
        """
        fields = [*key_fields, *(f"{form}_complete" for form in forms)]
        return await self.read_rows(record_id, fields=fields, records=records, events=events)

    async def import_rows(self, rows: Sequence[Row], *, has_contacts: bool = False) -> list[str] | Fault:
        """Write them; empty values blank what is there. The records that REDCap says it has written. All rows
        are taken or none, as far as REDCap keeps its word. `has_contacts`: see `read_rows`.
        """
        given = [dict(row) for row in rows]
        ids = await self._ask(
            lambda project: project.import_records(given, return_content="ids", overwrite="overwrite"),
            _are_names,
            has_contacts=has_contacts,
        )
        return ids if isinstance(ids, Fault) else [str(name) for name in ids]

    async def _ask(
        self,
        ask: Callable[[_Project], Any],
        expected: Callable[[Any], bool],
        *,
        has_contacts: bool = False,
    ) -> Any:
        """What was answered, or a Fault. Raises NoTurn."""
        await self._throttle.turn()
        answer, received = await asyncio.to_thread(self._asked, ask, expected)
        self.last_status, self.last_date = received.status, received.date
        if has_contacts and isinstance(answer, Fault):
            answer = without_words(answer)
        await self._throttle.note(answer if isinstance(answer, Fault) else None)
        return answer

    def _asked(self, ask: Callable[[_Project], Any], expected: Callable[[Any], bool]) -> tuple[Any, Received]:
        received = Received(self._seconds)
        project = _Project(
            self._url,
            self._token,
            timeout=(CONNECT_SECONDS, self._seconds),
            allow_redirects=False,
            stream=True,
            hooks={"response": received.take},
            # A connection that was closed meanwhile would look like an outcome that is not known.
            headers={"Connection": "close", "User-Agent": "metricis-sync"},
        )
        answer: Any = None
        failure: str | None = None
        try:
            answer = ask(project)
        except (requests.RequestException, OSError, ValueError, ArithmeticError) as error:
            failure = f"{type(error).__name__}: {error}"
        told = None if received.whole else failure or "no answer"
        fault = classify(
            received.status, self.scrub(received.body), received.content_type, told and self.scrub(told)
        )
        if fault is None and failure is not None:
            fault = UnknownOutcome(text=self.scrub(failure))
        if fault is None and not expected(answer):
            fault = UnknownOutcome(text="an answer to something else")
        return (answer if fault is None else fault), received

    def scrub(self, text: str | bytes) -> str:
        """The text without the token."""
        readable = text if isinstance(text, str) else text.decode("utf-8", errors="replace")
        for spelling in {self._token, self._token.upper(), self._token.lower()}:
            readable = readable.replace(spelling, "…")
        return readable


def _are_rows(answer: Any) -> bool:
    return isinstance(answer, list) and all(isinstance(row, dict) for row in answer)


def _is_row(answer: Any) -> bool:
    return isinstance(answer, dict)


def _are_names(answer: Any) -> bool:
    return isinstance(answer, list) and all(isinstance(name, str | int) for name in answer)


def _as_text(row: Mapping[str, Any]) -> dict[str, str]:
    return {str(name): "" if value is None else str(value) for name, value in row.items()}
