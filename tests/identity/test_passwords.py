"""Passwords are stored as argon2id, and an absent account is verified like a present one."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from sync_server.identity import passwords
from sync_server.identity.passwords import UnusablePassword, hash_password, verify_password
from tests.cheap_passwords import passwords_at


@pytest.fixture(autouse=True)
def cost_of_the_service() -> Iterator[None]:
    with passwords_at(passwords.COST):
        yield


async def test_password_matches_its_own_hash_only() -> None:
    stored = await asyncio.to_thread(hash_password, "correct horse battery")
    assert stored.startswith("$argon2id$v=19$m=65536,t=3,p=4$")
    assert await verify_password("correct horse battery", stored)
    assert not await verify_password("Correct horse battery", stored)


@pytest.mark.parametrize("password", ["", "x" * 11, "x" * 1025])
def test_password_of_unusable_length_is_refused(password: str) -> None:
    with pytest.raises(UnusablePassword):
        hash_password(password)


async def test_overlong_password_matches_nothing() -> None:
    assert not await verify_password("x" * 5000, None)


async def test_absent_account_is_verified_with_the_same_parameters(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    class Listening:
        def verify(self, password: str, stored: str) -> Any:
            asked.append(stored)
            return real.verify(password, stored)

    real = passwords._ARGON2ID
    stored = await asyncio.to_thread(hash_password, "correct horse battery")
    monkeypatch.setattr(passwords, "_ARGON2ID", Listening())
    assert not await verify_password("correct horse battery", None)
    assert not await verify_password("wrong horse battery", stored)
    nobody, somebody = (one.split("$")[:4] for one in asked)
    assert nobody == somebody
    assert len(asked[0]) == len(asked[1])


@pytest.mark.parametrize("stored", ["no hash", "", "!"])
async def test_what_is_no_hash_lets_nobody_in(stored: str) -> None:
    assert await verify_password("correct horse battery", stored) is False
