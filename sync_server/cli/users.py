"""`sync-server users`: people's accounts.

For who runs the machine, also where nobody can log in any more. What is done here is on record, by the name
of the command.
"""

from pathlib import Path
from typing import Any, get_args

import click
import msgspec
from sqlalchemy import Connection, func, select, update

from reporting.audit import AuditEntry, record_entry
from reporting.tables import logins
from reporting.tables import users as accounts
from sync_server.cli.target import data_dir_option, fail, target
from sync_server.cli.transaction import transaction
from sync_server.identity.access_tokens import Role
from sync_server.identity.changing_passwords import set_password, temporary_password
from sync_server.identity.logins import EndReason, end_logins, tell_ended
from sync_server.identity.mail_links import spend_links
from sync_server.identity.memberships import LastAdmin, lock_admins
from sync_server.identity.passwords import UnusablePassword, hash_password
from sync_server.identity.users import EmailTaken, InvalidEmail, create_user, normalise_email

_email = click.option("--email", required=True, help="The address to log in with.")
_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group()
def users() -> None:
    """People who may log in."""


@users.command()
@_email
@click.option("--password", help="Twelve characters or more; asked for when not given.")
@click.option("--temporary", is_flag=True, help="Make a password that has to be changed at the first login.")
@click.option(
    "--role",
    type=click.Choice([*get_args(Role), "none"]),
    default="admin",
    show_default=True,
    help="What they may do everywhere; none: as their memberships say.",
)
@data_dir_option
@_json
def create(
    email: str, password: str | None, role: str, data_dir: Path | None, *, temporary: bool, as_json: bool
) -> None:
    """Create an account."""
    where = target(data_dir)
    shown = None
    if temporary:
        if password is not None:
            fail("--temporary makes the password itself: give it, or --password.")
        password = shown = temporary_password()
    elif password is None:
        password = str(click.prompt("Password", hide_input=True, confirmation_prompt=True))
    try:
        with transaction(where.database_url) as connection:
            person = create_user(
                connection, email=email, password=password, role=_role(role), temporary=temporary
            )
            _record(connection, "user.create", person.id, after={"role": person.role})
    except (InvalidEmail, EmailTaken, UnusablePassword) as error:
        fail(str(error))
    told = {"id": person.id, "email": person.email, "role": person.role}
    if shown is not None:
        told["temporary_password"] = shown
    _tell(told, f"{person.email} may log in as {person.role or 'a member'}.", shown, as_json=as_json)


@users.command(name="list")
@data_dir_option
@_json
def list_(data_dir: Path | None, *, as_json: bool) -> None:
    """List all accounts."""
    a = accounts.c
    columns = (a.id, a.email, a.name, a.role, a.active, a.password_is_temporary, a.created_at)
    with transaction(target(data_dir).database_url) as connection:
        rows = connection.execute(select(*columns).order_by(a.id)).mappings().all()
    if as_json:
        click.echo(msgspec.json.encode([dict(row) for row in rows]))
        return
    for row in rows:
        standing = "" if row["active"] else "  closed"
        click.echo(f"{row['id']:>6}  {row['email']}  {row['role'] or 'memberships'}{standing}")


@users.command()
@_email
@data_dir_option
@_json
def reset_password(email: str, data_dir: Path | None, *, as_json: bool) -> None:
    """Give an account a temporary password, printed once; ends its logins."""
    password = temporary_password()
    with transaction(target(data_dir).database_url) as connection:
        person = _find(connection, email)
        connection.execute(set_password(person, hash_password(password), temporary=True))
        _end_logins(connection, person, "password_reset")
        _record(connection, "password.reset", person)
    told = {"id": person, "email": email, "temporary_password": password}
    _tell(told, f"{email} has a new password.", password, as_json=as_json)


@users.command()
@_email
@data_dir_option
@_json
def deactivate(email: str, data_dir: Path | None, *, as_json: bool) -> None:
    """Close an account; its logins end at once."""
    with transaction(target(data_dir).database_url) as connection:
        person = _find(connection, email)
        _keep_an_admin(connection, person)
        _change(connection, person, active=False)
        _end_logins(connection, person, "account_closed")
        _record(connection, "user.deactivate", person)
    _tell({"id": person, "email": email, "active": False}, f"{email} is closed.", as_json=as_json)


@users.command()
@_email
@click.argument("role", type=click.Choice([*get_args(Role), "none"]))
@data_dir_option
@_json
def role(email: str, role: str, data_dir: Path | None, *, as_json: bool) -> None:
    """Give an account another role everywhere; none: as its memberships say."""
    with transaction(target(data_dir).database_url) as connection:
        person = _find(connection, email)
        if role != "admin":
            _keep_an_admin(connection, person)
        _change(connection, person, role=_role(role))
        _record(connection, "user.change", person, after={"role": _role(role)})
    _tell({"id": person, "email": email, "role": _role(role)}, f"{email}: {role}.", as_json=as_json)


def _role(name: str) -> Role | None:
    return None if name == "none" else msgspec.convert(name, Role)


def _find(connection: Connection, email: str) -> int:
    try:
        address = normalise_email(email)
    except InvalidEmail as error:
        fail(str(error))
    person: int | None = connection.scalar(select(accounts.c.id).where(accounts.c.email == address))
    if person is None:
        fail(f"There is no account with the address {address}.")
    return person


def _keep_an_admin(connection: Connection, person: int) -> None:
    if list(connection.execute(lock_admins()).scalars()) == [person]:
        fail(str(LastAdmin()))


def _change(connection: Connection, person: int, **values: Any) -> None:
    a = accounts.c
    connection.execute(
        update(accounts)
        .where(a.id == person)
        .values(**values, row_version=a.row_version + 1, updated_at=func.now())
    )


def _end_logins(connection: Connection, person: int, reason: EndReason) -> None:
    ended = list(connection.execute(end_logins(reason, logins.c.person == person)).scalars())
    if ended:
        connection.execute(tell_ended(ended))
    connection.execute(spend_links(person))


def _record(connection: Connection, action: str, person: int, *, after: Any = None) -> None:
    entry = AuditEntry(
        actor="sync-server users",
        actor_kind="process",
        action=action,
        entity="user",
        entity_id=str(person),
        after=after,
    )
    connection.execute(record_entry(entry))


def _tell(told: dict[str, Any], sentence: str, password: str | None = None, *, as_json: bool) -> None:
    if as_json:
        click.echo(msgspec.json.encode(told))
        return
    if password is None:
        click.echo(sentence)
        return
    # The password alone goes to standard output, so that a script can take it.
    click.echo(f"{sentence} Temporary password:", err=True)
    click.echo(password)
