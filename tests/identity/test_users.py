"""People's accounts, against Postgres."""

import asyncio
import threading

import pytest
from sqlalchemy import Engine, func, select, update
from sqlalchemy.ext.asyncio import AsyncEngine

from reporting.tables import users
from sync_server.identity import users as accounts
from sync_server.identity.access_tokens import Person
from sync_server.identity.passwords import UnusablePassword, verify_password
from sync_server.identity.users import (
    EmailTaken,
    InvalidEmail,
    check_password,
    create_first_admin,
    create_user,
)

PASSWORD = "correct horse battery"


def count(engine: Engine) -> int:
    with engine.connect() as connection:
        return connection.scalar(select(func.count()).select_from(users)) or 0


async def test_created_user_can_log_in_whatever_the_case_of_the_address(
    engine: Engine, async_engine: AsyncEngine
) -> None:
    with engine.begin() as connection:
        created = create_user(connection, email=" Ada@Example.org ", password=PASSWORD, role="researcher")
        stored = connection.execute(select(users)).one()
    assert created == Person(id=stored.id, email="ada@example.org", role="researcher")
    assert PASSWORD not in str(stored)
    account = await check_password(async_engine, email="ADA@example.org", password=PASSWORD)
    assert account == (created, stored.password_hash)


async def test_wrong_password_unknown_and_unusable_addresses_log_nobody_in(
    engine: Engine, async_engine: AsyncEngine
) -> None:
    with engine.begin() as connection:
        create_user(connection, email="ada@example.org", password=PASSWORD, role="researcher")
    for email, password in (
        ("ada@example.org", PASSWORD + "!"),
        ("bob@example.org", PASSWORD),
        ("no address", PASSWORD),
        ("' OR 1=1 --@x", PASSWORD),
    ):
        assert await check_password(async_engine, email=email, password=password) is None


async def test_closed_account_logs_nobody_in(engine: Engine, async_engine: AsyncEngine) -> None:
    with engine.begin() as connection:
        create_user(connection, email="ada@example.org", password=PASSWORD, role="researcher")
        connection.execute(update(users).values(active=False))
    assert await check_password(async_engine, email="ada@example.org", password=PASSWORD) is None


@pytest.mark.parametrize("email", ["ada@example.org", "bob@example.org", "no address"])
async def test_every_login_verifies_exactly_one_password(
    engine: Engine, async_engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch, email: str
) -> None:
    verified: list[bool] = []
    real = verify_password

    async def counting(password: str, password_hash: str | None) -> bool:
        verified.append(password_hash is not None)
        return await real(password, password_hash)

    with engine.begin() as connection:
        create_user(connection, email="ada@example.org", password=PASSWORD, role="researcher")
    monkeypatch.setattr(accounts, "verify_password", counting)
    assert await check_password(async_engine, email=email, password="wrong password") is None
    assert verified == [email == "ada@example.org"]


def test_address_can_be_taken_once_and_the_transaction_goes_on(engine: Engine) -> None:
    with engine.begin() as connection:
        create_user(connection, email="ada@example.org", password=PASSWORD, role="admin")
        with pytest.raises(EmailTaken, match=r"ada@example\.org"):
            create_user(connection, email="Ada@example.org", password=PASSWORD, role="admin")
        create_user(connection, email="bob@example.org", password=PASSWORD, role="coordinator")
    assert count(engine) == 2


@pytest.mark.parametrize(
    "email", ["", "ada", "@example.org", "ada@", "a b@x.org", "a@b@c", "a\0@x.org", "x" * 65 + "@x.org"]
)
def test_unusable_address_is_refused(engine: Engine, email: str) -> None:
    with engine.begin() as connection, pytest.raises(InvalidEmail):
        create_user(connection, email=email, password=PASSWORD, role="admin")


def test_short_password_is_refused(engine: Engine) -> None:
    with engine.begin() as connection, pytest.raises(UnusablePassword):
        create_user(connection, email="ada@example.org", password="short", role="admin")


def test_first_admin_is_created_once_and_later_settings_change_nothing(engine: Engine) -> None:
    with engine.begin() as connection:
        created = create_first_admin(connection, email="root@example.org", password=PASSWORD)
    with engine.begin() as connection:
        again = create_first_admin(connection, email="root@example.org", password=PASSWORD + "2")
        other = create_first_admin(connection, email="other@example.org", password=PASSWORD)
    assert created is not None
    assert created.role == "admin"
    assert again is None
    assert other is None
    assert count(engine) == 1


def test_first_admin_whose_address_is_a_researcher_is_refused(engine: Engine) -> None:
    with engine.begin() as connection:
        create_user(connection, email="ada@example.org", password=PASSWORD, role="researcher")
        with pytest.raises(EmailTaken):
            create_first_admin(connection, email="ada@example.org", password=PASSWORD)


@pytest.mark.parametrize("second_email", ["root@example.org", "other@example.org"])
def test_two_processes_that_start_at_once_create_one_first_admin(engine: Engine, second_email: str) -> None:
    barrier = threading.Barrier(2)
    created: list[Person | None] = []

    def boot(email: str) -> None:
        with engine.begin() as connection:
            connection.execute(select(1))
            barrier.wait()
            created.append(create_first_admin(connection, email=email, password=PASSWORD))

    threads = [threading.Thread(target=boot, args=(e,)) for e in ("root@example.org", second_email)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(person is None for person in created) == [False, True]
    assert count(engine) == 1


async def test_two_services_that_start_at_once_create_one_first_admin(async_engine: AsyncEngine) -> None:
    results = await asyncio.gather(boot(async_engine), boot(async_engine))
    assert sorted(person is None for person in results) == [False, True]


async def boot(engine: AsyncEngine) -> Person | None:
    async with engine.begin() as connection:
        return await connection.run_sync(
            lambda sync: create_first_admin(sync, email="root@example.org", password=PASSWORD)
        )
