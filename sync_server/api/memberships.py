"""`/api/users`: inviting people, and what they may do in which study, at which of its sites."""

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from reporting.outbox.entry import enter_again
from sync_server.api.accounts import Language, PersonName, checked_email, person_id, told, visible
from sync_server.api.call import Call, Nothing
from sync_server.api.route import delete, post, put
from sync_server.api.visiting import Email
from sync_server.errors import InvalidRequest, NotFound, Taken
from sync_server.identity.access_tokens import Role
from sync_server.identity.changing_passwords import temporary_password
from sync_server.identity.memberships import (
    delete_membership,
    put_membership,
    select_role,
    what_is_missing,
)
from sync_server.identity.passwords import make_hash
from sync_server.identity.people import User
from sync_server.identity.users import insert_user, select_login
from sync_server.jobs.mail import mail_entry
from sync_server.keys import SETTINGS

Code = Annotated[str, Meta(min_length=1, max_length=100)]


class MembershipBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A role in a study, or at one of its sites."""

    study: Code
    role: Role
    site: Code | None = None


class MembershipName(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Which membership: `site` null is the one in the study as a whole."""

    study: Code
    site: Code | None = None


class Invitation(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`role` is for all studies, and for who manages accounts everywhere to give."""

    email: Email
    name: PersonName = ""
    role: Role | None = None
    language: Language = "en"
    memberships: Annotated[list[MembershipBody], Meta(max_length=100)] = []


class Invited(msgspec.Struct, frozen=True):
    """`created`: there was no account with this address. `mailed`: a mail is on its way. Without a mail
    server a new account has a temporary password, which is told here and nowhere else.
    """

    user: User
    created: bool
    mailed: bool
    temporary_password: str | None


async def invite(call: Call[Nothing, Invitation]) -> Invited:
    """Invite somebody: makes the account where there is none, and the memberships, and mails a link.

    Somebody who has an account gets the memberships, and the mail again while no password is set. 409 where
    the account is closed, or a `role` is given to one that is there already.
    """
    body, connection = call.body, call.connection
    if body.role is not None or not body.memberships:
        call.caller.require_everywhere("users.manage")
    for membership in body.memberships:
        call.caller.require("users.manage", membership.study, membership.site)
        await _require_place(call, membership.study, membership.site)
    email = checked_email(body.email)
    by_mail = call.request.app[SETTINGS].smtp_url is not None
    password = None if by_mail else temporary_password()
    person = (
        await connection.execute(
            insert_user(
                email,
                None if password is None else await make_hash(password),
                body.role,
                name=body.name,
                language=body.language,
                password_is_temporary=password is not None,
            )
        )
    ).scalar_one_or_none()
    is_new = person is not None
    waits = is_new
    if person is None:
        account = (await connection.execute(select_login(email))).one()
        if not account.active or body.role is not None:
            raise Taken(f"There is an account with the address {email} already.")
        person, waits = account.id, account.password_hash is None
    for membership in body.memberships:
        await connection.execute(put_membership(person, membership.study, membership.site, membership.role))
    if by_mail and waits:
        await connection.execute(enter_again([mail_entry("invitation", person)]))
    user = await visible(call, person)
    await call.record("user.invite", "user", str(person), after=told(user))
    for membership in body.memberships:
        await call.record(
            "membership.put",
            "user",
            str(person),
            study=membership.study,
            site=membership.site,
            after={"role": membership.role},
        )
    return Invited(
        user, created=is_new, mailed=by_mail and waits, temporary_password=password if is_new else None
    )


async def put_member(call: Call[Nothing, MembershipBody]) -> User:
    """Make somebody a member of a study, or of it at one site, in this role, whatever it was before.

    Somebody who is no member of the caller's studies yet is invited by address (`/api/users/invite`).
    """
    person, body = person_id(call), call.body
    await visible(call, person)
    call.caller.require("users.manage", body.study, body.site)
    await _require_place(call, body.study, body.site)
    role = await call.connection.scalar(select_role(person, body.study, body.site))
    await call.connection.execute(put_membership(person, body.study, body.site, body.role))
    if role != body.role:
        await call.record(
            "membership.put",
            "user",
            str(person),
            study=body.study,
            site=body.site,
            before=None if role is None else {"role": role},
            after={"role": body.role},
        )
    return await visible(call, person)


async def remove_membership(call: Call[Nothing, MembershipName]) -> User:
    """End a membership; 404 where there is none."""
    person, body = person_id(call), call.body
    await visible(call, person)
    call.caller.require("users.manage", body.study, body.site)
    role = await call.connection.scalar(select_role(person, body.study, body.site))
    if role is None:
        raise NotFound("There is no such membership.")
    user_before = await visible(call, person)
    await call.connection.execute(delete_membership(person, body.study, body.site))
    await call.record(
        "membership.remove",
        "user",
        str(person),
        study=body.study,
        site=body.site,
        before={"role": role},
    )
    # Who manages that study alone may not see the account any more, and is told what is left of it.
    left = [each for each in user_before.memberships if (each.study, each.site) != (body.study, body.site)]
    return msgspec.structs.replace(user_before, memberships=left)


async def _require_place(call: Call[Any, Any], study: str, site: str | None) -> None:
    missing = await what_is_missing(call.connection, study, site)
    if missing is not None:
        raise InvalidRequest(missing, details={"study": study, "site": site})


ROUTES = [
    post("/api/users/invite", invite, right="users.manage", status=201, errors=(409,), secret=True),
    put("/api/users/{person}/memberships", put_member, right="users.manage"),
    delete("/api/users/{person}/memberships", remove_membership, right="users.manage"),
]
