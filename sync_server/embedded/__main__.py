"""`python -m sync_server.embedded --data-dir D`: the servers without the services.

For development and tests. Prints one line of JSON (the fields of `SystemRecord`, and `superuser_url`) on
standard output when both are ready, and runs until it is told to stop.
"""

import asyncio
import sys
from pathlib import Path

import click
import msgspec

from sync_server.embedded.errors import EmbeddedError
from sync_server.embedded.lifeline import watch_lifeline
from sync_server.embedded.record import running_system
from sync_server.embedded.system import EmbeddedSystem, run_until_signal
from sync_server.logs import configure_logging


@click.command()
@click.option("--data-dir", type=click.Path(path_type=Path), required=True)
@click.option("--pg-port", type=int, help="Port of Postgres; by default a free one, kept for the next start.")
@click.option("--unsafe-for-tests", is_flag=True, help="Do not wait for the disk: data may be lost.")
def main(data_dir: Path, pg_port: int | None, *, unsafe_for_tests: bool) -> None:
    """Run PostgreSQL and Valkey on a data directory."""
    configure_logging("INFO", process="embedded")
    watch_lifeline()
    system = EmbeddedSystem(data_dir, postgres_port=pg_port, unsafe_for_tests=unsafe_for_tests)
    try:
        asyncio.run(run_until_signal(system, _announce))
    except EmbeddedError as error:
        click.echo(f"{error}", err=True)
        sys.exit(1)


async def _announce(system: EmbeddedSystem) -> None:
    record = msgspec.to_builtins(running_system(system.directory.root))
    record["superuser_url"] = system.postgres.superuser_url
    click.echo(msgspec.json.encode(record).decode())


if __name__ == "__main__":
    main()
