"""`/api/auth/totp`: a second factor for one's own account, from start to end."""

from datetime import UTC, datetime
from typing import Annotated

import msgspec
from msgspec import Meta

from sync_server.api.accounts import begin_own_attempt
from sync_server.api.call import Call, Nothing
from sync_server.api.route import delete, post
from sync_server.errors import InvalidRequest, NotAllowed, NotPossible
from sync_server.identity.attempts import succeed
from sync_server.identity.logging_in import record_failure
from sync_server.identity.passwords import verify_password
from sync_server.identity.second_factors import AlreadyEnabled, confirm, passes, remove, start
from sync_server.keys import SEALER

Code = Annotated[str, Meta(min_length=6, max_length=100)]


class SecretToKeep(msgspec.Struct, frozen=True):
    """For an authenticator app: the secret in base32, and as a URI for a QR code. Shown once."""

    secret: str
    uri: str


class ConfirmBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the app shows now."""

    code: Code


class RecoveryCodes(msgspec.Struct, frozen=True):
    """Each passes once, in place of a code of the app. Shown once."""

    recovery_codes: list[str]


class RemoveBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The password, and what the app shows now or a recovery code."""

    password: Annotated[str, Meta(max_length=1024)]
    code: Code


async def start_second_factor(call: Call[Nothing, Nothing]) -> SecretToKeep:
    """Start a second factor: a secret for an authenticator app.

    It is asked for at logins only when `/api/auth/totp/confirm` has seen a code of it. Starting again gives
    another secret, until one is confirmed (409 then).
    """
    person = call.caller.person
    try:
        started = await start(call.connection, call.request.app[SEALER], person=person.id, email=person.email)
    except AlreadyEnabled as error:
        raise NotPossible(str(error)) from error
    await call.record("second_factor.start", "user", str(person.id))
    return SecretToKeep(started.secret, started.uri)


async def confirm_second_factor(call: Call[Nothing, ConfirmBody]) -> RecoveryCodes:
    """Confirm the second factor with a code; from now on logins take one. Answers with recovery codes."""
    person = call.caller.person
    async with call.connection.begin():
        codes = await confirm(
            call.connection,
            call.request.app[SEALER],
            person=person.id,
            code=call.body.code,
            now=datetime.now(UTC),
        )
        if codes is not None:
            await call.record("second_factor.enable", "user", str(person.id))
    if codes is None:
        raise InvalidRequest(
            "code: it is not what the app with the newest secret shows now.", details={"path": "$.code"}
        )
    return RecoveryCodes(codes)


async def remove_second_factor(call: Call[Nothing, RemoveBody]) -> None:
    """Remove the second factor, with password and code; 403 where one of them is wrong."""
    connection, person, body = call.connection, call.caller.person, call.body
    attempt, current, visitor = await begin_own_attempt(call)
    is_right = await verify_password(body.password, current)
    async with connection.begin():
        # Both are looked at whatever the first says: the answer tells not which one is wrong.
        passed = await passes(
            connection,
            call.request.app[SEALER],
            person=person.id,
            code=body.code if is_right else "",
            now=datetime.now(UTC),
        )
        if passed:
            await remove(connection, person.id)
            await succeed(connection, attempt)
            await call.record("second_factor.remove", "user", str(person.id))
        else:
            await record_failure(connection, person.email, attempt, visitor)
    if not passed:
        raise NotAllowed("The password or the code is wrong, or there is no second factor.")


ROUTES = [
    post("/api/auth/totp", start_second_factor, right="own account", status=201, errors=(409,), secret=True),
    post("/api/auth/totp/confirm", confirm_second_factor, right="own account", transaction=False),
    delete("/api/auth/totp", remove_second_factor, right="own account", status=204, transaction=False),
]
