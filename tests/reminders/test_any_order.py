"""Whatever people, relays and workers do, in any order: nobody is reminded twice, nor of what is done."""

import random
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.administration.desk import Desk
from tests.administration.office import Office
from tests.administration.test_visits_completion import sitting
from tests.reminders.mail_server import MailServer
from tests.reminders.world import STUDY, TODAY, a_study, enrol, queue, reminders, try_again

STEPS = 40
VISIT = "/api/visits/SRO/s012/baseline"
PERSON = "/api/participants/SRO/s012"
WHY = {"reason": "why"}


def acts(chance: random.Random) -> list[tuple[Any, ...]]:
    """What people may do: method, path, body. What is good for sending comes oftener."""
    day = str(TODAY + timedelta(days=chance.randint(-4, 0)))
    zone = chance.choice(["America/Lima", "Pacific/Kiritimati", "Etc/GMT+12", "Asia/Kolkata", None])
    rule = f"{STUDY}/rules/{chance.choice('ab')}"
    about: dict[str, Any] = {"moment": "on_due"}
    if chance.random() < 0.5:
        about = {"moment": "overdue", "days": 1, "repeat_every_days": 1, "repeat_times": 2}
    said = {**about, "send_at": f"{chance.randint(0, 23):02}:30", "useful_hours": 96}
    contact = {"email": "ada@home.example", "timezone": zone}
    good = [
        ("PATCH", VISIT, {"due_on": day, **WHY}),
        ("PATCH", VISIT, {"state": "restored", **WHY}),
        ("PATCH", PERSON, {"status": "enrolled", **WHY}),
        ("PATCH", PERSON, {"contact": contact}),
        ("PUT", rule, said),
        ("DELETE", f"{STUDY}/opt-outs/s012/email", WHY),
    ]
    bad = [
        ("PATCH", VISIT, {"state": "cancelled", **WHY}),
        ("PATCH", PERSON, {"status": "withdrawn", **WHY}),
        ("DELETE", rule, WHY),
        ("PUT", f"{STUDY}/opt-outs/s012/email", {}),
    ]
    return [*good * 4, *bad]


async def turn(chance: random.Random, office: Office, desk: Desk) -> None:
    """The relay's and the worker's; sometimes with a clock that goes wrong."""
    queue(office, at=datetime.now(UTC) + timedelta(hours=chance.choice((0, 0, 0, 20))))
    try_again(office)
    await desk.drain()


@pytest.mark.parametrize("seed", [1, 2])
async def test_nobody_is_reminded_twice_or_of_what_is_done_whatever_happens(
    office: Office, desk: Desk, mails: MailServer, seed: int
) -> None:
    chance = random.Random(seed)
    first = {"moment": "overdue", "days": 1, "repeat_every_days": 1, "repeat_times": 3}
    team = await a_study(office, ("a", first), ("b", {"moment": "on_due"}), most_per_day=50)
    await office.gateway.open_site("lima")
    token = await office.gateway.enrol("lima", "tab-1")
    await enrol(team, "s012", due=-1)

    async def happen(steps: int) -> None:
        for _ in range(steps):
            method, path, body = chance.choice(acts(chance))
            answer = await team.api.sending(**team.api.headers, If_Match="*").call(method, path, json=body)
            assert answer.status < 500, answer.body
            mails.answer = chance.choice(("250 OK", "250 OK", "451 later"))
            if chance.random() < 0.6:
                await turn(chance, office, desk)
            assert set(Counter(str(mail["Message-ID"]) for mail in mails.taken).values()) <= {1}
            sent = office.rows("SELECT count(*) FROM reminders WHERE state = 'sent'")
            assert sent == [(len(mails.taken),)]

    queue(office)
    await desk.drain()
    assert len(mails.taken) == 1
    await happen(STEPS)
    session = sitting("done-long-ago", visit="baseline")
    assert await office.gateway.push("site-lima", session, token=token) == []
    await office.project()
    told = len(mails.mails)
    await happen(STEPS // 3)
    assert len(mails.mails) == told, "reminded of what is done"
    assert {state for _, _, state, _ in reminders(office)} <= {"sent", "cancelled"}
