"""`sync-server demo`: the whole system, a simulated tablet, and what a researcher then sees.

| the environment has | then also |
|---|---|
| `REDCAP_DEMO_URL`, `REDCAP_DEMO_TOKEN`: a project with the battery's form, repeating | sessions go there |
| `SMTP_URL`, `MAIL_FROM` | made-up people are reminded of visits, at addresses that end in `.example` |

`make demo` starts both on this machine. Whoever started this process may hold its lifeline: when that is cut,
the demo ends as by SIGTERM.
"""

import asyncio
import contextlib
import os
import secrets
import shlex
import shutil
import signal
import socket
import sys
import tempfile
from pathlib import Path

import click
from rich.console import Console

from sync_server.demo.failure import DemoFailed
from sync_server.demo.in_redcap import RedcapProject
from sync_server.demo.run import run_demo
from sync_server.demo.team import STUDY
from sync_server.embedded.data_directory import DataDirectory, is_locked
from sync_server.embedded.errors import EmbeddedError
from sync_server.embedded.lifeline import watch_lifeline
from sync_server.embedded.record import running_system
from sync_server.embedded.system import EmbeddedSystem, run_until_signal
from sync_server.logs import configure_logging
from sync_server.services import start_services

ADMIN = "admin@demo.example"
PREFIX = "metricis-demo-"
NOTEBOOK = Path(__file__).parents[2] / "docs" / "notebooks" / "retest.py"
"""In a checkout: draws the test–retest scatter of each score."""


@click.command()
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="Port of the service; 0 = a free one.")
@click.option(
    "--sessions", type=click.IntRange(1, 10_000), default=24, show_default=True, help="How many to sync."
)
@click.option("--exit", "exit_after", is_flag=True, help="Stop after showing the scores.")
def demo(port: int, sessions: int, *, exit_after: bool) -> None:
    """Start everything in a temporary directory, set up a study, let a simulated tablet sync, and show what
    came of it.

    With REDCAP_DEMO_URL and REDCAP_DEMO_TOKEN in the environment (an empty project with the battery's form),
    sessions are pushed to REDCap; with SMTP_URL and MAIL_FROM, made-up people are reminded of visits.

    The service keeps running until Ctrl-C; then the directory is removed.
    """
    watch_lifeline()
    configure_logging("WARNING", process="demo")
    console = Console()
    redcap = _redcap()
    mails = "SMTP_URL" in os.environ
    _remove_leftovers()
    data_dir = Path(tempfile.mkdtemp(prefix=PREFIX))
    password = secrets.token_urlsafe(12)
    os.environ.update(ADMIN_EMAIL=ADMIN, ADMIN_PASSWORD=password, LOG_LEVEL="WARNING")
    # A person does not look every half second.
    os.environ.setdefault("RATE_LIMIT_PER_MINUTE", "1000")

    async def start(system: EmbeddedSystem) -> None:
        console.print("Postgres and Valkey are up, the schema is migrated.")
        await start_services(system, host="127.0.0.1", port=port or _free_port())
        record = running_system(data_dir)
        await run_demo(record, sessions, console, email=ADMIN, password=password, redcap=redcap, mails=mails)
        if redcap is None or not mails:
            console.print("`make demo` shows REDCap and reminders too; or see `sync-server demo --help`.")
        console.print(f"Service   {record.base_url}")
        console.print(f"Portal    {record.base_url}/portal/")
        console.print(f"Postgres  {record.database_url}", soft_wrap=True)
        console.print(f"Admin     {ADMIN}   password {password}")
        if NOTEBOOK.exists():
            console.print(f"Notebook  {_notebook_command(record.base_url or '', password)}", soft_wrap=True)
        if exit_after:
            os.kill(os.getpid(), signal.SIGTERM)
        else:
            console.print("\nThe service keeps running; Ctrl-C stops it and removes the data.")

    try:
        asyncio.run(run_until_signal(EmbeddedSystem(data_dir), start))
    except (EmbeddedError, DemoFailed) as error:
        click.echo(str(error), err=True)
        raise SystemExit(1) from error
    finally:
        shutil.rmtree(data_dir, ignore_errors=True)


def _notebook_command(base_url: str, password: str) -> str:
    """What to type in another terminal; made of characters that no shell minds."""
    return f"METRICIS_URL={base_url} METRICIS_EMAIL={ADMIN} METRICIS_PASSWORD={password} " + shlex.join(
        [_from_here(Path(sys.executable)), _from_here(NOTEBOOK), "--study", STUDY]
    )


def _from_here(path: Path) -> str:
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


def _redcap() -> RedcapProject | None:
    url, token = os.environ.pop("REDCAP_DEMO_URL", None), os.environ.pop("REDCAP_DEMO_TOKEN", None)
    if (url is None) != (token is None):
        raise click.UsageError("REDCAP_DEMO_URL and REDCAP_DEMO_TOKEN go together.")
    return None if url is None or token is None else RedcapProject(url, token)


def _remove_leftovers() -> None:
    """Remove what demos left that were killed: nobody holds the lock any more."""
    for directory in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        found = DataDirectory(directory)
        with contextlib.suppress(OSError):
            # One that another demo is just making has no lock file yet.
            if found.lock_file.exists() and not is_locked(found):
                shutil.rmtree(directory, ignore_errors=True)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])
