"""What a pull works with, and how it asks REDCap."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from reporting.audit import AuditEntry
from reporting.redcap.faults import Fault
from reporting.redcap.pulled import PullState
from reporting.redcap.roster_mapping import RosterMapping
from reporting.redcap.roster_plan import REASON
from sync_server.redcap.client import Redcap
from sync_server.redcap.study_connections import Redcaps
from sync_server.sealing import Sealer


class Refused(Exception):
    """REDCap did not answer, or not as it should."""

    def __init__(self, fault: Fault) -> None:
        self.fault = fault
        super().__init__(type(fault).__name__)


class Pulling(msgspec.Struct, frozen=True):
    """A pull that is under way."""

    state: PullState
    roster: RosterMapping
    record_id: str
    missing_codes: frozenset[str]
    client: Redcap
    redcaps: Redcaps
    full: bool
    dry_run: bool


async def asked(
    this: Pulling, *, records: Sequence[str] | None, fields: Sequence[str], begin: datetime | None = None
) -> list[dict[str, str]]:
    """Rows of a project, or of some of its records. Raises Refused, NoTurn."""
    answer = await this.client.read_rows(
        this.record_id,
        fields=fields,
        records=records,
        begin=None if begin is None else begin.astimezone(UTC).replace(tzinfo=None),
        groups=this.roster.takes_groups,
        has_contacts=bool(fields),
    )
    if not isinstance(answer, list):
        raise Refused(answer)
    return answer


def sealer_prints(sealer: Sealer) -> Callable[[str], list[str]]:
    """What is kept of a contact: by it one tells whether a text is the same, and nobody can read it."""

    def prints(text: str) -> list[str]:
        return [each.hex() for each in sealer.fingerprints(f"redcap contact\0{text}")]

    return prints


def entry_by(project: str) -> Callable[..., AuditEntry]:
    def entry(**about: Any) -> AuditEntry:
        return AuditEntry(
            actor=f"redcap:{project}", actor_kind="process", entity="participant", reason=REASON, **about
        )

    return entry
