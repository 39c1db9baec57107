"""What is told of a job that is stuck, once an episode, and of its end. Pure."""

from datetime import datetime

from reporting.webhooks.events import Event


def stuck(number: int, site: str, name: str, since: datetime, *, state: str, why: str) -> Event:
    """Somebody has to look. The reason is the scheduler's, without secrets."""
    return Event(
        name="replication.stuck",
        occurrence=_episode(number, site, since),
        site=site,
        data={"job": number, "site": site, "name": name, "state": state, "reason": why},
    )


def recovered(number: int, site: str, name: str, since: datetime, state: str) -> Event:
    """Nobody has to look any more: it goes on, or somebody paused or cancelled it."""
    return Event(
        name="replication.recovered",
        occurrence=_episode(number, site, since),
        site=site,
        data={"job": number, "site": site, "name": name, "state": state, "stuck_since": since.isoformat()},
    )


def _episode(number: int, site: str, since: datetime) -> str:
    return f"{site}/{number}/{since.isoformat()}"
