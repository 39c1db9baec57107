"""The demo's reminders: made-up people at the beginning of the study, who are told of their visits by mail.

Addresses end in `.example`, which leads nowhere, whatever mail server is given.

| who | enrolled | what is seen |
|---|---|---|
| p201 | today | reminded today; two more are planned, for as long as nothing comes |
| p202 | two days ago | reminded that the visit is overdue |
| p203 | yesterday | a session comes: what was planned is cancelled, the retest's is planned |
| p204 | yesterday | wants no reminders: what was planned is cancelled |
"""

import asyncio
import time
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

from rich.console import Console
from rich.table import Table

from sync_server.demo.failure import PATIENCE_S, DemoFailed
from sync_server.demo.generate import generate_sessions
from sync_server.demo.team import STUDY, TIMEZONE, StudyTeam, record_of

COMES: Final = "p203"
WANTS_NONE: Final = "p204"
_ENROLLED: Final[Mapping[str, tuple[str, int]]] = {
    "p201": ("Ana Torres", 0),
    "p202": ("Luis Rojas", 2),
    COMES: ("Rosa Quispe", 1),
    WANTS_NONE: ("Jorge Mamani", 1),
}
"""Name, and how many days ago."""

_REMINDERS: Final = f"/api/schedules/reminders/{STUDY}"
_RULES: Final[Mapping[str, Mapping[str, Any]]] = {
    "ahead": {"moment": "before_due", "days": 3, "send_at": "09:00", "visits": ["retest"]},
    "on-the-day": {"moment": "on_due", "send_at": "00:00", "useful_hours": 24, "visits": ["baseline"]},
    "overdue": {
        "moment": "overdue",
        "days": 2,
        "repeat_every_days": 3,
        "repeat_times": 1,
        "send_at": "00:00",
        "useful_hours": 48,
        "visits": ["baseline"],
    },
}
_NEXT: Final = 5


async def plan(team: StudyTeam, site: str, console: Console) -> None:
    """Put the people on the roster, and make the rules. Raises NotDone."""
    today = datetime.now(ZoneInfo(TIMEZONE)).date()
    lines = ["code,site,status,language,enrolled_on,redcap_id,contact_name,contact_email"]
    for code, (name, days) in _ENROLLED.items():
        address = f"{name.lower().replace(' ', '.')}@mail.example"
        day = today - timedelta(days=days)
        lines.append(f"{code},{site},enrolled,en,{day},{record_of(code)},{name},{address}")
    await team.call("POST", f"/api/participants/import?study={STUDY}", "\n".join(lines).encode())
    # At night nobody would see a mail go.
    await team.call("PUT", f"{_REMINDERS}/settings", {"quiet_hours": None, "sender_name": "Demo study"})
    for code, rule in _RULES.items():
        await team.call("PUT", f"{_REMINDERS}/rules/{code}", dict(rule))
    await team.call("PUT", f"{_REMINDERS}/opt-outs/{WANTS_NONE}/email")
    console.print(
        f"Reminders: {len(_RULES)} rules, {len(_ENROLLED)} more participants with made-up addresses."
    )


def late_session(site: str, seed: int) -> dict[str, Any]:
    """A session of yesterday, of somebody who would be reminded tomorrow."""
    yesterday = datetime.now(UTC) - timedelta(days=1, hours=9)
    (document,) = generate_sessions(1, site=site, seed=seed, first_day=yesterday)
    return {**document, "participant": COMES}


async def sent(team: StudyTeam) -> None:
    """Wait until all is sent that is due, and the session that came is known. Raises NotDone, DemoFailed."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        now = datetime.now(UTC)
        rows = await _rows(team)
        due = [row for row in rows if row["state"] in ("queued", "sending") or _is_due(row, now)]
        if rows and not due:
            return
        if time.monotonic() > deadline:
            raise DemoFailed(f"{len(due)} reminders were not sent in {PATIENCE_S:.0f} s.")
        await asyncio.sleep(0.5)


def _is_due(row: Mapping[str, Any], now: datetime) -> bool:
    return row["state"] == "planned" and datetime.fromisoformat(row["planned_at"]) <= now


async def told(team: StudyTeam) -> list[Table]:
    """How many are planned, sent, cancelled and why; and which come next. Raises NotDone."""
    rows = await _rows(team)
    counted = Counter((row["state"], row["reason"] or "", row["rule"], row["visit"]) for row in rows)
    table = Table(title="Reminders")
    for name in ("state", "reason", "rule", "visit"):
        table.add_column(name, no_wrap=True)
    table.add_column("reminders", justify="right", no_wrap=True)
    for key, number in sorted(counted.items()):
        table.add_row(*(part or "–" for part in key), str(number))
    coming = Table(title=f"The next reminders ({TIMEZONE})")
    for name in ("at", "participant", "visit", "rule", "by"):
        coming.add_column(name, no_wrap=True)
    zone = ZoneInfo(TIMEZONE)
    for row in [row for row in rows if row["state"] == "planned"][:_NEXT]:
        at = datetime.fromisoformat(row["planned_at"]).astimezone(zone)
        coming.add_row(f"{at:%Y-%m-%d %H:%M}", row["participant"], row["visit"], row["rule"], row["channel"])
    return [table, coming]


async def _rows(team: StudyTeam) -> list[dict[str, Any]]:
    """By when they are planned."""
    path = f"/api/schedules/reminders?study={STUDY}&per_page=500"
    rows: list[dict[str, Any]] = (await team.call("GET", path))["data"]
    return rows
