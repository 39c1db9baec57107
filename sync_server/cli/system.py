"""`sync-server up`: everything on one machine."""

import asyncio
import contextlib
import os
import socket
from collections.abc import Mapping
from pathlib import Path

import click

from sync_server.cli.couchdb_of_up import couchdb_of_up, why_away
from sync_server.cli.target import fail, why
from sync_server.embedded.data_directory import DataDirectory, DirectoryLock
from sync_server.embedded.errors import EmbeddedError
from sync_server.embedded.system import EmbeddedSystem, run_until_signal
from sync_server.logs import configure_logging
from sync_server.services import start_services
from sync_server.settings import Settings, SettingsError, read_settings
from sync_server.tls.certificate import UnusableCertificate, load_context


@click.command()
@click.option(
    "--data-dir",
    type=click.Path(file_okay=False, path_type=Path),
    envvar="DATA_DIR",
    default="data",
    show_envvar=True,
    show_default=True,
    help="Where everything is kept; made if it is new.",
)
@click.option(
    "--host",
    envvar="HOST",
    default="127.0.0.1",
    show_envvar=True,
    show_default=True,
    help="Address to listen on.",
)
@click.option(
    "--port",
    type=click.IntRange(1, 65535),
    envvar="PORT",
    default=8000,
    show_envvar=True,
    show_default=True,
    help="Port of the service.",
)
@click.option(
    "--pg-port", type=click.IntRange(1, 65535), help="Port of Postgres; a free one is chosen and kept."
)
@click.option(
    "--tls-cert",
    type=click.Path(dir_okay=False, path_type=Path),
    envvar="TLS_CERT",
    show_envvar=True,
    help="Serve HTTPS with this certificate (PEM, with its chain).",
)
@click.option(
    "--tls-key",
    type=click.Path(dir_okay=False, path_type=Path),
    envvar="TLS_KEY",
    show_envvar=True,
    help="The certificate's key (PEM).",
)
@click.option(
    "--site-ca",
    is_flag=True,
    envvar="SITE_CA",
    show_envvar=True,
    help="Serve HTTPS with a certificate of an authority that is made in the data directory.",
)
def up(
    data_dir: Path,
    host: str,
    port: int,
    pg_port: int | None,
    *,
    tls_cert: Path | None,
    tls_key: Path | None,
    site_ca: bool,
) -> None:
    """Start everything on this machine: Postgres, Valkey, the service, the projector, relay and worker.

    Runs until it is stopped (Ctrl-C or SIGTERM). What dies is started again. With COUCHDB_URL that CouchDB
    holds the site databases; without it they are in the data directory.
    """
    tls = {"TLS_CERT": tls_cert, "TLS_KEY": tls_key, "SITE_CA": "true" if site_ca else None}
    given = {name: str(value) for name, value in tls.items() if value is not None}

    async def start(running: EmbeddedSystem) -> None:
        tls = {**given, "LOCAL_PORT": str(settings.plain_port)} if settings.has_tls else None
        await start_services(running, host=host, port=port, tls=tls)
        # Whoever started it may have stopped reading; the system runs all the same.
        with contextlib.suppress(OSError):
            click.echo(f"Service   {settings.base_url}\nPortal    {settings.base_url}/portal/")
            click.echo(f"Postgres  sync-server dsn --data-dir {data_dir}")
            if running.couchdb is not None and (away := await why_away(data_dir, running.couchdb.url)):
                click.echo(away, err=True)

    try:
        settings = _checked_settings(data_dir, host, port, given)
        if settings.tls_cert is not None and settings.tls_key is not None:
            load_context(settings.tls_cert, settings.tls_key)
        _refuse_running_system(data_dir)
        couchdb = couchdb_of_up(settings)
        refuse_taken_port(host, port)
        if settings.has_tls:
            refuse_taken_port("127.0.0.1", settings.plain_port, "--port, or LOCAL_PORT")
        configure_logging(settings.log_level, process="up")
        system = EmbeddedSystem(data_dir, postgres_port=pg_port, couchdb=couchdb)
        asyncio.run(run_until_signal(system, start))
    except (EmbeddedError, SettingsError, UnusableCertificate) as error:
        fail(str(error))


def _checked_settings(data_dir: Path, host: str, port: int, tls: Mapping[str, str]) -> Settings:
    """Wrong settings are refused before anything starts; the URLs are not known yet, and right by
    construction. Raises SettingsError.
    """
    known = {
        "DATABASE_URL": "postgresql://embedded/",
        "REDIS_URL": "unix:///embedded",
        "DATA_DIR": str(data_dir),
        "HOST": host,
        "PORT": str(port),
        "JWT_SECRET_KEY": os.environ.get("JWT_SECRET_KEY") or "made by the embedded system".ljust(64),
    }
    return read_settings({**os.environ, **known, **tls})


def _refuse_running_system(data_dir: Path) -> None:
    """Raises AlreadyRunning. Before the port is tried: it is the running system that has it."""
    directory = DataDirectory.at(data_dir)
    try:
        is_known = directory.lock_file.exists()
    except OSError:
        return  # the start says what is wrong with the directory
    if is_known:
        DirectoryLock(directory).release()


def refuse_taken_port(host: str, port: int, instead: str = "--port or --host") -> None:
    """Ends the command with a sentence when the service could not listen there."""
    try:
        with socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET):
            pass
    except OSError as error:
        fail(f"Cannot listen on {host} port {port}: {why(error)}. Give another {instead}.")
