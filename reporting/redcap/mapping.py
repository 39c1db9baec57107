"""A study's mapping: which sessions go to which form of its REDCap project, and which values to which fields.

    project: {key: studyA, record_id: {from: participant.redcap_id}}
    instruments:
      - battery: self-regulation
        event: {by: visit, map: {baseline: baseline_arm_1, retest: retest_arm_1}}
        form: cog_session
        repeat: {mode: instrument, key_field: cog_session_uid}
        fields:
          cog_srt_ms: {from: scores.simple_reaction_time.avg_rt, as: number, dp: 1}
          cog_flags:  {from: flags, as: checkbox, codes: {late: 1, noisy: 2}}
        complete: {from: status, map: {completed: 2, abandoned: 0}}
    withdrawn: keep
    participants: …    see `reporting.redcap.roster_mapping`

A closed set of sources and transforms; nothing is evaluated. Whether it fits a project: `checking`.
"""

from collections.abc import Mapping as MappingOf
from collections.abc import Sequence
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from reporting.redcap.roster_mapping import RosterMapping

Name = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_]{0,99}$(?!\n)")]
"""Of a REDCap form or field."""

Source = Annotated[str, Meta(min_length=1, max_length=300)]
"""Where a value comes from:

| source | value |
|---|---|
| `participant.<code, redcap_id, language, status or enrolled_on>` | the roster's |
| `session.<id, site, study, language, status, app_version, …>` | the session's row |
| `session.started_at`, `session.ended_at` | moments; `as: date`/`datetime`, in the site's timezone |
| `status`, `visit`, `battery_version` | short for the session's |
| `scores.<task>.<name>` | of the last run of the task; null where it is undefined |
| `scores.<task>[<run>].<name>` | of that run |
| `flags` | codes of the session's quality flags, a set |
| `tasks.<task>.status`, `tasks.<task>.n_trials` | of the last run |
| `literal.<text>` | that text |
"""


class FieldMapping(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    rename={"source": "from", "kind": "as"},
):
    """Where a field's value comes from, and how it is written. `map` and `codes` go by the source's value;
    what is not in `map` is `default`, or parks the session where there is none. `missing` is written for
    null. See docs/REDCAP.md, "Mapping".
    """

    source: Source
    kind: Literal["text", "number", "integer", "date", "datetime", "choice", "checkbox", "yesno"] = "text"
    dp: Annotated[int, Meta(ge=0, le=10)] | None = None
    map: MappingOf[str, str | int] | None = None
    codes: MappingOf[str, str | int] | None = None
    default: str | int | None = None
    missing: str | int | None = None
    scale: float | None = None


class EventChoice(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The event: always the same, or by the session's visit (or battery version)."""

    by: Literal["visit", "battery_version"] | None = None
    map: MappingOf[str, str] = {}
    always: str | None = None


class Repeating(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a session finds its instance. `key_field` holds the session's uid, by which it is found again."""

    mode: Literal["none", "instrument", "event"] = "none"
    key_field: Name | None = None


class CompleteMapping(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename={"source": "from"}
):
    """`<form>_complete`: 0 incomplete, 1 unverified, 2 complete."""

    source: Source = "status"
    map: MappingOf[str, Literal[0, 1, 2]]


class InstrumentMapping(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which sessions (all that are given have to fit) go to one form."""

    form: Name
    fields: Annotated[MappingOf[Name, FieldMapping], Meta(min_length=1, max_length=2000)]
    battery: str | None = None
    visits: Sequence[str] | None = None
    statuses: tuple[Literal["completed", "abandoned", "in_progress"], ...] = ("completed",)
    event: EventChoice | None = None
    repeat: Repeating = Repeating()
    complete: CompleteMapping | None = None
    dag: str | None = None


class RecordChoice(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename={"source": "from"}
):
    """Which record a participant is."""

    source: Literal["participant.redcap_id", "participant.code"] = "participant.redcap_id"


class ProjectChoice(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The project as the ledger names it; never changed while sessions are in it."""

    key: Annotated[str, Meta(pattern=r"^[A-Za-z0-9_.-]{1,100}$(?!\n)")]
    record_id: RecordChoice = RecordChoice()


class Mapping(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All of a study. `withdrawn`: what becomes of the instance of a session that is gone, or moved."""

    project: ProjectChoice
    instruments: Annotated[Sequence[InstrumentMapping], Meta(min_length=1, max_length=100)]
    withdrawn: Literal["keep", "blank", "flag"] = "keep"
    withdrawn_field: Name | None = None
    participants: RosterMapping | None = None
