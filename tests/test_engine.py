"""What every connection to Postgres has in common."""

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError

from reporting.engine import async_engine, connect, sqlalchemy_url, sync_engine

WRONG = text("SELECT CAST(:participant AS integer) FROM nowhere")


@pytest.mark.parametrize("spelling", ["postgres", "postgresql", "postgresql+psycopg"])
def test_any_spelling_of_the_url_is_for_psycopg_3(spelling: str) -> None:
    assert sqlalchemy_url(f"{spelling}://u:p@h:1/d").render_as_string(hide_password=False) == (
        "postgresql+psycopg://u:p@h:1/d"
    )


def test_failed_statement_does_not_tell_its_parameters(database_url: str) -> None:
    engine = sync_engine(database_url)
    try:
        assert "s012" not in failure_of(engine)
    finally:
        engine.dispose()


async def test_failed_statement_of_the_service_does_not_tell_its_parameters(database_url: str) -> None:
    engine = async_engine(database_url)
    try:
        async with engine.connect() as connection:
            with pytest.raises(DBAPIError) as failure:
                await connection.execute(WRONG, {"participant": "s012"})
    finally:
        await engine.dispose()
    assert "s012" not in str(failure.value)


def test_connection_gives_up_on_data_that_nobody_acknowledges(database_url: str) -> None:
    with connect(database_url) as connection:
        assert connection.info.get_parameters()["tcp_user_timeout"] == "15000"


def failure_of(engine: Engine) -> str:
    with engine.connect() as connection, pytest.raises(DBAPIError) as failure:
        connection.execute(WRONG, {"participant": "s012"})
    return str(failure.value)


def test_postgres_notices_that_who_holds_locks_for_long_is_gone(database_url: str) -> None:
    statement = text("SELECT reset_val FROM pg_settings WHERE name LIKE 'tcp_keepalives%' ORDER BY name")
    engine = sync_engine(database_url, holds=True)
    with engine.connect() as connection:
        assert list(connection.scalars(statement)) == ["3", "5", "1"]
        assert connection.scalar(text("SHOW timezone")) == "UTC"
    engine.dispose()
