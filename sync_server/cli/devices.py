"""`sync-server devices`: enrolling and revoking tablets and hubs."""

import asyncio
from pathlib import Path

import click
import msgspec
import sqlalchemy.exc

from replication.errors import CouchError
from reporting.sites import InvalidSiteName
from reporting.webhooks.events import announce
from sync_server.cli.target import data_dir_option, fail, target
from sync_server.cli.transaction import transaction, why_unusable
from sync_server.enrolment import SiteArchived, enrol_device
from sync_server.identity.devices import EnrolledRole, InvalidDeviceName, device_revoked, revoke
from sync_server.identity.signing_key_file import UnusableSigningKey


@click.group()
def devices() -> None:
    """Tablets and hubs that may sync."""


@devices.command("enrol")
@click.option("--site", required=True, help="Code of the site, such as `lima`; its database is made if new.")
@click.option("--device", required=True, help="Name of the device, such as `lima-tab-2`.")
@click.option(
    "--role", type=click.Choice(["tablet", "hub"]), default="tablet", show_default=True, help="What it is."
)
@click.option("--url", help="Base of the printed URL: how the device reaches this server.")
@click.option("--keep", is_flag=True, help="Leave the device's earlier credentials in force.")
@data_dir_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def enrol_command(
    site: str,
    device: str,
    role: EnrolledRole,
    url: str | None,
    data_dir: Path | None,
    *,
    keep: bool,
    as_json: bool,
) -> None:
    """Enrol a device; prints its credential, this once."""
    where = target(data_dir)
    if not where.base_url:
        fail("The service of that system has not started yet; try again in a moment.")
    try:
        enrolment = asyncio.run(
            enrol_device(
                site=site,
                device=device,
                role=role,
                feed_url=where.feed_url,
                public_base=url or where.base_url,
                database_url=where.database_url,
                data_dir=where.data_dir,
                keep=keep,
                design=where.design,
            )
        )
    except (InvalidSiteName, InvalidDeviceName, SiteArchived, UnusableSigningKey) as error:
        fail(str(error))
    except CouchError as error:
        fail(f"The site database cannot be made: {error.reason}")
    except OSError as error:
        fail(f"The signing key cannot be used: {error}")
    except sqlalchemy.exc.DBAPIError as error:
        reason = why_unusable(error)
        if reason is None:
            raise
        fail(reason)
    if as_json:
        click.echo(msgspec.json.encode(enrolment))
        return
    for name, value in msgspec.structs.asdict(enrolment).items():
        click.echo(f"{name:<9} {value}")
    click.echo(f"\nFor PouchDB: new PouchDB({enrolment.pouchdb_url!r})")
    click.echo("The token is not stored here and is never shown again.")


@devices.command("revoke")
@click.option("--site", required=True, help="Code of the site.")
@click.option("--device", required=True, help="Name of the device.")
@data_dir_option
def revoke_command(site: str, device: str, data_dir: Path | None) -> None:
    """End every credential of a device, at once."""
    where = target(data_dir)
    with transaction(where.database_url) as connection:
        revoked = revoke(connection, site=site, device=device)
        if revoked:
            connection.execute(announce(device_revoked(site, device)))
    if not revoked:
        fail(f"{device} of {site} has no credential in force.")
    click.echo(f"{device} of {site} may not sync any more (credentials revoked: {revoked}).")
