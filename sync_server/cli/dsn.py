"""`sync-server dsn`: the way into Postgres."""

from pathlib import Path

import click

from sync_server.cli.target import data_dir_option, target


@click.command()
@data_dir_option
def dsn(data_dir: Path | None) -> None:
    """Print the Postgres URL, for psql and every other client."""
    click.echo(target(data_dir).database_url)
