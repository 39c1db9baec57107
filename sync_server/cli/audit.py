"""`sync-server audit`: is the audit log what it was?"""

from pathlib import Path

import click
import msgspec

from reporting.audit_chain import BATCH, Verified, seal, verify
from sync_server.cli.target import data_dir_option, fail, target
from sync_server.cli.transaction import transaction


@click.group()
def audit() -> None:
    """The audit log as a chain of digests."""


@audit.command("verify")
@click.option(
    "--expect", metavar="DIGEST", help="A head that was printed earlier: it has to be in the chain."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@data_dir_option
def verify_command(expect: str | None, data_dir: Path | None, *, as_json: bool) -> None:
    """Compare every entry with the chain; prints its head, to be kept elsewhere.

    Exit code 1 where something was changed; the first such entry is named.
    """
    where = target(data_dir)
    sealed = BATCH
    while sealed == BATCH:
        with transaction(where.database_url) as connection:
            sealed, _ = seal(connection)
    with transaction(where.database_url) as connection:
        found = verify(connection, expect=None if expect is None else expect.strip().lower())
    if as_json:
        click.echo(msgspec.json.encode(found))
    else:
        _print(found)
    if found.first_break is not None:
        fail(f"{found.first_break.kind}: {found.first_break.message}")


def _print(found: Verified) -> None:
    click.echo(f"entries   {found.entries}")
    click.echo(f"erased    {found.erased}")
    click.echo(f"head      {found.head.digest}")
