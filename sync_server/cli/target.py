"""Which system a command talks to: the one that runs on `--data-dir`, or the one in the settings."""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, NoReturn, TypeVar

import click

from sync_server.embedded.errors import EmbeddedError
from sync_server.embedded.record import SystemRecord, running_system
from sync_server.provisioning.design import SiteDesign, site_design
from sync_server.settings import Settings, SettingsError, read_settings

F = TypeVar("F", bound=Callable[..., Any])


class Target(NamedTuple):
    """Where the system's parts are."""

    database_url: str
    feed_url: str
    base_url: str
    data_dir: Path
    design: SiteDesign | None = None
    """How site databases are made, where an Apache CouchDB holds them."""
    purging_url: str | None = None
    """Where erasures purge, where that is not `feed_url`."""
    production: bool = False


def data_dir_option(command: F) -> F:
    """`--data-dir`, for commands that talk to a running system."""
    return click.option(
        "--data-dir",
        type=click.Path(file_okay=False, path_type=Path),
        help="Data directory of a running `sync-server up`; without it, the settings in the environment.",
    )(command)


def target(data_dir: Path | None) -> Target:
    """The system to talk to. Ends the command with a sentence when there is none."""
    try:
        if data_dir is not None:
            record = running_system(data_dir)
            production = os.environ.get("ENVIRONMENT") == "production"
            return _running(record, data_dir, production=production)
        settings = read_settings(os.environ)
    except (EmbeddedError, SettingsError) as error:
        fail(str(error))
    return Target(
        settings.database_url,
        settings.feed_url,
        _service_url(settings),
        settings.data_dir,
        site_design(settings),
        settings.purging_url,
        settings.environment == "production",
    )


def _running(record: SystemRecord, data_dir: Path, *, production: bool) -> Target:
    base_url = record.base_url or ""
    couchdb = record.couchdb
    if couchdb is None:
        return Target(record.database_url, f"{base_url}/db", base_url, data_dir, production=production)
    return Target(
        record.database_url,
        couchdb.url.rstrip("/"),
        base_url,
        data_dir,
        SiteDesign(couchdb.q, couchdb.n, couchdb.validation),
        # An admin's login is kept nowhere: who erases by hand gives it.
        os.environ.get("COUCHDB_ADMIN_URL") or None,
        production,
    )


def _service_url(settings: Settings) -> str:
    """Where the service answers: beside its own `/db`, where `STORE_URL` is one. A CouchDB tells
    nothing of it.
    """
    if settings.couchdb_url is None and settings.store_url is not None:
        return settings.feed_url.removesuffix("/db")
    return settings.base_url


def fail(message: str, *, code: int = 1) -> NoReturn:
    """End the command: the message on standard error, the exit code to the caller."""
    click.echo(message, err=True)
    sys.exit(code)


def why(error: OSError) -> str:
    """What the system says, without the number and what Python adds."""
    if error.errno is not None and error.errno > 0:
        return os.strerror(error.errno)
    # A failed look-up of a name; Python adds what was attempted.
    return (error.strerror or str(error)).partition(" (while ")[0]
