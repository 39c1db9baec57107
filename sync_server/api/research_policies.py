"""`/api/studies/{study}/research-policy`: how participants and dates are shown to who is not `identified`.

Whoever reads results may see what they are shown; an admin of the study changes it. The secret of pseudonyms
is in no answer and on no record.

| what happens | answer |
|---|---|
| changed since it was read | 412; without If-Match 428 |
| the study has none, since it was made by hand | 404 to a read; a change makes one |
| a change that reaches files made before | 200, with `consequences` |
"""

from typing import Any

import msgspec

from reporting.research.policy import (
    Dates,
    Participants,
    Policy,
    PolicyRow,
    ShiftDays,
    consequences,
    put_policy,
    select_policy,
)
from sync_server.api.call import Call, Nothing
from sync_server.api.route import Route, get, put
from sync_server.api.study_rows import lock
from sync_server.errors import NotFound


class NewPolicy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A policy; `shift_days` as it was where it is not given. `new_pseudonyms`: also make other pseudonyms
    and shifts, for good.
    """

    participants: Participants
    dates: Dates
    shift_days: ShiftDays | None = None
    new_pseudonyms: bool = False


class ChangedPolicy(PolicyRow, frozen=True, kw_only=True):
    """The policy as it is now; `consequences`: what that means for files made before, in sentences."""

    consequences: list[str]


async def get_policy(call: Call[Nothing, Nothing]) -> PolicyRow:
    """How the study shows participants and dates to who is not `identified`."""
    study = call.path("study")
    if not call.caller.scope("research.read").sees_study(study):
        raise NotFound(f"There is no study {study}.")
    found = await _policy(call, study)
    if found is None:
        raise NotFound(f"{study} has no policy: codes and dates are shown to nobody who is not identified.")
    return found


async def change_policy(call: Call[Nothing, NewPolicy]) -> ChangedPolicy:
    """Change it, from the next statement, query and export on; files made before stay as they are."""
    study, body = call.path("study"), call.body
    call.caller.require("research.policy", study)
    await lock(call, study)
    before = await _policy(call, study)
    call.match(0 if before is None else before.row_version)
    known = Policy() if before is None else before.policy
    shift_days = known.shift_days if body.shift_days is None else body.shift_days
    wanted = Policy(participants=body.participants, dates=body.dates, shift_days=shift_days)
    told: list[str] = []
    if wanted != (None if before is None else known) or body.new_pseudonyms:
        told = consequences(None if before is None else known, wanted, new_pseudonyms=body.new_pseudonyms)
        await call.connection.execute(put_policy(study, wanted, new_pseudonyms=body.new_pseudonyms))
        await call.record(
            "research_policy.change",
            "research_policy",
            study,
            study=study,
            before=None if before is None else known,
            after={**msgspec.structs.asdict(wanted), "new_pseudonyms": body.new_pseudonyms},
        )
    after = await _policy(call, study)
    if after is None:
        raise LookupError(study)
    return ChangedPolicy(**msgspec.structs.asdict(after), consequences=told)


async def _policy(call: Call[Any, Any], study: str) -> PolicyRow | None:
    row = (await call.connection.execute(select_policy(study))).one_or_none()
    return None if row is None else PolicyRow(**row._mapping)


_PATH = "/api/studies/{study}/research-policy"

ROUTES: list[Route] = [
    get(_PATH, get_policy, right="research.read"),
    put(_PATH, change_policy, right="research.policy", errors=(412, 428)),
]
