"""A person's password becomes another one: by its owner, by a link, by whoever manages accounts.

A new password ends what the old one opened: logins (the owner keeps the one that asks), and links by mail.
"""

import secrets

from sqlalchemy import Update, func, update
from sqlalchemy.ext.asyncio import AsyncConnection

from reporting.tables import logins, users
from sync_server.identity.logins import EndReason, end
from sync_server.identity.mail_links import spend_links
from sync_server.identity.secret_tokens import new_code


def temporary_password() -> str:
    """A password to be told once and changed at the first login: about 80 bits."""
    return new_code()


def set_password(
    person: int, password_hash: str, *, temporary: bool = False, instead_of: str | None = None
) -> Update:
    """Statement: another password; with `instead_of` (a hash): while that is the one it has."""
    u = users.c
    statement = update(users).where(u.id == person)
    if instead_of is not None:
        statement = statement.where(u.password_hash == instead_of)
    return statement.values(
        password_hash=password_hash,
        password_is_temporary=temporary,
        row_version=u.row_version + 1,
        updated_at=func.now(),
    )


async def end_what_the_old_one_opened(
    connection: AsyncConnection, person: int, reason: EndReason, *, keep: str | None = None
) -> int:
    """End the person's logins but `keep`, and all links, in the caller's transaction → how many logins."""
    which = [logins.c.person == person] + ([] if keep is None else [logins.c.id != keep])
    ended = await end(connection, reason, *which)
    await connection.execute(spend_links(person))
    return len(ended)


def same(first: str, second: str) -> bool:
    """Whether two passwords are the same."""
    return secrets.compare_digest(first.encode(errors="surrogatepass"), second.encode(errors="surrogatepass"))
