"""The centre's API as a hub calls it.

what comes back                           becomes
--------------------------------------    ---------------------------------------------------------------
no answer, 429, 502, 503, 504             StepFailure `away`: the same request may succeed soon
401, 403                                  StepFailure `refused`, with the centre's sentence
400, 413, 422                             StepFailure `rejected`, with the centre's sentence
404: an older centre; 500: a defect       StepFailure `failed`: other requests may succeed
anything else that is no success, or is   StepFailure `failed`
not what was agreed
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, TypeVar
from urllib.parse import quote

import aiohttp
import msgspec

from sync_server.hub.contact import StepFailure
from sync_server.hub.journal import Told
from sync_server.hub.site_list import FetchedList

T = TypeVar("T")

TIMEOUT = aiohttp.ClientTimeout(total=600, connect=15, sock_read=60)
"""A full part of the journal takes minutes on a slow line, and would never get across within one; a centre
that says nothing for a minute is away.
"""
_AWAY = (429, 502, 503, 504)
_REJECTED = (400, 413, 422)


class TabletSeen(msgspec.Struct, frozen=True):
    """A tablet as the centre is told of it."""

    device: str
    last_seen: str


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What the centre is told of the hub at every contact; `clock` is RFC 3339."""

    urls: Sequence[str]
    ca_fingerprint: str | None
    app: str
    documents_waiting: int
    tablets: Sequence[TabletSeen]
    storage_free_bytes: int
    clock: str


class ErasureTask(msgspec.Struct, frozen=True):
    """Documents to purge: these revisions of each, all of it where there is none. `version` is the centre's
    name for exactly these.
    """

    id: int | str
    version: str
    documents: dict[str, list[str]]


class FetchedReceipt(msgspec.Struct, frozen=True):
    """What became of a revision at the centre."""

    id: str
    rev: str
    state: str
    reason: str | None = None


class Enrolled(msgspec.Struct, frozen=True):
    """What the centre answers to a one-time code, as far as a hub needs it."""

    device: str
    site: str
    token: str


class _Now(msgspec.Struct):
    now: datetime


class _Tasks(msgspec.Struct):
    tasks: list[ErasureTask]


class _Done(msgspec.Struct):
    done: bool


class _Receipts(msgspec.Struct):
    data: list[FetchedReceipt]


class _Recorded(msgspec.Struct):
    recorded: int


class _Error(msgspec.Struct):
    message: str = ""


class _Failure(msgspec.Struct):
    error: _Error = msgspec.field(default_factory=_Error)


class Centre:
    """Requests with the hub's credential. `base` has no slash at its end. Every method raises StepFailure."""

    def __init__(self, session: aiohttp.ClientSession, base: str, token: str | None) -> None:
        self._session = session
        self._base = base
        self._headers = {} if token is None else {"Authorization": f"Bearer {token}"}

    async def enrol(self, code: str, installation: str) -> Enrolled:
        """Redeem a one-time code."""
        body = {"code": code, "installation": installation}
        return await self._told("POST", "/api/sync/enrol", Enrolled, body)

    async def report(self, report: Report) -> datetime:
        """Tell how the hub is; the centre's clock."""
        return (await self._told("POST", "/api/sync/hub/status", _Now, report)).now

    async def site_list(self, since: str | None) -> FetchedList | None:
        """Who may sync at the site; None where it is as it was at `since`."""
        path = "/api/sync/hub/site" + ("" if since is None else f"?since={quote(since, safe='')}")
        status, told = await self._request("GET", path)
        return None if status == 304 else _decoded(told, FetchedList)

    async def erasures(self) -> list[ErasureTask]:
        """What is to be purged here."""
        return (await self._told("GET", "/api/sync/hub/erasures", _Tasks)).tasks

    async def erased(self, task: ErasureTask) -> bool:
        """What the task named was purged here; False where more was named since it was fetched."""
        path = f"/api/sync/hub/erasures/{quote(str(task.id), safe='')}/done"
        return (await self._told("POST", path, _Done, {"version": task.version})).done

    async def record(self, entries: Sequence[Told]) -> None:
        """Hand in a part of the journal."""
        await self._told("POST", "/api/sync/hub/journal", _Recorded, {"entries": entries})

    async def receipts(self, revisions: Sequence[tuple[str, str]]) -> list[FetchedReceipt]:
        """What became of these (id, revision)."""
        body = {"docs": [{"id": doc_id, "rev": rev} for doc_id, rev in revisions]}
        return (await self._told("POST", "/api/sync/receipts", _Receipts, body)).data

    async def _told(self, method: str, path: str, answer: type[T], body: Any = None) -> T:
        _, told = await self._request(method, path, body)
        return _decoded(told, answer)

    async def _request(self, method: str, path: str, body: Any = None) -> tuple[int, bytes]:
        data = None if body is None else msgspec.json.encode(body)
        headers = {**self._headers, "Content-Type": "application/json"}
        try:
            async with self._session.request(
                method,
                self._base + path,
                data=data,
                headers=headers,
                timeout=TIMEOUT,
                allow_redirects=False,
            ) as response:
                told = await response.read()
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            raise StepFailure("away", f"no answer ({type(error).__name__})") from error
        if response.status in (401, 403):
            raise StepFailure("refused", f"the centre refuses this hub: {_message(told)}")
        if response.status in _AWAY:
            raise StepFailure("away", f"the centre answers {response.status}: {_message(told)}")
        if response.status in _REJECTED:
            raise StepFailure("rejected", f"the centre cannot take it: {_message(told)}")
        if response.status >= 300 and response.status != 304:
            raise StepFailure("failed", f"the centre answers {response.status}: {_message(told)}")
        return response.status, told


def _message(told: bytes) -> str:
    try:
        return msgspec.json.decode(told, type=_Failure).error.message[:300] or "no reason"
    except (msgspec.DecodeError, RecursionError):
        return "not in this API's words; is the address right?"


def _decoded(told: bytes, answer: type[T]) -> T:
    try:
        return msgspec.json.decode(told, type=answer)
    except (msgspec.DecodeError, RecursionError) as error:
        raise StepFailure("failed", f"the centre's answer cannot be read: {error}") from error
