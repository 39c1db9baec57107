"""A study's policy: how participants and dates are shown to whoever is not `identified`.

Every study has one from its start: pseudonyms, and dates shifted by up to 180 days. The secret of pseudonyms
and shifts is made in Postgres and never leaves it.

| what happens | what follows |
|---|---|
| a policy changes | the next statement, query or export is by the new one |
| files made before | stay as they are, wherever they are by now; `consequences` says what that means |
| new pseudonyms | other pseudonyms and shifts; nobody can make the old ones again |
| a study has none (made by hand) | codes and dates are NULL for who is not `identified` |
"""

from datetime import datetime
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta
from sqlalchemy import Select, func, select
from sqlalchemy.dialects.postgresql import Insert, insert

from reporting.tables import research_policies
from reporting.tables.research import new_secret

Participants = Literal["code", "pseudonym"]
Dates = Literal["actual", "shifted", "days"]
ShiftDays = Annotated[int, Meta(ge=1, le=3650)]
DEFAULT_SHIFT_DAYS: Final = 180

_p = research_policies.c


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """`shift_days`: dates are shifted by so many days at most, back or forth; of no effect unless shifted."""

    participants: Participants = "pseudonym"
    dates: Dates = "shifted"
    shift_days: ShiftDays = DEFAULT_SHIFT_DAYS


class PolicyRow(Policy, frozen=True, kw_only=True):
    """A study's policy as it is; `pseudonyms_since`: when they, and the shifts, were made."""

    study: str
    pseudonyms_since: datetime
    row_version: int
    updated_at: datetime

    @property
    def policy(self) -> Policy:
        """What somebody has chosen of it."""
        return Policy(participants=self.participants, dates=self.dates, shift_days=self.shift_days)


def make_policy(study: str) -> Insert:
    """Give the study the policy of who has said nothing else, unless it has one."""
    return insert(research_policies).values(study=study).on_conflict_do_nothing(index_elements=["study"])


def select_policy(study: str) -> Select[*tuple[Any, ...]]:
    """The study's policy, as `POLICY_FIELDS`."""
    return select(*(_p[name] for name in POLICY_FIELDS)).where(_p.study == study)


POLICY_FIELDS: Final = PolicyRow.__struct_fields__


def put_policy(study: str, policy: Policy, *, new_pseudonyms: bool) -> Insert:
    """Make it the study's policy."""
    fields = msgspec.structs.asdict(policy)
    changed = {
        **fields,
        "row_version": _p.row_version + 1,
        "updated_at": func.now(),
        **({"secret": new_secret(), "pseudonyms_since": func.now()} if new_pseudonyms else {}),
    }
    return (
        insert(research_policies)
        .values(study=study, **fields)
        .on_conflict_do_update(index_elements=["study"], set_=changed)
    )


def consequences(before: Policy | None, after: Policy, *, new_pseudonyms: bool) -> list[str]:
    """What a change means for files that were made before, in sentences; none: it changes nothing of them."""
    if before is None:
        return []
    told = []
    if before.participants == "code" and after.participants == "pseudonym":
        told.append("Files made before hold participant codes and go on holding them: have them deleted.")
    if before.participants == "pseudonym" and after.participants == "code":
        told.append(
            "Whoever has files with pseudonyms can learn the codes behind them, by comparing with files made "
            "from now on."
        )
    if before.dates == "actual" and after.dates != "actual":
        told.append("Files made before hold the actual dates and go on holding them: have them deleted.")
    if before.dates != "actual" and after.dates == "actual":
        told.append(
            "Whoever has files with shifted dates can learn each participant's shift, by comparing with "
            "files made from now on."
        )
    if before.dates == after.dates == "shifted" and before.shift_days != after.shift_days:
        told.append(
            "Dates are shifted by other numbers of days than in files made before: dates of both do not go "
            "together, and whoever has both knows more of the shifts."
        )
    if new_pseudonyms:
        told.append(
            "Every participant gets another pseudonym and another shift: by them, files made before can no "
            "longer be joined with what is read from now on. The old ones cannot be made again. Scores and "
            "reaction times are what they were: whoever has both files can still match rows by their values."
        )
    return told
