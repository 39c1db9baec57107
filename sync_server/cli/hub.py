"""`sync-server hub`: a site's hub, for a clinic with bad internet."""

import asyncio
from pathlib import Path
from typing import Any

import click

from replication.http.collector import collect_seldom
from replication.store.registry import DirectoryInUse
from sync_server.hub.membership import NotEnrolled
from sync_server.hub.records import RecordsFailed
from sync_server.hub.run import run_hub
from sync_server.hub.settings import HubSettings, checked
from sync_server.key_file import ReadableByOthers
from sync_server.logs import configure_logging
from sync_server.settings import LogLevel, SettingsError
from sync_server.tls.certificate import UnusableCertificate

_MENDABLE = (
    DirectoryInUse,
    NotEnrolled,
    ReadableByOthers,
    RecordsFailed,
    SettingsError,
    UnusableCertificate,
)
"""What its operator can mend, told in a sentence."""

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command()
@click.option("--centre", required=True, help="Base URL of the centre, as https://sync.example.org.")
@click.option("--site", required=True, help="The site whose tablets sync here.")
@click.option("--code", help="One-time code for a hub of the site; needed once.")
@click.option(
    "--data-dir",
    type=click.Path(file_okay=False, path_type=Path),
    default="hub",
    show_default=True,
    help="Where everything is kept; made if it is new. Encrypt its disk.",
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port", type=click.IntRange(1, 65535), default=8443, show_default=True, help="Port for tablets."
)
@click.option(
    "--url", "urls", multiple=True, help="How tablets reach it, as https://hub.local:8443; may be repeated."
)
@click.option("--tls-cert", type=_FILE, help="Certificate for tablets, with its chain (PEM).")
@click.option("--tls-key", type=_FILE, help="Key of the certificate (PEM).")
@click.option("--site-ca", is_flag=True, help="Make a certificate authority for the site, and a certificate.")
@click.option("--insecure-lan", is_flag=True, help="Listen beyond this machine without TLS.")
@click.option(
    "--centre-ca", type=_FILE, help="Certificate authority of the centre, where it is no public one."
)
@click.option(
    "--origin",
    "allowed_origins",
    multiple=True,
    help="Origin whose pages may sync from a browser; may be repeated.",
)
@click.option(
    "--every",
    type=click.FloatRange(0.2, 3600),
    default=10.0,
    show_default=True,
    help="Seconds between contacts with the centre while nothing is new.",
)
@click.option(
    "--log-level",
    type=click.Choice(["DEBUG", "INFO", "WARNING", "ERROR"]),
    default="INFO",
    show_default=True,
    help="Least severe level that is logged.",
)
def hub(log_level: LogLevel, **told: Any) -> None:
    """Serve a site's tablets on its own network, and sync with the centre when there is a link.

    Needs neither Postgres nor Valkey. The first start redeems --code for the hub's own credential.
    """
    configure_logging(log_level, process="hub")
    try:
        settings = checked(HubSettings(**told))
        collect_seldom()
        asyncio.run(run_hub(settings))
    except _MENDABLE as error:
        raise click.ClickException(str(error)) from error
    except OSError as error:
        raise click.ClickException(f"The hub cannot start: {error.strerror or error}.") from error
