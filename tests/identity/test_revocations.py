"""The gateway's list of credentials in force: fresh within moments, honest while Postgres is away."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime

import pytest
from sqlalchemy import Engine, event, update
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import AsyncEngine

from reporting import engine as engines
from reporting.tables import devices
from sync_server.identity.device_credentials import DeviceCredential, SigningKey
from sync_server.identity.devices import enrol, insert_credential, revoke
from sync_server.identity.revocations import KnownCredentials, Standing
from tests.embedded.supervised import SupervisedSystem
from tests.identity.outage import postgres_away

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
KEY = SigningKey.generate()
TABLET = DeviceCredential(device="lima-tab-2", site="lima", role="tablet", id="c1")
TOKEN = KEY.sign(TABLET, now=NOW)
HOUR = 3600.0


@asynccontextmanager
async def following(engine: AsyncEngine, *, interval: float) -> AsyncIterator[KnownCredentials]:
    """A list that has been read once."""
    async with KnownCredentials(engine, interval=interval) as known:
        await known.next_reading()
        yield known


async def until(
    known: KnownCredentials, wanted: Standing, token: str = TOKEN, credential: str = "c1"
) -> None:
    while await known.standing(credential, token) is not wanted:
        await known.next_reading()


def insert_silently(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(insert_credential(TABLET, TOKEN))


async def test_list_that_was_never_read_judges_nobody(async_engine: AsyncEngine) -> None:
    known = KnownCredentials(async_engine)
    assert not known.ready
    assert await known.standing("c1", TOKEN) is Standing.NOT_READY


async def test_unreachable_postgres_leaves_the_list_unready_and_stops_cleanly(
    unused_tcp_port: int,
) -> None:
    engine = engines.async_engine(f"postgresql://nobody:secret@127.0.0.1:{unused_tcp_port}/none")
    async with KnownCredentials(engine, interval=0.01) as known:
        with pytest.raises(OperationalError):
            await known.refresh()
        assert await known.standing("c1", TOKEN) is Standing.NOT_READY
    await engine.dispose()


async def test_enrolled_credential_is_in_force_with_its_own_token_only(
    engine: Engine, async_engine: AsyncEngine
) -> None:
    insert_silently(engine)
    async with following(async_engine, interval=HOUR) as known:
        assert known.ready
        assert await known.standing("c1", TOKEN) is Standing.ENROLLED
        assert await known.standing("c1", KEY.sign(TABLET, now=NOW)) is Standing.UNKNOWN


async def test_revocation_is_known_as_soon_as_it_commits(engine: Engine, async_engine: AsyncEngine) -> None:
    insert_silently(engine)
    # Only the notification can make it read again within the hour.
    async with following(async_engine, interval=HOUR) as known:
        with engine.begin() as connection:
            revoke(connection, site="lima", device="lima-tab-2")
        await until(known, Standing.REVOKED)


async def test_revocation_by_hand_is_known_at_the_next_reading(
    engine: Engine, async_engine: AsyncEngine
) -> None:
    insert_silently(engine)
    async with following(async_engine, interval=0.01) as known:
        assert await known.standing("c1", TOKEN) is Standing.ENROLLED
        with engine.begin() as connection:
            connection.execute(update(devices).values(revoked_at=NOW))
        await until(known, Standing.REVOKED)


async def test_enrolment_is_known_as_soon_as_it_commits(engine: Engine, async_engine: AsyncEngine) -> None:
    async with following(async_engine, interval=HOUR) as known:
        assert await known.standing("c9", "any") is Standing.UNKNOWN
        with engine.begin() as connection:
            enrolled = enrol(
                connection,
                KEY,
                site="lima",
                device="lima-tab-9",
                role="tablet",
                now=NOW,
                credential_id="c9",
            )
        await until(known, Standing.ENROLLED, enrolled.token, "c9")


async def test_credential_that_is_not_in_the_list_yet_is_asked_for(
    engine: Engine, async_engine: AsyncEngine
) -> None:
    async with following(async_engine, interval=HOUR) as known:
        insert_silently(engine)
        assert await known.standing("c1", TOKEN) is Standing.ENROLLED
        with engine.begin() as connection:
            connection.execute(update(devices).values(revoked_at=NOW))
        assert await known.standing("c1", TOKEN) is Standing.REVOKED


async def test_unknown_credential_is_asked_for_once_until_the_next_reading(
    async_engine: AsyncEngine,
) -> None:
    async with following(async_engine, interval=HOUR) as known:
        with counted(async_engine) as asked:
            for _ in range(5):
                assert await known.standing("c1", TOKEN) is Standing.UNKNOWN
        assert len(asked) == 1
        await known.refresh()
        with counted(async_engine) as asked:
            assert await known.standing("c1", TOKEN) is Standing.UNKNOWN
        assert len(asked) == 1


@contextmanager
def counted(engine: AsyncEngine) -> Iterator[list[str]]:
    """The statements that were executed meanwhile."""
    statements: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        statements.append(statement)

    event.listen(engine.sync_engine, "before_cursor_execute", note)
    yield statements
    event.remove(engine.sync_engine, "before_cursor_execute", note)


async def test_last_list_stays_in_force_while_postgres_is_away(
    engine: Engine,
    async_engine: AsyncEngine,
    postgres_server: SupervisedSystem,
    database_url: str,
) -> None:
    insert_silently(engine)
    async with following(async_engine, interval=0.01) as known:
        with postgres_away(postgres_server.superuser_url, database_url):
            assert await known.standing("c1", TOKEN) is Standing.ENROLLED
            assert await known.standing("c2", TOKEN) is Standing.NOT_READY
        with engine.begin() as connection:
            revoke(connection, site="lima", device="lima-tab-2")
        await until(known, Standing.REVOKED)
