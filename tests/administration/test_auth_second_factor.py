"""Second factors: codes that pass once."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest
from passlib.totp import TOTP  # type: ignore[import-untyped]

from sync_server.identity.second_factors import matching_step
from tests.administration.office import Office
from tests.administration.people import PASSWORD, bearer, join, log_in, tokens
from tests.api.calls import Api

SECRET = "TRZQ4IKEVA2SNZA4UO2FNKXV3ZN4WGLD"
NOW = datetime(2026, 11, 26, 0, 0, 5, tzinfo=UTC)
STEP = int(NOW.timestamp()) // 30


def code(secret: str, step: int) -> str:
    return str(TOTP(key=secret, format="base32").generate(step * 30).token)


@pytest.mark.parametrize(
    ("step", "last", "taken"),
    [
        (STEP, None, STEP),
        (STEP - 1, None, STEP - 1),
        (STEP + 1, None, STEP + 1),
        (STEP - 2, None, None),
        (STEP + 2, None, None),
        (STEP, STEP, None),
        (STEP - 1, STEP, None),
        (STEP + 1, STEP, STEP + 1),
    ],
)
def test_a_code_is_taken_one_step_around_now_and_after_the_last(
    step: int, last: int | None, taken: int | None
) -> None:
    assert matching_step(SECRET, code(SECRET, step), now=NOW, last_step=last) == taken


@pytest.mark.parametrize("text", ["", "12345", "1234567", "abcdef", "١٢٣٤٥٦", "12 34", "-12345", "\x00" * 6])
def test_what_is_no_code_is_not_taken(text: str) -> None:
    assert matching_step(SECRET, text, now=NOW, last_step=None) is None


async def enable(office: Office, here: Api) -> tuple[str, list[str]]:
    started = await here.call("POST", "/api/auth/totp")
    assert started.status == 201, started.body
    secret = started.body["secret"]
    assert started.body["uri"].startswith("otpauth://totp/Metricis:")
    assert secret in started.body["uri"]
    confirmed = await here.call("POST", "/api/auth/totp/confirm", json={"code": now_code(secret)})
    assert confirmed.status == 200, confirmed.body
    return secret, confirmed.body["recovery_codes"]


_BEGAN: dict[str, int] = {}


def now_code(secret: str, after: int = 0) -> str:
    """Of the moment when the secret was used first, however long the test takes, or some steps after."""
    began = _BEGAN.setdefault(secret, int(datetime.now(UTC).timestamp()) // 30)
    return code(secret, began + after)


async def test_a_login_with_a_second_factor_takes_each_code_once(
    office: Office, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    join(office)
    here = bearer(office.api, await tokens(office.api))
    await here.call("POST", "/api/auth/totp")
    # Not asked for before it is confirmed; starting again gives another secret.
    assert (await log_in(office.api)).status == 200
    unconfirmed = await here.call("POST", "/api/auth/totp/confirm", json={"code": "000000"})
    assert unconfirmed.error == (422, "invalid_request")
    secret, recovery = await enable(office, here)
    assert (await here.call("POST", "/api/auth/totp")).error == (409, "not_possible")
    assert (await here.get("/api/auth/me")).body["second_factor"] is True

    without = await log_in(office.api)
    assert without.error == (401, "second_factor_required")
    assert (await log_in(office.api, "wrong", otp=now_code(secret, 1))).error == (401, "not_authenticated")
    # The code that confirmed is spent; the next one passes once, of two at once too.
    assert (await log_in(office.api, otp=now_code(secret))).error == (401, "second_factor_required")
    following = now_code(secret, 1)
    both = await asyncio.gather(*(log_in(office.api, otp=following) for _ in range(2)))
    assert sorted(answer.status for answer in both) == [200, 401]
    assert (await log_in(office.api, otp=following)).error == (401, "second_factor_required")
    office.rows("DELETE FROM attempts")

    assert len(set(recovery)) == 10
    assert (await log_in(office.api, otp=recovery[0].upper().replace("-", " "))).status == 200
    assert (await log_in(office.api, otp=recovery[0])).error == (401, "second_factor_required")

    stored = str(office.rows("SELECT * FROM second_factors, recovery_codes, audit_log"))
    # Where lines go depends on whether a test before has configured the logging of this process.
    logged = "".join(capfd.readouterr()) + caplog.text
    for planted in (secret, *recovery, PASSWORD):
        assert planted not in stored
        assert planted not in logged


async def test_removing_it_takes_password_and_code(office: Office) -> None:
    join(office)
    here = bearer(office.api, await tokens(office.api))
    _, recovery = await enable(office, here)

    async def remove(password: str, shown: str) -> Any:
        return await here.call("DELETE", "/api/auth/totp", json={"password": password, "code": shown})

    assert (await remove("wrong password", recovery[0])).error == (403, "not_allowed")
    assert (await remove(PASSWORD, "000000")).error == (403, "not_allowed")
    assert (await remove(PASSWORD, recovery[0])).status == 204
    assert (await log_in(office.api)).status == 200
    actions = [action for (action,) in office.rows("SELECT action FROM audit_log ORDER BY id")]
    assert [action for action in actions if action.startswith("second_factor")] == [
        "second_factor.start",
        "second_factor.enable",
        "second_factor.remove",
    ]


async def test_guessed_codes_block_the_account_and_asking_without_one_does_not_help(office: Office) -> None:
    join(office)
    here = bearer(office.api, await tokens(office.api))
    await enable(office, here)
    for _ in range(5):
        assert (await log_in(office.api)).error == (401, "second_factor_required")
        assert (await log_in(office.api, otp="000000")).error == (401, "second_factor_required")
    blocked = await log_in(office.api, otp="000000")
    assert blocked.error == (429, "too_many_requests")
    assert office.rows("SELECT failures FROM attempts WHERE kind = 'account'") == [(5,)]
