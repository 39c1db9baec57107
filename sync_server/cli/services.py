"""The processes that `sync-server up` runs: `serve`, `project`, `relay` and `work`.

Each command imports what it runs: all four are started at once, and what another one needs costs each of them
a good part of its start.
"""

import asyncio
import contextlib
import os
from collections.abc import Iterator

import click

from sync_server.cli.importing import imported_for_good
from sync_server.cli.target import fail, why
from sync_server.embedded.lifeline import watch_lifeline
from sync_server.identity.signing_key_file import UnusableSigningKey
from sync_server.jobs.queue_names import QUEUES
from sync_server.logs import configure_logging
from sync_server.sealing import UnusableKey
from sync_server.settings import Settings, SettingsError, read_settings
from sync_server.tls.certificate import UnusableCertificate


@click.command()
def serve() -> None:
    """Serve the gateway and the API, on the settings in the environment."""
    with imported_for_good():
        from replication.http.collector import collect_seldom
        from replication.store.registry import DirectoryInUse
        from sync_server.identity.ended_logins import AnotherProcess
        from sync_server.serving import run_server

    settings = _settings("serve")
    watch_lifeline()
    with _told_in_a_sentence(
        f"The service cannot start on {settings.host} port {settings.port}", DirectoryInUse, AnotherProcess
    ):
        collect_seldom()
        run_server(settings)


@click.command()
def project() -> None:
    """Follow every site database into Postgres, on the settings in the environment."""
    with imported_for_good():
        from sync_server.projecting import run_projector

    settings = _settings("project")
    watch_lifeline()
    with _told_in_a_sentence("The projector cannot start"):
        asyncio.run(run_projector(settings))


@click.command()
def relay() -> None:
    """Carry what is to be done outside Postgres to the workers, on the settings in the environment."""
    with imported_for_good():
        from sync_server.relaying import run_relay

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
    with imported_for_good():
        from sync_server.jobs.worker import run_worker

    wanted = tuple(name.strip() for name in queues.split(",")) if queues else QUEUES
    if unknown := sorted(set(wanted) - set(QUEUES)):
        fail(f"There is no queue {', '.join(unknown)}: the queues are {', '.join(QUEUES)}.")
    settings = _settings("work")
    watch_lifeline()
    with _told_in_a_sentence("The worker cannot start"):
        run_worker(settings, wanted)


def _settings(process: str) -> Settings:
    with imported_for_good():
        from sync_server.researchers.bound import RowSecurityActive, check_not_bound

    try:
        settings = read_settings(os.environ)
        configure_logging(settings.log_level, process=process)
        check_not_bound(settings.database_url)
    except (SettingsError, RowSecurityActive) as error:
        fail(str(error))
    return settings


@contextlib.contextmanager
def _told_in_a_sentence(what: str, *errors: type[Exception]) -> Iterator[None]:
    """Ends the command with a sentence for what its operator can mend, `errors` among it."""
    told: tuple[type[Exception], ...] = (
        SettingsError,
        UnusableKey,
        UnusableSigningKey,
        UnusableCertificate,
        *errors,
    )
    try:
        yield
    except told as error:
        fail(str(error))
    except OSError as error:
        fail(f"{what}: {why(error)}.")
