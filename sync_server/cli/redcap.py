"""`sync-server redcap`: sessions in REDCap. Each command has a file; this one lists them."""

import click

from sync_server.cli.redcap_dictionary import dictionary_command


@click.group()
def redcap() -> None:
    """Sessions in REDCap."""


redcap.add_command(dictionary_command)
