"""Files that commands make here and now, without a job: the same bytes, and nothing left where it fails."""

import shutil
import tempfile
from pathlib import Path

import sqlalchemy.exc
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from reporting.audit import AuditEntry
from reporting.engine import sync_engine
from sync_server.cli.target import fail, why
from sync_server.cli.transaction import why_unusable
from sync_server.research_files.folder import digest, put
from sync_server.research_files.making import CannotMake, Json, Made, Maker, Wanted
from sync_server.research_files.running import make_here


def make_file(database_url: str, wanted: Wanted, maker: Maker, place: Path) -> tuple[Made, int, str]:
    """Make it under this name, with a progress bar: what was made, bytes, SHA-256. Fails with a sentence."""
    try:
        return _make(database_url, wanted, maker, place)
    except CannotMake as error:
        fail(str(error))
    except OSError as error:
        fail(f"{place} cannot be written: {why(error)}.")
    except sqlalchemy.exc.DBAPIError as error:
        reason = why_unusable(error)
        if reason is None:
            raise
        fail(reason)


def made_here(wanted: Wanted, command: str, recorded: Json | None = None) -> AuditEntry:
    """For the audit record; `recorded`: the request as it stands there, where that is less."""
    return AuditEntry(
        actor=f"sync-server {command}",
        actor_kind="process",
        action=f"{wanted.kind}.make",
        entity="study",
        entity_id=wanted.study,
        study=wanted.study,
        after={
            "sites": wanted.sites,
            "identified": wanted.identified,
            "request": dict(recorded or wanted.request),
        },
    )


def _make(database_url: str, wanted: Wanted, maker: Maker, place: Path) -> tuple[Made, int, str]:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    folder = Path(tempfile.mkdtemp(prefix=f".{place.name}.", suffix=".part", dir=place.parent))
    engine = sync_engine(database_url, application_name=f"metricis-{wanted.kind.partition('_')[0]}")
    try:
        with Progress(*columns, console=Console(stderr=True)) as bar:
            reading = bar.add_task("reading", total=None)

            def tell(done: int, total: int | None, stage: str) -> None:
                bar.update(reading, completed=done, total=total, description=stage)

            made = make_here(engine, wanted, maker, folder, tell)
        size, sha256 = digest(made.path)
        put(made.path, place)
    finally:
        engine.dispose()
        shutil.rmtree(folder, ignore_errors=True)
    return made, size, sha256
