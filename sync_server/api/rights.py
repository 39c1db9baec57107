"""What somebody may do where, as told to them."""

import msgspec

from sync_server.identity.callers import Caller
from sync_server.policy import RIGHTS


class Area(msgspec.Struct, frozen=True):
    """The rights that somebody has in a study (null: in all) and at one of its sites (null: at all)."""

    study: str | None
    site: str | None
    rights: list[str]


def areas(caller: Caller) -> list[Area]:
    """One for each role that the caller has somewhere."""
    return [
        Area(
            study=grant.part.study,
            site=grant.part.site,
            rights=sorted(right for right, roles in RIGHTS.items() if grant.role in roles),
        )
        for grant in caller.grants
    ]
