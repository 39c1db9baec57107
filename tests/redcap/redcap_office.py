"""A study team whose study is connected with the double, by what people do."""

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import pytest

from sync_server.redcap.pulling import pull
from sync_server.redcap.study_connections import Redcaps
from tests.administration.desk import Desk, at_desk
from tests.administration.office import Member, Office
from tests.redcap_double.building import build_project
from tests.redcap_double.dictionary import Field
from tests.redcap_double.double import Double
from tests.redcap_double.project import Project
from tests.redcap_double.running import running_in_thread

FAST = 60_000
CONNECTIONS, MAPPING = "/api/redcap/connections", "/api/redcap/mappings/SRO"
PROJECT = "/api/redcap/projects/sro"

S1: Mapping[str, str] = {
    "ppt_code": "s1",
    "lang": "1",
    "consented_on": "2026-01-02",
    "email": "planted@example.org",
}
"""A participant, as somebody types them into REDCap."""

ROSTER: Mapping[str, Any] = {
    "code": {"from": "ppt_code"},
    "event": "base_arm_1",
    "fields": {
        "language": {"from": "lang", "map": {"1": "es", "2": "qu"}},
        "enrolled_on": {"from": "consented_on"},
        "site": {"by": "dag", "map": {"lima_clinic": "lima", "quito_clinic": "quito"}},
        "contact.email": {"from": "email"},
    },
    "create": True,
    "create_status": "enrolled",
}

GIVEN: Mapping[str, Any] = {
    "project": {"key": "sro"},
    "instruments": [
        {
            "event": {"by": "visit", "map": {"baseline": "base_arm_1"}},
            "form": "cog",
            "repeat": {"mode": "instrument", "key_field": "cog_uid"},
            "fields": {
                "cog_srt": {"from": "scores.simple_reaction_time.avg_rt", "as": "number", "dp": 1},
            },
        }
    ],
    "participants": ROSTER,
}


def roster_project(title: str = "Planted study") -> Project:
    """Two events; a form of the participant in the first one, cognition in both."""
    return build_project(
        [
            Field("record_id", "person", label="Record"),
            Field("ppt_code", "person", label="Code"),
            Field("lang", "person", "radio", label="Language", choices="1, Spanish | 2, Quechua"),
            Field("consented_on", "person", validation="date_ymd", label="Consented on"),
            Field("email", "person", validation="email", label="E-mail"),
            Field("cog_uid", "cog", label="Session"),
            Field("cog_srt", "cog", validation="number_1dp", label="Simple reaction time"),
        ],
        events={"base_arm_1": ["person", "cog"], "later_arm_1": ["cog"]},
        repeating={"base_arm_1": ["cog"], "later_arm_1": ["cog"]},
        groups=["Lima clinic", "Quito clinic"],
        title=title,
    )


class Connected:
    """The team, its double, and who may do everything."""

    def __init__(self, desk: Desk, double: Double, url: str) -> None:
        self.desk = desk
        self.office = desk.office
        self.double = double
        self.url = url
        self.admin: Member = desk.office.as_("admin")

    async def connect(self, **members: Any) -> dict[str, Any]:
        """A connection of SRO, through the API."""
        body = {"study": "SRO", "url": self.url, "token": self.double.token, **members}
        answer = await self.admin.post(CONNECTIONS, body)
        assert answer.status == 201, answer.body
        made: dict[str, Any] = answer.body
        return made

    async def map(self, mapping: Mapping[str, Any] = GIVEN) -> dict[str, Any]:
        """The mapping, through the API."""
        answer = await self.admin.put(MAPPING, {"mapping": dict(mapping)}, If_Match="*")
        assert answer.status == 200, answer.body
        saved: dict[str, Any] = answer.body
        return saved

    def person(self, record: str, group: str = "lima_clinic", **values: str) -> None:
        """What somebody types into REDCap, at the moment of the double's clock."""
        self.double.person_writes(record, values, event="base_arm_1")
        self.double.project.records.groups[record] = group

    def roster(self) -> list[tuple[Any, ...]]:
        return self.office.rows(
            "SELECT code, redcap_id, site, status, language, enrolled_on::text, row_version"
            " FROM participants ORDER BY code"
        )

    def hurry(self) -> None:
        """Time passes: everything that waits is due."""
        self.office.rows("UPDATE outbox SET next_attempt_at = now() WHERE state = 'pending'")


async def pulled(team: Connected, **options: Any) -> Any:
    """A pull through its job, or with options by itself; with `dry_run` its report."""
    if options:
        resources = team.desk.resources
        return await pull("sro", Redcaps(resources.settings, resources.engine, resources.sealer), **options)
    assert (await team.admin.post(f"{PROJECT}/pull", {})).status == 202
    await team.desk.drain()
    return None


def problems(team: Connected) -> dict[str, str]:
    """Records that were not taken as a whole, and why."""
    rows = team.office.rows("SELECT record, problem FROM redcap_pulled ORDER BY record")
    return {record: problem for record, problem in rows if problem is not None}


@asynccontextmanager
async def connected(office: Office, double: Double) -> AsyncIterator[Connected]:
    """SRO at lima and quito, a double that answers, a relay and a worker."""
    office.study("SRO", "lima", "quito")
    office.rows("INSERT INTO visit_definitions (study, code, anchor) VALUES ('SRO', 'baseline', 'enrolment')")
    with served_double(double) as url:
        async with at_desk(office, redcap_requests_per_minute=FAST) as desk:
            yield Connected(desk, double, url)


@contextmanager
def served_double(double: Double) -> Iterator[str]:
    """Its URL."""
    with running_in_thread(double) as address:
        yield address.url


@pytest.fixture
async def team(office: Office) -> AsyncIterator[Connected]:
    """Connected and mapped; REDCap has nobody yet."""
    await office.gateway.open_site("lima")
    async with connected(office, Double([roster_project()], requests_per_minute=None)) as made:
        await made.connect()
        await made.map()
        yield made
