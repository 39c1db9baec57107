"""What the projector brings is asked for in REDCap, in its own transaction, where a mapping says so."""

import asyncio
from collections.abc import Callable
from typing import TypeAlias

import psycopg
import pytest
from psycopg.types.json import Jsonb

from reporting.projection.repair import mark_site_gone
from reporting.projection.replays import request_replays
from tests.documents.examples import a_session
from tests.projection.conftest import Project, rows
from tests.projection.memory_feed import MemoryFeed
from tests.projection.test_across_documents import a_sitting
from tests.projection.test_rebuild import rebuild


def map_study(connection: psycopg.Connection, study: str = "SRO") -> None:
    connection.execute("INSERT INTO studies (code) VALUES (%s)", [study])
    connection.execute(
        "INSERT INTO redcap_mappings (study, definition, created_by, updated_by) VALUES (%s, %s, 'x', 'x')",
        [study, Jsonb({})],
    )


Asked: TypeAlias = Callable[[], set[str]]


@pytest.fixture
def asked(connection: psycopg.Connection) -> Asked:
    """The keys that were asked for since the last time."""
    before: dict[str, int] = {}

    def since() -> set[str]:
        found = dict(rows(connection, "SELECT key, ticket::int FROM outbox WHERE kind = 'redcap'"))
        news = {key for key, ticket in found.items() if ticket > before.get(key, 0)}
        before.update(found)
        return news

    return since


async def test_sessions_of_a_mapped_study_are_asked_for_when_they_change_and_no_others(
    feed: MemoryFeed, project: Project, connection: psycopg.Connection, asked: Asked
) -> None:
    lima = feed["lima"]
    lima.save(a_session("early"), "1-a")
    await project()
    assert asked() == set()
    map_study(connection)
    lima.save(a_session("s1"), "1-a")
    lima.save(a_session("s2", participant="s013"), "1-a")
    lima.save(a_session("other", study="SOC"), "1-a")
    await project()
    # The participant's other sessions too: flags may depend on it.
    assert asked() == {"SRO/lima/s1", "SRO/lima/s2", "SRO/lima/early"}
    payloads = rows(connection, "SELECT study, site, payload FROM outbox WHERE key = 'SRO/lima/s1'")
    assert payloads == [("SRO", "lima", {"site": "lima", "session": "s1"})]
    await project()
    assert asked() == set()
    lima.save({**a_session("s2", participant="s013"), "status": "abandoned"}, "2-b", replaces=["1-a"])
    await project()
    assert asked() == {"SRO/lima/s2"}
    with connection.transaction():
        request_replays(connection, "lima", ["session:s2"], cause="rescore", requested_by="x")
    await project()
    assert asked() == {"SRO/lima/s2"}


async def test_sessions_that_go_in_any_way_are_asked_for_once_more(
    feed: MemoryFeed, project: Project, connection: psycopg.Connection, asked: Asked
) -> None:
    map_study(connection)
    lima = feed["lima"]
    connection.execute("INSERT INTO redcap_projects (project, study) VALUES ('p', 'SRO')")
    for number, name in enumerate(("deleted", "bad", "purged", "stays", "twin")):
        offset = 5 if name in ("stays", "twin") else number
        lima.save(a_sitting(name, offset, participant=f"s{number}"), "1-a")
        connection.execute(
            "INSERT INTO redcap_ledger (project, study, site, session_id, form, record)"
            " VALUES ('p', 'SRO', 'lima', %s, 'f', '1')",
            [name],
        )
    await project()
    assert len(asked()) == 5
    lima.delete("session:deleted", "2-d", replaces=["1-a"])
    await project()
    assert asked() == {"SRO/lima/deleted"}
    lima.save({**a_session("bad"), "started_at": "never"}, "2-b", replaces=["1-a"])
    await project()
    assert rows(connection, "SELECT id FROM sessions WHERE id = 'bad'") == []
    assert asked() == {"SRO/lima/bad"}
    # Another participant's session of the same trials is flagged by this one no more.
    lima.delete("session:twin", "2-t", replaces=["1-a"])
    await project()
    assert asked() == {"SRO/lima/twin", "SRO/lima/stays"}
    await asyncio.to_thread(mark_site_gone, connection, "lima")
    assert asked() >= {"SRO/lima/purged", "SRO/lima/stays"}


async def test_a_rebuild_asks_for_the_sessions_of_its_site(
    feed: MemoryFeed, project: Project, connection: psycopg.Connection, database_url: str, asked: Asked
) -> None:
    map_study(connection)
    feed["lima"].save(a_session("s1"), "1-a")
    feed["nairobi"].save(a_session("s2", participant="s9"), "1-a")
    await project()
    asked()
    await rebuild(feed, database_url)
    assert asked() == {"SRO/lima/s1"}
