"""Postgres in a backup set: PostgreSQL's own programs, found, checked, and called without a password in view.

| situation | what follows |
|---|---|
| no pg_dump, or only one that is older than the server | refused, with what was found |
| the password | handed over in the environment: everybody on a machine can read command lines |
| pg_restore fails in the middle | nothing of it is there: one transaction |
| a service is at work on the target | it is connected under its name (`at_work`) |
| the target's roles are others than the dumped ones | who restores owns; grants are made anew |
| row-level security, its policies for roles that may not be there | left out; made anew where they are |
| the dump's schema is older than this release | migrated after it was restored |
| … newer, or of another branch | refused before anything is written |
"""

import asyncio
import os
import re
import shutil
import signal
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from alembic.config import Config
from alembic.script import ScriptDirectory
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from sqlalchemy import Connection

import migrations.upgrade
from reporting.engine import connect, sqlalchemy_url, sync_engine
from reporting.tables import metadata
from sync_server.embedded.binaries import postgres_program
from sync_server.embedded.errors import ServerMissing
from sync_server.researchers.installing import around_migrations
from sync_server.researchers.logins import driver_of

_ABSENT = "0"
_OF_PROCESSES = frozenset({"duties", "proofs", "site_states", "audit_chain"})
"""Tables that processes write by themselves in a deployment that nobody has used."""

# `pg_restore --list`, e.g. "4391; 3256 17234 POLICY public sessions research metricis_owner".
_OF_ROW_SECURITY = re.compile(r"\d+; \d+ \d+ (POLICY|ROW SECURITY|COMMENT \S+ POLICY) ")

_VERSION = re.compile(r"\(PostgreSQL\) (\d+)[\w.]*")


class PostgresFailed(Exception):
    """A program of PostgreSQL is missing or failed; the message says which and why."""


def server_version(url: str) -> int:
    """The server's version as PostgreSQL numbers it: 180001. Raises psycopg.Error."""
    with connect(url, application_name="metricis-backup") as connection:
        return connection.info.server_version


async def find_program(name: str, given: Path | None, needed: int) -> tuple[Path, str]:
    """The program (`pg_dump`, `pg_restore`) and its version, its major one not below `needed`'s.

    Looks at `given` alone, or at the PATH and the embedded server's. Raises PostgresFailed.
    """
    candidates = [given] if given is not None else []
    if given is None:
        on_path = shutil.which(name)
        candidates += [Path(on_path)] if on_path else []
        with suppress(ServerMissing):
            candidates.append(postgres_program(name))
    if not candidates:
        raise PostgresFailed(
            f"There is no {name}: install PostgreSQL's client programs, version {needed // 10000} or newer, "
            f"or name it with --{name.replace('_', '-')}."
        )
    old = []
    for program in candidates:
        output = await _run([str(program), "--version"], {})
        told = _VERSION.search(output)
        if told is None:
            raise PostgresFailed(f"{program} does not tell its version: {output.strip()[:200]}")
        if int(told[1]) >= needed // 10000:
            return program, output.strip()
        old.append(f"{program} is version {told[1]}")
    raise PostgresFailed(
        f"The server is PostgreSQL {needed // 10000} and {', '.join(old)}: an older {name} is refused, "
        f"name a newer one with --{name.replace('_', '-')}."
    )


async def dump(program: Path, url: str, file: Path, *, tell: Callable[[int], None]) -> None:
    """Write the whole database to a new file, mode 0600; `tell` hears of its growing size. Raises
    PostgresFailed, OSError.
    """
    await asyncio.to_thread(_touch, file)
    # Views of research access are made again by whoever prepares a database; their owners may not be there.
    without = ["--exclude-schema=research", "--exclude-schema=research_rows"]
    arguments = ["--format=custom", *without, f"--file={file}", "--no-password", f"--dbname={_address(url)}"]
    running = asyncio.create_task(_run([str(program), *arguments], _password(url)))
    try:
        while not running.done():
            await asyncio.wait([running], timeout=0.2)
            tell((await asyncio.to_thread(file.stat)).st_size)
    finally:
        running.cancel()
        await asyncio.wait([running])
    await running


async def read_back(program: Path, file: Path) -> None:
    """Have a dump read to its end, every row unpacked. Raises PostgresFailed."""
    await _run([str(program), "--exit-on-error", f"--file={os.devnull}", str(file)], {})


async def restore(program: Path, url: str, file: Path, *, app_role: str | None) -> None:
    """Replace what is in the database by the dump; `url` is of the role that will own it.

    Raises PostgresFailed, psycopg.Error.
    """
    await asyncio.to_thread(_clear, url, app_role)
    options = ["--single-transaction", "--exit-on-error", "--no-owner", "--no-privileges", "--no-password"]
    listed = await _run([str(program), "--list", str(file)], {})
    kept = [line for line in listed.splitlines(keepends=True) if not _OF_ROW_SECURITY.match(line)]
    # Its own option for that, `--no-policies`, is of PostgreSQL 18.
    with tempfile.NamedTemporaryFile("w", prefix="metricis-restore-", encoding="utf-8") as wanted:
        wanted.writelines(kept)
        wanted.flush()
        options.append(f"--use-list={wanted.name}")
        await _run([str(program), *options, f"--dbname={_address(url)}", str(file)], _password(url))


def _clear(url: str, app_role: str | None) -> None:
    with connect(url, application_name="metricis-restore") as connection, connection.transaction():
        # Processes that run meanwhile hold locks for moments; one that holds them for long is told of.
        connection.execute("SET LOCAL lock_timeout = '20s'")
        connection.execute("DROP SCHEMA public CASCADE")
        connection.execute("CREATE SCHEMA public")
        roles = [sql.SQL("PUBLIC")] if app_role is None else [sql.Identifier(app_role), sql.SQL("PUBLIC")]
        for role in roles:
            connection.execute(sql.SQL("GRANT USAGE ON SCHEMA public TO {}").format(role))


def schema_of(url: str) -> str:
    """Which migration the schema is at. Raises psycopg.Error."""
    with connect(url, application_name="metricis-backup") as connection:
        row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    return str(row[0]) if row else _ABSENT


def check_schema(schema: str) -> None:
    """Refuse a schema that this release does not know. Raises PostgresFailed."""
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.upgrade.__file__).parent))
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    if schema not in known:
        raise PostgresFailed(
            f"The dump has schema {schema}, which this release does not know: restore it with the release "
            "that made it, or a newer one."
        )


def filled_tables(url: str) -> list[str]:
    """What is in the way: tables with rows that somebody put there, tables of others; of a schema that is
    not there, nothing. Raises psycopg.Error.
    """
    with connect(url, application_name="metricis-restore") as connection:
        rows = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
        found = []
        for (name,) in sorted(rows):
            if name in _OF_PROCESSES or name == "alembic_version":
                continue
            if name not in metadata.tables:
                # Somebody else's, and the restore drops the schema: empty or not.
                found.append(f"the table {name}")
                continue
            asked = sql.SQL("SELECT EXISTS (SELECT FROM {})").format(sql.Identifier(name))
            row = connection.execute(asked).fetchone()
            if row is not None and row[0]:
                found.append(f"rows in {name}")
    return found


def at_work(url: str) -> list[str]:
    """Which of this software's processes are connected to the database, by the names that their connections
    give; other restores and backups are not among them. Raises psycopg.Error.
    """
    asked = """
        SELECT application_name, count(*) FROM pg_stat_activity
        WHERE datname = current_database() AND application_name LIKE 'metricis-%'
          AND application_name NOT IN ('metricis-restore', 'metricis-backup')
        GROUP BY 1 ORDER BY 1
    """
    with connect(url, application_name="metricis-restore") as connection:
        rows = connection.execute(asked).fetchall()
    return [f"{name} ({count} connections)" for name, count in rows]


def bring_up_to_date(url: str, grant: Callable[[Connection], None] | None) -> None:
    """Run the migrations that came after the dump, `grant` what the service's role needs, and make research
    access anew where the cluster is prepared for it. Raises SQLAlchemy's, the driver's and Alembic's errors.
    """
    engine = sync_engine(url, application_name="metricis-restore")
    try:
        with engine.begin() as connection:

            def bring() -> None:
                migrations.upgrade.upgrade(connection)
                if grant is not None:
                    grant(connection)

            around_migrations(driver_of(connection), bring)
    finally:
        engine.dispose()


def _touch(file: Path) -> None:
    file.touch(mode=0o600, exist_ok=False)


def _parts(url: str) -> dict[str, Any]:
    plain = sqlalchemy_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    return dict(conninfo_to_dict(plain))


def _address(url: str) -> str:
    parts = _parts(url)
    parts.pop("password", None)
    return make_conninfo("", **parts)


def _password(url: str) -> dict[str, str]:
    password = _parts(url).get("password")
    return {} if password is None else {"PGPASSWORD": str(password)}


async def _run(command: Sequence[str], environment: dict[str, str]) -> str:
    # PGHOST, PGOPTIONS and their like would change where the program goes and what it does.
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    name = Path(command[0]).name
    try:
        process = await asyncio.create_subprocess_exec(
            *command,
            env={**kept, "LC_ALL": "C", **environment},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
    except OSError as error:
        raise PostgresFailed(f"{command[0]} cannot be started: {error.strerror or error}.") from error
    try:
        output, complaint = await process.communicate()
    except asyncio.CancelledError:
        process.kill()
        await process.wait()
        raise
    if process.returncode is not None and process.returncode < 0:
        # It had no time to say so itself, as at a limit of file sizes or of memory.
        raise PostgresFailed(f"{name} was ended by a signal: {signal.Signals(-process.returncode).name}.")
    if process.returncode:
        raise PostgresFailed(f"{name} failed: {complaint.decode(errors='replace').strip()[-1000:]}")
    return output.decode(errors="replace")
