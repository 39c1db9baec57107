"""`/api/auth`: changing one's own password, and what comes by mail: another password, a login without one.

Whoever asks for a mail gets the same answer after the same time, whether there is such an account or not.
Where no mail server is set (`SMTP_URL`), none is sent, and the log says so.
"""

import asyncio
import time
from typing import Annotated

import msgspec
import structlog
from aiohttp import web
from msgspec import Meta

from reporting.audit import record_entry
from reporting.outbox.entry import enter_again
from sync_server.api.accounts import begin_own_attempt
from sync_server.api.bodies import read_json
from sync_server.api.call import Call, Nothing
from sync_server.api.route import plain, post
from sync_server.api.visiting import Email, NewPassword, Token, visitor_of
from sync_server.errors import Changed, InvalidRequest, NotAllowed, NotAuthenticated
from sync_server.identity.access_tokens import Person
from sync_server.identity.attempts import count_mail, succeed
from sync_server.identity.changing_passwords import end_what_the_old_one_opened, same, set_password
from sync_server.identity.logging_in import record_failure
from sync_server.identity.mail_links import Purpose, select_link, use_link
from sync_server.identity.passwords import make_hash, verify_password
from sync_server.identity.users import InvalidEmail, lock_active, normalise_email, select_active_id
from sync_server.identity.visitors import visited
from sync_server.jobs.mail import mail_entry
from sync_server.keys import ENGINE, SETTINGS

_BODY_LIMIT = 16 * 1024
_ANSWER_AFTER_SECONDS = 0.25
_SET_BY: tuple[Purpose, ...] = ("invitation", "password_reset")

_log = structlog.get_logger()


class ChangePassword(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`current_password` may be absent only where the account has none yet."""

    new_password: NewPassword
    current_password: Annotated[str, Meta(max_length=1024)] = ""


class ResetPassword(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The token of the link, and the password to be."""

    token: Token
    password: NewPassword


class MailWanted(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """To which account's address."""

    email: Email


async def change_password(call: Call[Nothing, ChangePassword]) -> None:
    """Change the own password; ends all other logins, and links that were mailed.

    403 where the current one is wrong, which counts as a failed login.
    """
    connection, person, body = call.connection, call.caller.person, call.body
    attempt, current, visitor = await begin_own_attempt(call)
    if current is not None and not await verify_password(body.current_password, current):
        async with connection.begin():
            await record_failure(connection, person.email, attempt, visitor)
        raise NotAllowed("The current password is wrong.")
    if current is not None and same(body.new_password, body.current_password):
        raise InvalidRequest("new_password: it is the current one.", details={"path": "$.new_password"})
    new_hash = await make_hash(body.new_password)
    async with connection.begin():
        changed = await connection.execute(set_password(person.id, new_hash, instead_of=current))
        if changed.rowcount != 1:
            raise Changed("The password was changed meanwhile.")
        await succeed(connection, attempt)
        ended = await end_what_the_old_one_opened(
            connection, person.id, "password_changed", keep=call.caller.login
        )
        await call.record("password.change", "user", str(person.id), after={"logins_ended": ended})


async def reset_password(call: Call[Nothing, ResetPassword]) -> None:
    """Set a password with the link of an invitation or of a forgotten password; ends all logins.

    401 where the link was used or has expired.
    """
    connection, body = call.connection, call.body
    linked = (await connection.execute(select_link(body.token, _SET_BY))).one_or_none()
    if linked is None:
        raise _unusable()
    # The account first, then the link: whoever logs in by a link locks them in this order.
    account = (await connection.execute(lock_active(linked.person))).one_or_none()
    if account is None or (await connection.execute(use_link(body.token, _SET_BY))).first() is None:
        raise _unusable()
    await connection.execute(set_password(account.id, await make_hash(body.password)))
    ended = await end_what_the_old_one_opened(connection, account.id, "password_reset")
    person = Person(account.id, account.email, account.role)
    after = {"logins_ended": ended}
    await connection.execute(
        record_entry(visited(visitor_of(call.request), "password.reset", person, after=after))
    )


async def forgot_password(request: web.Request) -> web.Response:
    """Ask for a mail with a link to set another password.

    Always 202, after the same time: nothing tells whether there is such an account. One mail a minute.
    """
    return await _ask_for_mail(request, "password_reset")


async def ask_for_magic_link(request: web.Request) -> web.Response:
    """Ask for a mail with a link that logs in.

    Always 202, after the same time: nothing tells whether there is such an account. One mail a minute.
    """
    return await _ask_for_mail(request, "magic_link")


async def _ask_for_mail(request: web.Request, purpose: Purpose) -> web.Response:
    body = await read_json(request, MailWanted, limit=_BODY_LIMIT)
    await ask_for_mail(request.app, body.email, purpose)
    return web.Response(status=202)


async def ask_for_mail(app: web.Application, address: str, purpose: Purpose) -> None:
    """Have a mail sent, if there is such an account; the same to the caller, and as long, if not.

    Raises InvalidRequest where it is no address.
    """
    started = time.monotonic()
    try:
        email = normalise_email(address)
    except InvalidEmail as error:
        raise InvalidRequest(str(error), details={"path": "$.email"}) from error
    if app[SETTINGS].smtp_url is None:
        _log.warning("no mail was sent: SMTP_URL is not set", template=purpose)
    else:
        async with app[ENGINE].begin() as connection:
            may_be_sent = (await connection.execute(count_mail(purpose, email))).first() is not None
            person = await connection.scalar(select_active_id(email))
            if person is not None and may_be_sent:
                await connection.execute(enter_again([mail_entry(purpose, person)]))
    await asyncio.sleep(max(0.0, started + _ANSWER_AFTER_SECONDS - time.monotonic()))


def _unusable() -> NotAuthenticated:
    return NotAuthenticated("This link was used, or has expired: ask for another one.")


ROUTES = [
    post(
        "/api/auth/change-password",
        change_password,
        right="own account",
        status=204,
        errors=(409,),
        transaction=False,
        limit=_BODY_LIMIT,
    ),
    post("/api/auth/reset-password", reset_password, right="public", status=204, limit=_BODY_LIMIT),
    plain(
        "POST",
        "/api/auth/forgot-password",
        forgot_password,
        right="public",
        body=MailWanted,
        status=202,
        limit=_BODY_LIMIT,
    ),
    plain(
        "POST",
        "/api/auth/magic-link",
        ask_for_magic_link,
        right="public",
        body=MailWanted,
        status=202,
        limit=_BODY_LIMIT,
    ),
]
