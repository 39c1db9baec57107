"""What tablets are told of participants' consent: the state in the study, and nothing of who signed what."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from reporting.consent.state import consent_state
from reporting.tables import participants


async def consent_states(
    connection: AsyncConnection,
    site: str,
    keys: Sequence[tuple[str, str]],
) -> Mapping[tuple[str, str], Any]:
    """By (study, participant) at this site: `{"state": "valid"}`."""
    p = participants.c
    found = await connection.execute(
        select(p.study, p.code, consent_state(p.study, p.code)).where(
            p.site == site, tuple_(p.study, p.code).in_(list(keys))
        )
    )
    return {(study, code): {"state": state} for study, code, state in found}
