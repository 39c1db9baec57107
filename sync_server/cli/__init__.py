"""The command line: `sync-server …`. Each group of commands has a file; `sync-server --help` lists them."""

from collections.abc import Mapping
from importlib import import_module

import click

from sync_server.cli.importing import imported_for_good

COMMANDS: Mapping[str, str] = {
    "up": "sync_server.cli.system",
    "demo": "sync_server.cli.demo",
    "hub": "sync_server.cli.hub",
    "serve": "sync_server.cli.services",
    "project": "sync_server.cli.services",
    "relay": "sync_server.cli.services",
    "work": "sync_server.cli.services",
    "publish": "sync_server.cli.publish",
    "migrate": "sync_server.cli.migrate",
    "provision": "sync_server.cli.provision",
    "dsn": "sync_server.cli.dsn",
    "devices": "sync_server.cli.devices",
    "users": "sync_server.cli.users",
    "load": "sync_server.cli.load",
    "store": "sync_server.cli.store",
    "rebuild": "sync_server.cli.rebuild",
    "rescore": "sync_server.cli.rescore",
    "reconcile": "sync_server.cli.reconcile",
    "participants": "sync_server.cli.participants",
    "replication": "sync_server.cli.replication",
    "researchers": "sync_server.cli.researchers",
    "export": "sync_server.cli.export",
    "report": "sync_server.cli.report",
    "redcap": "sync_server.cli.redcap",
    "audit": "sync_server.cli.audit",
    "backup": "sync_server.cli.backup",
    "restore": "sync_server.cli.restore",
}
"""Each command, and the module that has it under the same name."""


class LazyGroup(click.Group):
    """Imports a command's module when that command is asked for: a second matters in a shell loop."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 (click's signature)
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in COMMANDS:
            return None
        with imported_for_good():
            command: click.Command = getattr(import_module(COMMANDS[cmd_name]), cmd_name)
        return command


@click.group(
    cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.version_option(package_name="metricis-sync")
def main() -> None:
    """Metricis Sync: tablets replicate session documents in, researchers query them in Postgres.

    `sync-server up --data-dir DIR` starts everything on one machine. Other commands reach a running system
    through its --data-dir, or without one through the settings in the environment (docs/OPERATIONS.md).
    """
