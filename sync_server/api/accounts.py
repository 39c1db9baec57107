"""What routes of accounts share: which account is meant, who may see it, what is told of it."""

import re
from typing import Annotated, Any, Literal, NamedTuple

from msgspec import Meta

from reporting.scope import EVERYTHING
from sync_server.api.call import Call
from sync_server.api.visiting import too_many, visitor_of
from sync_server.errors import InvalidRequest, NotFound
from sync_server.identity.attempts import Attempt, Blocked, begin_attempt_in
from sync_server.identity.people import User, read_user
from sync_server.identity.users import InvalidEmail, normalise_email, select_password_hash
from sync_server.identity.visitors import Visitor

PersonName = Annotated[str, Meta(max_length=200)]
Language = Literal["en", "fr"]

_NUMBER = re.compile(r"[1-9][0-9]{0,17}")


def person_id(call: Call[Any, Any]) -> int:
    """The account that the path names. Raises NotFound."""
    text = call.path("person")
    if _NUMBER.fullmatch(text) is None:
        raise NotFound(f"There is no account {text[:40]}.")
    return int(text)


async def visible(call: Call[Any, Any], person: int) -> User:
    """The account, as the caller may see it; one's own always. Raises NotFound."""
    is_own = person == call.caller.person.id
    scope = EVERYTHING if is_own else call.caller.scope("users.read")
    user = await read_user(call.connection, person, scope)
    if user is None:
        raise NotFound(f"There is no account {person}.")
    return user


class OwnAttempt(NamedTuple):
    """Somebody who is logged in shows their password once more: counted as every attempt is."""

    attempt: Attempt
    password_hash: str | None
    visitor: Visitor


async def begin_own_attempt(call: Call[Any, Any]) -> OwnAttempt:
    """Count it, whatever comes of it. Raises TooMany."""
    connection, person = call.connection, call.caller.person
    visitor = visitor_of(call.request)
    try:
        async with connection.begin():
            attempt = await begin_attempt_in(connection, email=person.email, address=visitor.address)
            current = await connection.scalar(select_password_hash(person.id))
    except Blocked as error:
        raise too_many(error) from error
    return OwnAttempt(attempt, current, visitor)


def checked_email(email: str) -> str:
    """The address as it is stored. Raises InvalidRequest."""
    try:
        return normalise_email(email)
    except InvalidEmail as error:
        raise InvalidRequest(str(error), details={"path": "$.email"}) from error


def told(user: User) -> dict[str, Any]:
    """What the audit log has of an account."""
    return {
        name: getattr(user, name) for name in ("email", "name", "role", "language", "active", "memberships")
    }
