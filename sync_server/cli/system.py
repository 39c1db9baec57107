"""`sync-server up`, and the processes it runs: `serve` and `project`."""

import asyncio
import os
import socket
from pathlib import Path

import click

from sync_server.cli.target import fail
from sync_server.embedded.errors import EmbeddedError
from sync_server.embedded.lifeline import watch_lifeline
from sync_server.embedded.system import EmbeddedSystem, run_until_signal
from sync_server.logs import configure_logging
from sync_server.services import run_projector, run_server, start_services
from sync_server.settings import Settings, SettingsError, read_settings


@click.command()
@click.option(
    "--data-dir",
    type=click.Path(file_okay=False, path_type=Path),
    default=lambda: os.environ.get("DATA_DIR", "data"),
    show_default="DATA_DIR, or ./data",
    help="Where everything is kept; made if it is new.",
)
@click.option(
    "--host",
    default=lambda: os.environ.get("HOST", "127.0.0.1"),
    show_default="HOST, or 127.0.0.1",
    help="Address to listen on.",
)
@click.option(
    "--port",
    type=click.IntRange(1, 65535),
    default=lambda: int(os.environ.get("PORT", "8000")),
    show_default="PORT, or 8000",
    help="Port of the service.",
)
@click.option(
    "--pg-port", type=click.IntRange(1, 65535), help="Port of Postgres; a free one is chosen and kept."
)
def up(data_dir: Path, host: str, port: int, pg_port: int | None) -> None:
    """Start everything on this machine: Postgres, Valkey, the service, the projector.

    Runs until it is stopped (Ctrl-C or SIGTERM). What dies is started again.
    """
    configure_logging("INFO", process="up")
    _refuse_taken_port(host, port)
    system = EmbeddedSystem(data_dir, postgres_port=pg_port)

    async def start(running: EmbeddedSystem) -> None:
        await start_services(running, host=host, port=port)
        click.echo(f"Service   http://{host}:{port}\nPostgres  sync-server dsn --data-dir {data_dir}")

    try:
        _check_settings(data_dir, host, port)
        asyncio.run(run_until_signal(system, start))
    except (EmbeddedError, SettingsError) as error:
        fail(str(error))


@click.command()
def serve() -> None:
    """Serve the gateway and the API, on the settings in the environment."""
    settings = _settings("serve")
    watch_lifeline()
    try:
        run_server(settings)
    except SettingsError as error:
        fail(str(error))


@click.command()
def project() -> None:
    """Follow every site database into Postgres, on the settings in the environment."""
    settings = _settings("project")
    watch_lifeline()
    asyncio.run(run_projector(settings))


def _settings(process: str) -> Settings:
    try:
        settings = read_settings(os.environ)
    except SettingsError as error:
        fail(str(error))
    configure_logging(settings.log_level, process=process)
    return settings


def _check_settings(data_dir: Path, host: str, port: int) -> None:
    """Refuse wrong settings before anything starts; the URLs are not known yet, and right by construction."""
    known = {
        "DATABASE_URL": "postgresql://embedded/",
        "REDIS_URL": "unix:///embedded",
        "DATA_DIR": str(data_dir),
        "HOST": host,
        "PORT": str(port),
        "JWT_SECRET_KEY": os.environ.get("JWT_SECRET_KEY") or "made by the embedded system".ljust(64),
    }
    settings = read_settings({**os.environ, **known})
    if settings.couchdb_url is not None:
        raise SettingsError(["COUCHDB_URL is set: `up` serves its own embedded store. Unset it."])


def _refuse_taken_port(host: str, port: int) -> None:
    try:
        with socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET):
            pass
    except OSError as error:
        fail(f"Cannot listen on {host} port {port}: {os.strerror(error.errno or 0)}. Give another --port.")
