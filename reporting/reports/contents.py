"""What reports show, as values: no page, no language, no database.

Dates are dates of the row's own clock (UTC) unless it says otherwise. A participant's dates and name are what
the caller may see of them: as they are, shifted, or None with days since enrolment in their place.
"""

from datetime import date, datetime
from typing import Literal

import msgspec

from reporting.research.retest import Change, Retest, Standing
from reporting.research.statistics import Description
from reporting.research.variables import Variable

Kind = Literal["participant", "site", "study"]


class SiteCompleteness(msgspec.Struct, frozen=True):
    """How far a site's data are here. None: never, or not known."""

    site: str
    name: str | None
    complete_through: datetime | None
    devices_outstanding: int
    documents_outstanding: int
    quarantined: int
    waived: int
    conflicts: int


class ScoringVersion(msgspec.Struct, frozen=True):
    """With which versions of its definition a task's scores were made; several after a partial re-scoring."""

    task: str
    versions: tuple[int, ...]


class Provenance(msgspec.Struct, frozen=True):
    """What a report was made from."""

    standing: tuple[SiteCompleteness, ...]
    scoring: tuple[ScoringVersion, ...]
    sessions: int
    revisions_digest: str
    """SHA-256, hexadecimal, of a line `site NUL session NUL revision` for each session, ordered by the
    bytes; all three as the dataset `provenance` shows them to who asks.
    """
    is_identified: bool
    policy: str
    """What was done to names and dates: `identified`; `none`, a study without a policy, which shows neither;
    or `<participants>/<dates>` as policies name them."""

    @property
    def complete_through(self) -> datetime | None:
        """Through when every site is complete; None while one is not."""
        moments = [each.complete_through for each in self.standing]
        known = [moment for moment in moments if moment is not None]
        return min(known) if known and len(known) == len(moments) else None

    @property
    def newest(self) -> datetime | None:
        """The latest moment through which any site is complete."""
        known = [each.complete_through for each in self.standing if each.complete_through is not None]
        return max(known, default=None)


class StudyHeading(msgspec.Struct, frozen=True):
    """Which study."""

    code: str
    title: str
    status: str


class SessionShown(msgspec.Struct, frozen=True):
    """A session of the participant. Without `on`, `day` says when, counted from enrolment; else neither."""

    site: str
    on: date | None
    day: int | None
    visit: str | None
    status: str
    task_runs: int
    flags: int
    serious: int
    rev: str


class Occasion(msgspec.Struct, frozen=True):
    """A score at a session of the participant, by the session's place in their list."""

    session: int
    value: float


class ScoreCourse(msgspec.Struct, frozen=True):
    """One score over a participant's sessions, beside the study's sample.

    `sample` describes everybody in reach at `sample_visit`, the study's first with the score, the participant
    among them; all but its n is None under the least number. `standing`: at the last visit at which they have
    a value that counts. `change`: between the study's first two visits with the score.
    """

    variable: Variable
    occasions: tuple[Occasion, ...]
    undefined: int
    """Sessions with the task whose trials do not define the score."""
    sample_visit: str | None
    sample: Description
    standing: Standing | None
    change: Change | None


class FlagCount(msgspec.Struct, frozen=True):
    """How often a quality flag is raised, and in how many sessions."""

    code: str
    level: str
    flags: int
    sessions: int


class VisitShown(msgspec.Struct, frozen=True):
    """A visit of the participant."""

    visit: str
    title: str
    state: str
    due: date | None
    due_day: int | None
    completed: date | None
    completed_day: int | None
    in_window: bool | None


class ParticipantReport(msgspec.Struct, frozen=True):
    """Everything on a participant's report. Never contacts."""

    study: StudyHeading
    participant: str
    """Code, or pseudonym."""
    site: str | None
    site_name: str | None
    status: str | None
    """None: known from sessions only."""
    language: str | None
    enrolled: date | None
    sessions: tuple[SessionShown, ...]
    courses: tuple[ScoreCourse, ...]
    flags: tuple[FlagCount, ...]
    visits: tuple[VisitShown, ...]
    least_sample: int
    provenance: Provenance


class MonthCount(msgspec.Struct, frozen=True):
    """A month, by its first day."""

    month: date
    enrolled: int
    sessions: int


class VisitCount(msgspec.Struct, frozen=True):
    """One visit definition: how many visits are in which state."""

    visit: str
    title: str
    planned: int
    due: int
    completed: int
    missed: int
    cancelled: int
    in_window: int
    """Of the completed ones."""

    @property
    def total(self) -> int:
        """All but the cancelled ones."""
        return self.planned + self.due + self.completed + self.missed


class StatusCount(msgspec.Struct, frozen=True):
    """Participants by their status now."""

    screened: int = 0
    enrolled: int = 0
    withdrawn: int = 0
    completed: int = 0

    @property
    def total(self) -> int:
        """All on the roster."""
        return self.screened + self.enrolled + self.withdrawn + self.completed

    @property
    def ever_enrolled(self) -> int:
        """Those that were enrolled once."""
        return self.enrolled + self.withdrawn + self.completed


class DeviceShown(msgspec.Struct, frozen=True):
    """A tablet as it told of itself last. None: it did not say."""

    device: str
    label: str
    app_version: str | None
    outstanding: int | None
    told_at: datetime | None


class SiteReport(msgspec.Struct, frozen=True):
    """Everything on a site's report, of one study."""

    study: StudyHeading
    site: str
    name: str
    timezone: str
    status: str
    participants: StatusCount
    months: tuple[MonthCount, ...]
    undated: int
    """Participants that were enrolled on no known day."""
    visits: tuple[VisitCount, ...]
    sessions: int
    sessions_flagged: int
    sessions_serious: int
    sessions_completed: int
    flags: tuple[FlagCount, ...]
    devices: tuple[DeviceShown, ...]
    standing: SiteCompleteness
    provenance: Provenance


class ReasonCount(msgspec.Struct, frozen=True):
    """Why participants were withdrawn; `reason` None: consent was not withdrawn on record."""

    reason: str | None
    participants: int


class Distribution(msgspec.Struct, frozen=True):
    """A score in the study's sample at its first visit."""

    variable: Variable
    visit: str | None
    sample: Description
    bins: tuple[int, ...]
    low: float
    high: float
    """Of the bins, together. No bins under the least number."""


class Retested(msgspec.Struct, frozen=True):
    """A score at the study's first two visits with it."""

    variable: Variable
    retest: Retest


class SiteLine(msgspec.Struct, frozen=True):
    """A site in the study's table."""

    site: str
    name: str
    participants: StatusCount
    sessions: int
    visits_completed: int
    visits_past: int
    """Completed or missed."""
    flagged: int
    """Sessions with a warning or worse."""
    complete_through: datetime | None


class StudyReport(msgspec.Struct, frozen=True):
    """Everything on a study's report; of the sites in reach."""

    study: StudyHeading
    sites_shown: tuple[str, ...] | None
    """None: the whole study."""
    participants: StatusCount
    with_sessions: int
    """Participants with a completed session, on the roster or not."""
    not_on_roster: int
    reasons: tuple[ReasonCount, ...]
    months: tuple[MonthCount, ...]
    visits: tuple[VisitCount, ...]
    distributions: tuple[Distribution, ...]
    retests: tuple[Retested, ...]
    sites: tuple[SiteLine, ...]
    least_sample: int
    provenance: Provenance
