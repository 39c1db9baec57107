"""References that appear while batches are written: no flag stays that should have gone, and idle looks are
cheap."""

from collections.abc import Iterator

import psycopg
import pytest

from reporting.engine import connect
from reporting.projection.references import Resolver
from reporting.quality import RULES
from tests.documents.examples import a_session
from tests.projection.conftest import Project, rows
from tests.projection.memory_feed import MemoryFeed


@pytest.fixture
def other(database_url: str) -> Iterator[psycopg.Connection]:
    """A second connection."""
    with connect(database_url) as connection:
        yield connection


def unknown(connection: psycopg.Connection) -> list[str]:
    query = "SELECT code FROM quality_flags WHERE code LIKE 'unknown%%' ORDER BY code"
    return [code for (code,) in rows(connection, query)]


async def test_a_batch_in_flight_keeps_its_site_for_the_next_look(
    feed: MemoryFeed, project: Project, connection: psycopg.Connection, other: psycopg.Connection
) -> None:
    feed["lima"].save(a_session("s1", battery=None), "1-a")
    feed["nairobi"].save(a_session("s1", battery=None, site="nairobi"), "1-a")
    await project()
    resolve = Resolver()
    connection.execute("INSERT INTO studies (code) VALUES ('SRO')")
    with other.transaction():
        # As a batch does that has looked for the study just before it was there.
        other.execute("SELECT FROM checkpoints WHERE site = 'lima' FOR UPDATE")
        assert resolve(connection) == 1
        assert rows(connection, "SELECT site FROM quality_flags WHERE code = 'unknown_study'") == [("lima",)]
        other.execute(
            "INSERT INTO quality_flags (site, session_id, code, detail)"
            " VALUES ('lima', 's2', 'unknown_study', '{\"study\": \"SRO\"}')"
        )
    assert resolve(connection) == 2
    assert unknown(connection) == ["unknown_participant", "unknown_participant"]


async def test_flags_are_looked_at_only_where_references_have_changed(
    feed: MemoryFeed, project: Project, connection: psycopg.Connection
) -> None:
    connection.execute("INSERT INTO studies (code) VALUES ('SRO')")
    feed["lima"].save(a_session("s1"), "1-a")
    await project()
    resolve = Resolver()
    assert resolve(connection) == 0
    # No batch leaves such a flag: it shows who looks.
    connection.execute(
        "INSERT INTO quality_flags (site, session_id, code, detail)"
        " VALUES ('lima', 's1', 'unknown_study', '{\"study\": \"SRO\"}')"
    )
    assert resolve(connection) == 0
    connection.execute("INSERT INTO studies (code) VALUES ('OTHER')")
    assert resolve(connection) == 1


@pytest.mark.parametrize(
    ("change", "gone"),
    [
        ("INSERT INTO studies (code) VALUES ('SRO')", "unknown_study"),
        ("INSERT INTO participants (study, code) VALUES ('SRO', 's012')", "unknown_participant"),
        ("INSERT INTO batteries (id, version) VALUES ('self-regulation', 1)", "unknown_battery"),
    ],
)
async def test_every_kind_of_reference_is_noticed(
    feed: MemoryFeed, project: Project, connection: psycopg.Connection, change: str, gone: str
) -> None:
    feed["lima"].save(a_session("s1"), "1-a")
    await project()
    resolve = Resolver()
    assert resolve(connection) == 0
    connection.execute(change.encode())
    assert resolve(connection) == 1
    assert gone not in unknown(connection)
    assert len(unknown(connection)) == 2


async def test_a_site_that_is_new_is_looked_at(
    feed: MemoryFeed, project: Project, connection: psycopg.Connection
) -> None:
    connection.execute("INSERT INTO studies (code) VALUES ('SRO')")
    resolve = Resolver()
    assert resolve(connection) == 0
    feed["lima"].save(a_session("s1"), "1-a")
    await project()
    connection.execute(
        "INSERT INTO quality_flags (site, session_id, code, detail)"
        " VALUES ('lima', 's1', 'unknown_study', '{\"study\": \"SRO\"}')"
    )
    assert resolve(connection) == 1


async def test_flag_of_an_unknown_reference_carries_the_version_of_its_rule(
    feed: MemoryFeed, project: Project, connection: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(RULES, "unknown_study", RULES["unknown_study"]._replace(version=7))
    feed["lima"].save(a_session("s1"), "1-a")
    await project()
    told = rows(connection, "SELECT code, rule_version FROM quality_flags WHERE code LIKE 'unknown%%'")
    assert dict(told) == {"unknown_study": 7, "unknown_participant": 1, "unknown_battery": 1}
