"""Second factors: codes of an authenticator app (TOTP, RFC 6238), and recovery codes for its loss.

A code is good for its half minute and the ones before and after (clocks differ), and is taken once: whoever
read it over a shoulder is late. The time step of the last code taken is stored, and nothing up to it is taken
again; the row is locked meanwhile, so of two requests with one code one passes.

| what is shown | outcome |
|---|---|
| the code of this step, or of one beside it, later than the last one taken | passes, once |
| the same again, an older one, another's, anything else | does not |
| a recovery code (typed in any case, with or without `-`) | passes, once |
| any code, where the secret was sealed with a key that is gone | CannotOpen; a recovery code still passes |

The secret is sealed; recovery codes are stored as their SHA-256.
"""

from datetime import datetime
from typing import NamedTuple

from passlib.exc import TokenError  # type: ignore[import-untyped]
from passlib.totp import TOTP  # type: ignore[import-untyped]
from sqlalchemy import Delete, Insert, Select, Update, delete, func, insert, select, update
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.dml import ReturningInsert

from reporting.tables import recovery_codes, second_factors
from sync_server.identity.secret_tokens import CODE_CHARACTERS, digest, new_code, typed_code
from sync_server.sealing import Sealer

ISSUER = "Metricis"
RECOVERY_CODES = 10

_STEP = 30
_Totp = TOTP.using(issuer=ISSUER, period=_STEP)


class Started(NamedTuple):
    """What an authenticator app is given: the secret in base32, and the same as an `otpauth://` URI."""

    secret: str
    uri: str


class AlreadyEnabled(Exception):
    """There is a second factor already: remove it first."""

    def __init__(self) -> None:
        super().__init__(self.__doc__)


def matching_step(secret: str, code: str, *, now: datetime, last_step: int | None) -> int | None:
    """The time step of a code that may be taken now; None where it may not."""
    totp = _Totp(key=secret, format="base32")
    try:
        match = totp.match(code, time=int(now.timestamp()), window=_STEP, last_counter=last_step)
    # ValueError: digits of other scripts; TypeError never, it is text.
    except (TokenError, ValueError):
        return None
    return int(match.counter)


def insert_secret(person: int, sealed: bytes) -> ReturningInsert[int]:
    """Statement: a secret that is to be confirmed, in place of one that never was; no row where one was."""
    f = second_factors.c
    inserted = postgresql.insert(second_factors).values(person=person, secret=sealed)
    return inserted.on_conflict_do_update(
        index_elements=[f.person],
        set_={"secret": inserted.excluded.secret, "created_at": func.now(), "last_step": None},
        where=f.confirmed_at.is_(None),
    ).returning(f.person)


def select_secret(person: int, *, confirmed: bool) -> Select[bytes, int | None]:
    """Statement: (sealed secret, last step), locked."""
    f = second_factors.c
    standing = f.confirmed_at.is_not(None) if confirmed else f.confirmed_at.is_(None)
    return select(f.secret, f.last_step).where(f.person == person, standing).with_for_update()


def has_second_factor(person: int) -> Select[int]:
    """Statement: a row where a login takes a code."""
    f = second_factors.c
    return select(f.person).where(f.person == person, f.confirmed_at.is_not(None))


def take_step(person: int, step: int) -> Update:
    """Statement: this code and those before it are spent."""
    return update(second_factors).where(second_factors.c.person == person).values(last_step=step)


def confirm_secret(person: int) -> Update:
    """Statement: from now on a login takes a code."""
    return update(second_factors).where(second_factors.c.person == person).values(confirmed_at=func.now())


def insert_recovery_codes(person: int, codes: list[str]) -> Insert:
    """Statement: these may each be used once."""
    return insert(recovery_codes).values([{"person": person, "sha256": digest(code)} for code in codes])


def use_recovery_code(person: int, code: str) -> Update:
    """Statement: use it; no row changes where it may not be used."""
    r = recovery_codes.c
    return (
        update(recovery_codes)
        .where(r.person == person, r.sha256 == digest(typed_code(code)), r.used_at.is_(None))
        .values(used_at=func.now())
    )


def delete_recovery_codes(person: int) -> Delete:
    """Statement: none passes any more."""
    return delete(recovery_codes).where(recovery_codes.c.person == person)


def delete_secret(person: int) -> Delete:
    """Statement: a login takes no code any more."""
    return delete(second_factors).where(second_factors.c.person == person)


async def start(connection: AsyncConnection, sealer: Sealer, *, person: int, email: str) -> Started:
    """A new secret, which has to be confirmed with a code. Raises AlreadyEnabled."""
    totp = _Totp.new()
    secret = str(totp.base32_key)
    if (await connection.execute(insert_secret(person, sealer.seal(secret)))).first() is None:
        raise AlreadyEnabled
    # What separates issuer and account in the URI is a colon.
    return Started(secret, str(totp.to_uri(label=email.replace(":", "_"))))


async def confirm(
    connection: AsyncConnection, sealer: Sealer, *, person: int, code: str, now: datetime
) -> list[str] | None:
    """Enable the second factor with the app's first code → recovery codes, which exist here and nowhere else;
    None where the code is wrong or nothing is to be confirmed. Raises `sealing.CannotOpen`.
    """
    if not await _take(connection, sealer, person=person, code=code, now=now, confirmed=False):
        return None
    await connection.execute(confirm_secret(person))
    codes = [new_code() for _ in range(RECOVERY_CODES)]
    await connection.execute(delete_recovery_codes(person))
    await connection.execute(insert_recovery_codes(person, codes))
    return codes


async def passes(
    connection: AsyncConnection, sealer: Sealer, *, person: int, code: str, now: datetime
) -> bool:
    """Whether the code or recovery code passes; it is spent when the caller's transaction commits.

    Raises `sealing.CannotOpen`.
    """
    if len(typed_code(code)) == CODE_CHARACTERS:
        return (await connection.execute(use_recovery_code(person, code))).rowcount == 1
    return await _take(connection, sealer, person=person, code=code, now=now, confirmed=True)


async def _take(
    connection: AsyncConnection, sealer: Sealer, *, person: int, code: str, now: datetime, confirmed: bool
) -> bool:
    row = (await connection.execute(select_secret(person, confirmed=confirmed))).one_or_none()
    if row is None:
        return False
    step = matching_step(sealer.open(row.secret), code, now=now, last_step=row.last_step)
    if step is None:
        return False
    await connection.execute(take_step(person, step))
    return True


async def remove(connection: AsyncConnection, person: int) -> None:
    """A login takes no code any more, in the caller's transaction."""
    await connection.execute(delete_recovery_codes(person))
    await connection.execute(delete_secret(person))
