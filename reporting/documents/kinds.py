"""The documents that the server reads, as types: what of them is required, and of which type it must be.

These structs *are* the contract of schema 1 for decoding. They say nothing about members they do not name:
those are never an error. Trials stay the rows that jsPsych logged (`list[dict]`), since every task logs other
members; `reporting.documents.validate` checks the few that rows and scores are made of.

| kind | required | read for |
|---|---|---|
| `session` | study, site, participant, started_at, status, tasks (of: task, run, trials) | rows and scores |
| `consent` | participant, signed_at | the signature: `consents` |
| `device` | nothing beyond the envelope | the tablet's status: `device_status` |
| `correction` | site, session, kind, reason, author, made_at; see `corrections` | applied to its session |

Every other type (`study`, `battery`, …) is written by the server itself and only noted.

An integer is written without a fraction: `1.0` is no `run`. JavaScript never writes one, and a data frame
that does has turned identifiers into measurements, which is worth a look.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, Final, Literal, NamedTuple

import msgspec
from msgspec import Meta

SCHEMA: Final = 1
"""The newest, of every type. Older ones are upcast, see `reporting.documents.upcast`."""

INT4_MIN: Final = -(2**31)
INT4_MAX: Final = 2**31 - 1
INT8_MAX: Final = 2**63 - 1

Integer = Annotated[int, Meta(ge=INT4_MIN, le=INT4_MAX)]
"""What a Postgres `integer` holds."""

Code = Annotated[str, Meta(min_length=1, max_length=160)]
"""A name that rows are found by. A B-tree entry has to hold it beside a session id."""

Time = Annotated[datetime, Meta(tz=True)]
"""RFC 3339 with a zone."""

SessionStatus = Literal["in_progress", "completed", "abandoned"]


class Envelope(msgspec.Struct, kw_only=True):
    """What every document has besides its id. Judged before anything else, so nothing is asked of it here."""

    type: Any = None
    schema: Any = None
    site: Any = None


class BatteryReference(msgspec.Struct, frozen=True):
    id: Code
    version: Integer


class DeviceReference(msgspec.Struct, frozen=True):
    """The tablet as the session names it: not necessarily the credential that wrote the document."""

    id: str | None = None
    app: str | None = None
    os: str | None = None
    model: str | None = None


class TaskRun(msgspec.Struct, kw_only=True):
    """One run of one task, with its trials as logged."""

    task: Code
    run: Integer
    trials: list[dict[str, Any]]
    status: str | None = None
    started_at: Time | None = None
    ended_at: Time | None = None
    params: dict[str, Any] | None = None
    summary: dict[str, Any] | None = None


class SessionDocument(Envelope, kw_only=True):
    """A `session`, schema 1: one sitting of one participant."""

    study: Code
    site: str
    participant: Code
    started_at: Time
    status: SessionStatus
    tasks: list[TaskRun]
    visit: str | None = None
    battery: BatteryReference | None = None
    device: DeviceReference | None = None
    language: str | None = None
    ended_at: Time | None = None
    utc_offset_minutes: Integer | None = None


class FormReference(msgspec.Struct, frozen=True):
    """A published version of a consent form."""

    id: Code
    version: Integer


class ConsentDocument(Envelope, kw_only=True):
    """A `consent`, schema 1. The first apps told neither study nor form: still valid, but of no use to know
    to what somebody consented.
    """

    participant: Code
    signed_at: Time
    study: Code | None = None
    form: FormReference | None = None
    language: str | None = None
    device: DeviceReference | None = None
    attachments: Any = msgspec.field(name="_attachments", default=None)
    """Stubs, as the store makes them."""

    @property
    def has_signature(self) -> bool:
        """Whether `signature.png` is there, and says that it is a PNG."""
        files = self.attachments if isinstance(self.attachments, dict) else {}
        signature = files.get("signature.png")
        return isinstance(signature, dict) and signature.get("content_type") == "image/png"


class DeviceDocument(Envelope, kw_only=True):
    """A `device`, schema 1: the tablet's own status. It tells what it can find out; nothing is asked."""

    app: str | None = None
    os: str | None = None
    free_bytes: Annotated[int, Meta(ge=0, le=INT8_MAX)] | None = None
    battery_level: Annotated[float, Meta(ge=0, le=1)] | None = None
    """Share of a full battery, as browsers tell it."""
    outstanding: Annotated[int, Meta(ge=0, le=INT4_MAX)] | None = None
    """Documents that are not pushed yet; this one does not count."""
    clock_at: Time | None = None
    """The tablet's clock when it wrote this."""


CorrectionKind = Literal["patch", "resolution"]


class ResolvedValue(msgspec.Struct, frozen=True):
    """What is to be shown at a path (as in `conflicts`), and the values that contradict each other there."""

    path: Annotated[str, Meta(min_length=1)]
    value: Any
    base: Annotated[list[Any], Meta(min_length=1)]


class CorrectionDocument(Envelope, kw_only=True):
    """A `correction`, schema 1: a coordinator's patch or resolution of one session. Only the server writes
    it.
    """

    site: str
    session: Annotated[str, Meta(min_length=1)]
    kind: CorrectionKind
    reason: Annotated[str, Meta(min_length=1)]
    author: Code
    made_at: Time
    role: str | None = None
    """The author's role at that moment."""
    request_id: str | None = None
    patch: dict[str, Any] | None = None
    base: dict[str, Any] | None = None
    values: Annotated[list[ResolvedValue], Meta(min_length=1)] | None = None


JUDGED: Final[Mapping[str, type[SessionDocument | ConsentDocument | DeviceDocument | CorrectionDocument]]] = {
    "session": SessionDocument,
    "consent": ConsentDocument,
    "device": DeviceDocument,
    "correction": CorrectionDocument,
}
"""The types that are validated, and what they are decoded as."""


class Session(NamedTuple):
    """A valid session: `id` without its prefix and as rows spell it, and the document."""

    id: str
    document: SessionDocument
    nul_replaced: bool = False
    schema: int = SCHEMA
    """As sent; the document itself is brought to the newest."""


class Device(NamedTuple):
    """A valid device document: `name` is the id without its prefix and as rows spell it."""

    name: str
    document: DeviceDocument


class Consent(NamedTuple):
    """A valid consent: `name` is the id without its prefix and as rows spell it."""

    name: str
    document: ConsentDocument


class Correction(NamedTuple):
    """A valid correction. `id` and `session` (without its prefix) are as rows spell them.

    A patch has `patch` and `base`, a resolution has `values`.
    """

    id: str
    session: str
    number: int
    """Corrections of a session apply in the order of their numbers."""
    kind: CorrectionKind
    reason: str
    author: str
    made_at: datetime
    role: str | None = None
    request_id: str | None = None
    patch: Mapping[str, Any] = {}
    base: Mapping[str, Any] = {}
    values: Sequence[ResolvedValue] = ()


class Kept(NamedTuple):
    """A document of a type that is not judged: it has no rows."""


class Invalid(NamedTuple):
    """Why a document is quarantined: a stable code, where (JSON path), a sentence or two on what to do."""

    code: str
    path: str
    message: str
