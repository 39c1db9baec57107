"""`sync-server researchers`: logins in Postgres for researchers, and what they may read.

| what happens | what follows |
|---|---|
| no such study or site, no right to make roles | a sentence, exit code 1; nothing has changed |
| the login is new | its password is printed, this once |
| there is nothing to withdraw | a sentence, exit code 1 |
"""

from datetime import UTC, datetime
from pathlib import Path

import click
import msgspec
import psycopg
import sqlalchemy.exc

from reporting.audit import AuditEntry, record_entry
from reporting.research.grants import Grant
from sync_server.cli.research_policy import policy
from sync_server.cli.target import data_dir_option, fail, target
from sync_server.cli.transaction import transaction
from sync_server.embedded.errors import EmbeddedError
from sync_server.embedded.record import running_system
from sync_server.researchers.installing import statements
from sync_server.researchers.listing import list_logins
from sync_server.researchers.logins import UnusableName, give, login_of, renew_password, take

_name = click.option("--name", required=True, help="The login is researcher_<name>.")
_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
_owner = click.option(
    "--owner-url",
    envvar="OWNER_DATABASE_URL",
    help="Postgres as the role that owns the tables and may make roles; not needed with --data-dir.",
)
_service = click.option(
    "--service-role", default="metricis_app", show_default=True, help="The service's role in Postgres."
)


@click.group()
def researchers() -> None:
    """Logins of researchers in Postgres."""


researchers.add_command(policy)


@researchers.command()
@_name
@click.option("--study", required=True, help="The study that they may read.")
@click.option("--site", help="At this site only.")
@click.option("--identified", is_flag=True, help="They see participant codes and dates as they are.")
@click.option("--until", type=click.DateTime(), help="When the grant ends (UTC).")
@_owner
@_service
@data_dir_option
@_json
def grant(  # noqa: PLR0917 (click gives each by its name)
    name: str,
    study: str,
    site: str | None,
    until: datetime | None,
    owner_url: str | None,
    service_role: str,
    data_dir: Path | None,
    *,
    identified: bool,
    as_json: bool,
) -> None:
    """Let a login read a study; makes the login where there is none."""
    login = _login(name)
    expires_at = None if until is None else until.replace(tzinfo=UTC)
    given = Grant(login, study, site, identified, expires_at)
    try:
        with transaction(_owner_url(owner_url, data_dir)) as connection:
            password = give(connection, given, by="sync-server researchers", service=service_role)
            connection.execute(record_entry(_entry("researcher.grant", given)))
    except sqlalchemy.exc.IntegrityError:
        fail(f"There is no study {study}{'' if site is None else f', or no site {site}'}.")
    except psycopg.Error as error:
        fail(f"Postgres refuses (`sync-server researchers sql` prepares it): {error.diag.message_primary}")
    if as_json:
        click.echo(msgspec.json.encode({**given._asdict(), "password": password}))
        return
    click.echo(f"{login} may read {study}{'' if site is None else f' at {site}'}.")
    if password is not None:
        click.echo(f"Password, shown this once: {password}")


@researchers.command()
@_name
@click.option("--study", help="This study only; without it, everything.")
@click.option("--site", help="The grant for this site only.")
@_owner
@data_dir_option
@_json
def revoke(
    name: str,
    study: str | None,
    site: str | None,
    owner_url: str | None,
    data_dir: Path | None,
    *,
    as_json: bool,
) -> None:
    """Withdraw grants; a login without any is shut and its connections are ended."""
    login = _login(name)
    if site is not None and study is None:
        fail("--site needs --study.")
    try:
        with transaction(_owner_url(owner_url, data_dir)) as connection:
            withdrawn = take(connection, login, study, site)
            if withdrawn:
                about = Grant(login, study or "*", site, identified=False, expires_at=None)
                connection.execute(record_entry(_entry("researcher.revoke", about)))
    except psycopg.Error as error:
        fail(f"Postgres refuses: {error.diag.message_primary}")
    if not withdrawn:
        fail(f"{login} has no such grant.")
    if as_json:
        click.echo(msgspec.json.encode({"login": login, "withdrawn": withdrawn}))
        return
    click.echo(f"{withdrawn} grants of {login} are withdrawn.")


@researchers.command()
@_name
@_owner
@data_dir_option
@_json
def password(name: str, owner_url: str | None, data_dir: Path | None, *, as_json: bool) -> None:
    """Give a login a new password; connections made with the old one go on until they end."""
    login = _login(name)
    try:
        with transaction(_owner_url(owner_url, data_dir)) as connection:
            new = renew_password(connection, login)
            connection.execute(
                record_entry(_entry("researcher.password", Grant(login, "*", None, False, None)))
            )
    except psycopg.errors.UndefinedObject:
        fail(f"There is no login {login}: `researchers grant` makes it.")
    except psycopg.Error as error:
        fail(f"Postgres refuses: {error.diag.message_primary}")
    if as_json:
        click.echo(msgspec.json.encode({"login": login, "password": new}))
        return
    click.echo(f"Password of {login}, shown this once: {new}")


@researchers.command(name="list")
@data_dir_option
@_json
def list_(data_dir: Path | None, *, as_json: bool) -> None:
    """List logins, whether they are open, their connections now, and their grants."""
    with transaction(target(data_dir).database_url) as connection:
        logins = list_logins(connection, datetime.now(UTC))
    if as_json:
        click.echo(msgspec.json.encode(logins))
        return
    for each in logins:
        most = "" if each.most_connections is None else f" of {each.most_connections}"
        click.echo(f"{each.login}  {each.state}  {each.connections}{most} connections")
        for grant in each.grants:
            until = "" if grant.expires_at is None else f"  until {grant.expires_at:%Y-%m-%d %H:%M}"
            marked = "  identified" if grant.identified else ""
            click.echo(f"  {grant.study}  {grant.site or 'every site'}{marked}{until}")


@researchers.command(name="sql")
@click.option("--database", default="metricis", show_default=True, help="The database.")
@click.option("--owner-role", default="metricis_owner", show_default=True, help="Who owns its tables.")
@_service
def sql_(database: str, owner_role: str, service_role: str) -> None:
    """Print what a superuser has to run in the database, once and after each release."""
    click.echo("BEGIN;")
    for statement in statements(database=database, owner=owner_role, service=service_role):
        click.echo(f"{statement.as_string(None).strip()};")
    click.echo("COMMIT;")


def _login(name: str) -> str:
    try:
        return login_of(name)
    except UnusableName as error:
        fail(str(error))


def _owner_url(owner_url: str | None, data_dir: Path | None) -> str:
    if data_dir is not None:
        try:
            return running_system(data_dir).owner_url
        except EmbeddedError as error:
            fail(str(error))
    if owner_url is None:
        fail("Give --data-dir of a running system, or --owner-url.")
    return owner_url


def _entry(action: str, grant: Grant) -> AuditEntry:
    return AuditEntry(
        actor="sync-server researchers",
        actor_kind="process",
        action=action,
        entity="researcher",
        entity_id=grant.login,
        study=None if grant.study == "*" else grant.study,
        site=grant.site,
        after={"identified": grant.identified} if action == "researcher.grant" else None,
    )
