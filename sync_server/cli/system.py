"""`sync-server up`, and the processes it runs: `serve`, `project`, `relay` and `work`."""

import asyncio
import contextlib
import os
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path

import click

from replication.http.collector import collect_seldom
from replication.store.registry import DirectoryInUse
from sync_server.cli.couchdb_of_up import couchdb_of_up, why_away
from sync_server.cli.target import fail
from sync_server.embedded.data_directory import DataDirectory, DirectoryLock
from sync_server.embedded.errors import EmbeddedError
from sync_server.embedded.lifeline import watch_lifeline
from sync_server.embedded.system import EmbeddedSystem, run_until_signal
from sync_server.identity.ended_logins import AnotherProcess
from sync_server.identity.signing_key_file import UnusableSigningKey
from sync_server.logs import configure_logging
from sync_server.sealing import UnusableKey
from sync_server.services import run_projector, run_relay, run_server, start_services
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
            click.echo(f"Service   {settings.base_url}\nPostgres  sync-server dsn --data-dir {data_dir}")
            if running.couchdb is not None and (why := await why_away(data_dir, running.couchdb.url)):
                click.echo(why, err=True)

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


@click.command()
def serve() -> None:
    """Serve the gateway and the API, on the settings in the environment."""
    settings = _settings("serve")
    watch_lifeline()
    with _told_in_a_sentence(f"The service cannot start on {settings.host} port {settings.port}"):
        collect_seldom()
        run_server(settings)


@click.command()
def project() -> None:
    """Follow every site database into Postgres, on the settings in the environment."""
    settings = _settings("project")
    watch_lifeline()
    with _told_in_a_sentence("The projector cannot start"):
        asyncio.run(run_projector(settings))


@click.command()
def relay() -> None:
    """Carry what is to be done outside Postgres to the workers, on the settings in the environment."""
    settings = _settings("relay")
    watch_lifeline()
    with _told_in_a_sentence("The relay cannot start"):
        run_relay(settings)


@click.command()
@click.option(
    "--queues", help="Work on these queues only, comma-separated, the first ones first; unset: on all."
)
def work(queues: str | None) -> None:
    """Publish to tablets, call webhooks, send mail: whatever the relay carries; several may run."""
    # The registry of what there is to do imports all of it, which no other command needs.
    from sync_server.jobs.registry import QUEUES  # noqa: PLC0415
    from sync_server.jobs.worker import run_worker  # noqa: PLC0415

    wanted = tuple(name.strip() for name in queues.split(",")) if queues else QUEUES
    if unknown := sorted(set(wanted) - set(QUEUES)):
        fail(f"There is no queue {', '.join(unknown)}: the queues are {', '.join(QUEUES)}.")
    settings = _settings("work")
    watch_lifeline()
    with _told_in_a_sentence("The worker cannot start"):
        run_worker(settings, wanted)


def _settings(process: str) -> Settings:
    try:
        settings = read_settings(os.environ)
    except SettingsError as error:
        fail(str(error))
    configure_logging(settings.log_level, process=process)
    return settings


@contextlib.contextmanager
def _told_in_a_sentence(what: str) -> Iterator[None]:
    """Ends the command with a sentence for what its operator can mend."""
    try:
        yield
    except (
        SettingsError,
        DirectoryInUse,
        UnusableKey,
        UnusableSigningKey,
        UnusableCertificate,
        AnotherProcess,
    ) as error:
        fail(str(error))
    except OSError as error:
        fail(f"{what}: {_why(error)}.")


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
        fail(f"Cannot listen on {host} port {port}: {_why(error)}. Give another {instead}.")


def _why(error: OSError) -> str:
    if error.errno is not None and error.errno > 0:
        return os.strerror(error.errno)
    # A failed look-up of a name; Python adds what was attempted.
    return (error.strerror or str(error)).partition(" (while ")[0]
