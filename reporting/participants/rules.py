"""What a participant can be, and become. Pure.

    screened ──▶ enrolled ──▶ completed
        │            │ ▲          │
        └─▶ withdrawn ◀┘ └────────┘      back to `enrolled`: with a reason, for what was recorded by mistake

| change | asks for |
|---|---|
| to `enrolled` | a site; the day of enrolment (today at the site, unless told) |
| to `withdrawn` | a reason |
| back to `enrolled` from `withdrawn` or `completed` | a reason |
| back to `screened`; `screened` to `completed` | refused |
| to another site, or to `enrolled` | the study runs at the site, which is open |
"""

from collections.abc import Mapping
from datetime import date
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

CODE_PATTERN: Final = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$(?!\n)"
"""`$` alone lets a line end follow."""
LANGUAGE_PATTERN: Final = r"^[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8}){0,4}$(?!\n)"

Code = Annotated[str, Meta(pattern=CODE_PATTERN, max_length=64, description="unique in its study")]
Language = Annotated[str, Meta(pattern=LANGUAGE_PATTERN, max_length=44, description="BCP 47: es, pt-BR")]
RedcapId = Annotated[
    str,
    Meta(
        pattern=r"^[^\s\x00-\x1f\x7f]([^\x00-\x1f\x7f]*[^\s\x00-\x1f\x7f])?$(?!\n)",
        max_length=100,
        description="their record in the study's REDCap project; one participant's only",
    ),
]
Status = Literal["screened", "enrolled", "withdrawn", "completed"]

NEXT: Mapping[Status, frozenset[Status]] = {
    "screened": frozenset({"enrolled", "withdrawn"}),
    "enrolled": frozenset({"withdrawn", "completed"}),
    "withdrawn": frozenset({"enrolled"}),
    "completed": frozenset({"enrolled", "withdrawn"}),
}
"""What may follow on a status."""


class State(msgspec.Struct, frozen=True):
    """What the rules look at."""

    site: str | None
    status: Status
    language: str | None = None
    enrolled_on: date | None = None
    redcap_id: str | None = None


class Problem(msgspec.Struct, frozen=True):
    """Why it cannot be so: the member, and a sentence."""

    member: str
    message: str
    conflict: bool = False
    """Of the state it is in, not of what was sent."""


def problem_of(before: State | None, after: State, *, reason: str | None) -> Problem | None:
    """What is wrong with the change; `before` is None for a new participant."""
    if before is not None and after.status != before.status:
        if after.status not in NEXT[before.status]:
            said = f"It is {before.status} and cannot become {after.status}."
            return Problem("status", said, conflict=True)
        if reason is None and before.status in {"withdrawn", "completed"}:
            return Problem("reason", f"To make {before.status} {after.status} again takes a reason.")
    newly = before is None or after.status != before.status
    if after.status == "withdrawn" and newly and reason is None:
        return Problem("reason", "A withdrawal takes a reason.")
    if after.status in {"enrolled", "completed"} and after.site is None and (newly or _site_left(before)):
        return Problem("site", f"To be {after.status} takes a site.")
    if after.status == "screened" and after.enrolled_on is not None:
        return Problem("enrolled_on", "Who is screened only is not enrolled on a day yet.")
    return None


def needs_its_site(before: State | None, after: State) -> bool:
    """Whether the study has to run at the site, and the site to be open: somebody comes there, or takes part
    from now on. Who is there already may be withdrawn or completed whatever became of the site.
    """
    if after.site is None:
        return False
    enrolls = after.status == "enrolled" and (before is None or before.status != "enrolled")
    return before is None or before.site != after.site or enrolls


def _site_left(before: State | None) -> bool:
    return before is not None and before.site is not None
