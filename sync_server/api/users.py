"""`/api/users`: people's accounts.

Accounts are made and changed by who manages accounts everywhere. Who manages a study alone sees its members,
invites people into it, and says what its members may do there.
"""

from typing import Any

import msgspec
from msgspec import UNSET, UnsetType
from sqlalchemy.exc import IntegrityError

from reporting.outbox.entry import enter_again
from reporting.tables import users
from sync_server.api import memberships
from sync_server.api.accounts import Language, PersonName, checked_email, person_id, told, visible
from sync_server.api.call import Call, ListQuery, Nothing, PageOf
from sync_server.api.parameters import Text
from sync_server.api.route import get, patch, post
from sync_server.api.visiting import Email
from sync_server.errors import NotFound, NotPossible, Taken
from sync_server.identity.access_tokens import Role
from sync_server.identity.address_changes import insert_address_change
from sync_server.identity.changing_passwords import end_what_the_old_one_opened, temporary_password
from sync_server.identity.mail_links import spend_links
from sync_server.identity.memberships import LastAdmin, require_another_admin
from sync_server.identity.passwords import make_hash
from sync_server.identity.people import User, lock_account, member_of, select_users, update_account
from sync_server.identity.users import insert_user
from sync_server.jobs.mail import address_change_entries
from sync_server.keys import SETTINGS


class UsersQuery(ListQuery, frozen=True, kw_only=True):
    """`study`: its members."""

    study: Text | None = None
    role: Role | None = None
    active: bool | None = None
    email: Text | None = None


class NewUser(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`role` null: what they may do is in their memberships."""

    email: Email
    name: PersonName = ""
    role: Role | None = None
    language: Language = "en"


class CreatedUser(msgspec.Struct, frozen=True):
    """The password is told here and nowhere else; it has to be changed at the first login."""

    user: User
    temporary_password: str


class UserChange(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is absent stays. One's own name and language anybody may change."""

    email: Email | UnsetType = UNSET
    name: PersonName | UnsetType = UNSET
    role: Role | UnsetType | None = UNSET
    language: Language | UnsetType = UNSET


async def list_users(call: Call[UsersQuery, Nothing]) -> PageOf[User]:
    """List accounts: all, or the members of the studies that the caller is in charge of."""
    u, query = users.c, call.query
    statement = select_users(call.caller.scope("users.read"))
    if query.study is not None:
        if not call.caller.scope("studies.read").sees_study(query.study):
            raise NotFound(f"There is no study {query.study}.")
        statement = statement.where(member_of(query.study))
    if query.role is not None:
        statement = statement.where(u.role == query.role)
    if query.active is not None:
        statement = statement.where(u.active.is_(query.active))
    if query.email is not None:
        statement = statement.where(u.email == query.email.strip().lower())
    return await call.page(
        User,
        statement,
        sortable={"email": u.email, "name": u.name, "created_at": u.created_at, "role": u.role},
        key=[u.id],
    )


async def get_user(call: Call[Nothing, Nothing]) -> User:
    """Read an account."""
    return await visible(call, person_id(call))


async def create_user(call: Call[Nothing, NewUser]) -> CreatedUser:
    """Make an account with a temporary password, which is told once."""
    call.caller.require_everywhere("users.manage")
    email = checked_email(call.body.email)
    password = temporary_password()
    person = (
        await call.connection.execute(
            insert_user(
                email,
                await make_hash(password),
                call.body.role,
                name=call.body.name,
                language=call.body.language,
                password_is_temporary=True,
            )
        )
    ).scalar_one_or_none()
    if person is None:
        raise Taken(f"There is an account with the address {email} already.")
    user = await visible(call, person)
    await call.record("user.create", "user", str(person), after=told(user))
    return CreatedUser(user, password)


async def change_user(call: Call[Nothing, UserChange]) -> User:
    """Change an account. With another address, both are told by mail, and links to the old one open nothing.

    409 where the address is taken, or where nobody would be left who manages accounts.
    """
    person, body = person_id(call), call.body
    await visible(call, person)
    needs_manager = body.email is not UNSET or body.role is not UNSET
    if needs_manager or person != call.caller.person.id:
        call.caller.require_everywhere("users.manage")
    if body.role is not UNSET and body.role != "admin":
        await _keep_an_admin(call, person)
    row = (await call.connection.execute(lock_account(person))).one()
    call.match(row.row_version)
    # As it is under the lock: somebody else may have changed it a moment before.
    before = await visible(call, person)
    values: dict[str, Any] = {
        name: value for name, value in msgspec.structs.asdict(body).items() if value is not UNSET
    }
    if body.email is not UNSET:
        values["email"] = checked_email(body.email)
    try:
        async with call.connection.begin_nested():
            await call.connection.execute(update_account(person, **values))
    except IntegrityError as error:
        raise Taken(f"There is an account with the address {values.get('email')} already.") from error
    if values.get("email", row.email) != row.email:
        await call.connection.execute(spend_links(person))
        await _tell_both_addresses(call, person, row.email, values["email"])
    after = await visible(call, person)
    await call.record("user.change", "user", str(person), before=told(before), after=told(after))
    return after


async def deactivate_user(call: Call[Nothing, Nothing]) -> User:
    """Close an account: its logins end at once, its links open nothing. It can be opened again.

    409 where nobody would be left who manages accounts.
    """
    person = person_id(call)
    await visible(call, person)
    call.caller.require_everywhere("users.manage")
    await _keep_an_admin(call, person)
    row = (await call.connection.execute(lock_account(person))).one()
    if row.active:
        await call.connection.execute(update_account(person, active=False))
        ended = await end_what_the_old_one_opened(call.connection, person, "account_closed")
        await call.record("user.deactivate", "user", str(person), after={"logins_ended": ended})
    return await visible(call, person)


async def activate_user(call: Call[Nothing, Nothing]) -> User:
    """Open a closed account again, with the password that it had."""
    person = person_id(call)
    await visible(call, person)
    call.caller.require_everywhere("users.manage")
    row = (await call.connection.execute(lock_account(person))).one()
    if not row.active:
        await call.connection.execute(update_account(person, active=True))
        await call.record("user.activate", "user", str(person))
    return await visible(call, person)


async def _tell_both_addresses(call: Call[Any, Any], person: int, before: str, after: str) -> None:
    if call.request.app[SETTINGS].smtp_url is None:
        return
    change = await call.connection.scalar(insert_address_change(person, before=before, after=after))
    await call.connection.execute(enter_again(address_change_entries(person, change or 0)))


async def _keep_an_admin(call: Call[Any, Any], person: int) -> None:
    try:
        await require_another_admin(call.connection, person)
    except LastAdmin as error:
        raise NotPossible(str(error)) from error


ROUTES = [
    get("/api/users", list_users, right="users.read"),
    post("/api/users", create_user, right="users.manage", status=201, errors=(409,), secret=True),
    *memberships.ROUTES,
    get("/api/users/{person}", get_user, right="users.read"),
    patch("/api/users/{person}", change_user, right="own account", errors=(409, 412, 428)),
    post("/api/users/{person}/deactivate", deactivate_user, right="users.manage", errors=(409,)),
    post("/api/users/{person}/activate", activate_user, right="users.manage"),
]
