"""`sync-server redcap`: sessions in REDCap. Each command has a file; this one lists them."""

import click

from sync_server.cli.redcap_dictionary import dictionary_command
from sync_server.cli.redcap_projects import pause_command, pull_command, resume_command, status_command
from sync_server.cli.redcap_push import check_command, push_command


@click.group()
def redcap() -> None:
    """Sessions in REDCap."""


for _command in (
    dictionary_command,
    check_command,
    push_command,
    pull_command,
    status_command,
    pause_command,
    resume_command,
):
    redcap.add_command(_command)
