"""A study that reminds: its rules, its participants, and the relay's and worker's turns."""

from datetime import UTC, datetime, timedelta
from typing import Any

from reporting.engine import sync_engine
from reporting.reminders.due import queue_due
from sync_server.keys import SETTINGS
from tests.administration.desk import Desk
from tests.administration.office import Member, Office

REMINDERS = "/api/schedules/reminders"
STUDY = f"{REMINDERS}/SRO"
TODAY = datetime.now(UTC).date()
ALL_DAY: dict[str, Any] = {"send_at": "00:00", "useful_hours": 168}
"""Due since the day began, whatever the time is when tests run, and useful for long."""


async def a_study(office: Office, *rules: tuple[str, dict[str, Any]], **settings: Any) -> Member:
    """SRO at lima, with a baseline on the day of enrolment and these rules; no quiet hours unless told."""
    office.study("SRO", "lima")
    team = office.as_("coordinator", study="SRO")
    window = {"window_before_days": 30, "window_after_days": 30, "title": "Baseline"}
    assert (await team.put("/api/schedules/SRO/baseline", window)).status == 200
    said = await team.put(f"{STUDY}/settings", {"quiet_hours": None, **settings}, If_Match="*")
    assert said.status == 200, said.body
    for code, rule in rules:
        answer = await team.put(f"{STUDY}/rules/{code}", {**ALL_DAY, **rule})
        assert answer.status == 200, answer.body
    return team


async def enrol(
    team: Member, code: str, *, due: int = 0, contact: dict[str, str] | None = None, **about: Any
) -> None:
    """Somebody whose baseline is due in so many days."""
    person = {
        "study": "SRO",
        "code": code,
        "site": "lima",
        "status": "enrolled",
        "enrolled_on": str(TODAY + timedelta(days=due)),
        "contact": {"email": f"{code}@home.example", "name": "Ada"} if contact is None else contact,
        **about,
    }
    answer = await team.post("/api/participants", person)
    assert answer.status == 201, answer.body


def queue(office: Office, *, at: datetime | None = None) -> int:
    """The relay's duty; how many are to be sent."""
    engine = sync_engine(office.gateway.app[SETTINGS].database_url)
    try:
        with engine.begin() as connection:
            return queue_due(connection, at or datetime.now(UTC))
    finally:
        engine.dispose()


async def remind(office: Office, desk: Desk) -> None:
    """All that is due."""
    queue(office)
    await desk.drain()


def reminders(office: Office, columns: str = "rule, occurrence, state, reason") -> list[tuple[Any, ...]]:
    """Of everybody, in the order in which they are planned."""
    query = f"SELECT {columns} FROM reminders ORDER BY participant, rule, occurrence, channel"  # noqa: S608
    return office.rows(query)


def try_again(office: Office) -> None:
    """What waits in the outbox is due now."""
    office.rows("UPDATE outbox SET next_attempt_at = now() WHERE state = 'pending'")


def entries(office: Office) -> list[tuple[Any, ...]]:
    return office.rows("SELECT state, attempts, error FROM outbox WHERE kind = 'reminder' ORDER BY id")
