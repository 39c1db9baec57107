"""The command line: `sync-server …`. Each group of commands has a file; `sync-server --help` lists them."""

import click

from sync_server.cli.demo import demo
from sync_server.cli.devices import devices
from sync_server.cli.load import load
from sync_server.cli.system import dsn, project, serve, up
from sync_server.cli.users import users


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="metricis-sync")
def main() -> None:
    """Metricis Sync: tablets replicate session documents in, researchers query them in Postgres.

    `sync-server up --data-dir DIR` starts everything on one machine. Other commands reach a running system
    through its --data-dir, or without one through the settings in the environment (docs/OPERATIONS.md).
    """


for command in (up, serve, project, dsn, devices, users, load, demo):
    main.add_command(command)
