"""`sync-server users`: people's accounts."""

from pathlib import Path
from typing import get_args

import click
import msgspec

from sync_server.cli.target import data_dir_option, fail, target
from sync_server.cli.transaction import transaction
from sync_server.identity.access_tokens import Role
from sync_server.identity.passwords import UnusablePassword
from sync_server.identity.users import EmailTaken, InvalidEmail, create_user


@click.group()
def users() -> None:
    """People who may log in."""


@users.command()
@click.option("--email", required=True, help="The address to log in with.")
@click.option("--password", help="Twelve characters or more; asked for when not given.")
@click.option(
    "--role", type=click.Choice(get_args(Role)), default="admin", show_default=True, help="What they may do."
)
@data_dir_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def create(email: str, password: str | None, role: Role, data_dir: Path | None, *, as_json: bool) -> None:
    """Create an account."""
    where = target(data_dir)
    if password is None:
        password = str(click.prompt("Password", hide_input=True, confirmation_prompt=True))
    try:
        with transaction(where.database_url) as connection:
            person = create_user(connection, email=email, password=password, role=role)
    except (InvalidEmail, EmailTaken, UnusablePassword) as error:
        fail(str(error))
    if as_json:
        click.echo(msgspec.json.encode({"id": person.id, "email": person.email, "role": person.role}))
    else:
        click.echo(f"{person.email} may log in as {person.role}.")
