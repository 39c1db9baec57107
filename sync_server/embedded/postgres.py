"""The embedded PostgreSQL: one cluster, made once, served on loopback and a Unix socket.

Every step of making it can be killed and repeated: the cluster is initialised beside its place and renamed
into it when complete, roles and database are brought about where they are missing (`database_roles`), and
migrations run in one transaction.
"""

import asyncio
import os
import shutil
import signal
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from urllib.parse import quote

import structlog
from psycopg import pq

from sync_server.embedded import leftovers
from sync_server.embedded.account import Account
from sync_server.embedded.atomic_file import sync_directory, write_atomically
from sync_server.embedded.binaries import POSTGRES_MAJOR, postgres_program
from sync_server.embedded.data_directory import DataDirectory
from sync_server.embedded.errors import DirectoryUnusable
from sync_server.embedded.keeper import Child
from sync_server.embedded.postgres_settings import SUPERUSER, host_rules, server_settings
from sync_server.embedded.secrets_file import Secrets
from sync_server.embedded.server_process import SERVER_ENVIRONMENT, Errand, launched

OWNER = "metricis_owner"
APP = "metricis_app"
DATABASE = "metricis"

# SIGINT is a fast shutdown: clients are disconnected and a checkpoint is written. SIGQUIT writes none.
_STOP_STEPS: leftovers.StopSteps = ((signal.SIGINT, 60.0), (signal.SIGQUIT, 10.0))
# Recovery after a crash replays the log first; on a slow disk that takes minutes.
_READY_TIMEOUT_S = 600.0
# A server that takes the question and never answers is not ready; its start must be able to give up.
_ANSWER_TIMEOUT_S = 2

log = structlog.get_logger()


@dataclass(frozen=True)
class Postgres:
    """The cluster of one data directory. `durable=False` (no fsync) is for tests alone."""

    directory: DataDirectory
    account: Account | None
    secrets: Secrets
    port: int
    socket_directory: Path
    durable: bool = True

    @property
    def app_url(self) -> str:
        """libpq URL of the application's role, on loopback TCP."""
        return f"postgresql://{APP}:{self.secrets.app_password}@127.0.0.1:{self.port}/{DATABASE}"

    @property
    def owner_url(self) -> str:
        """libpq URL of the role that owns the schema, on loopback TCP."""
        return f"postgresql://{OWNER}:{self.secrets.owner_password}@127.0.0.1:{self.port}/{DATABASE}"

    @property
    def superuser_url(self) -> str:
        """libpq URL of the superuser in the database `postgres`, on the socket, where alone it may log in."""
        socket = quote(str(self.socket_directory), safe="")
        login = f"{SUPERUSER}:{self.secrets.superuser_password}"
        return f"postgresql://{login}@/postgres?host={socket}&port={self.port}"

    async def initialise(self) -> None:
        """Make the cluster unless it is there. Raises StartFailed, DirectoryUnusable."""
        cluster = self.directory.cluster
        if cluster.exists():
            _check_version(self.directory)
            return
        unfinished = self.directory.postgres / "data.new"
        await leftovers.end_leftovers("initdb", partial(leftovers.servers_in, unfinished, "postgres"), ())
        log.info("cluster_creating", directory=str(cluster))
        password_file = self.directory.postgres / "initdb.password"
        _make_empty(unfinished, self.account)
        group = None if self.account is None else self.account.gid
        password = self.secrets.superuser_password.encode()
        write_atomically(password_file, password, mode=0o640, group=group)
        arguments = (
            f"--pgdata={unfinished}",
            f"--username={SUPERUSER}",
            f"--pwfile={password_file}",
            "--auth=scram-sha-256",
            "--encoding=UTF8",
            # Sorts by code point as the locale C does, yet knows the letters beyond ASCII.
            "--locale=C",
            "--locale-provider=builtin",
            "--builtin-locale=C.UTF-8",
            "--data-checksums",
            *(() if self.durable else ("--no-sync",)),
        )
        command = launched(
            (postgres_program("initdb"), *arguments),
            account=self.account,
            directory=unfinished,
            death_signal=signal.SIGKILL,
        )
        try:
            await Errand("initdb", command, unfinished, self.directory.log / "initdb.log").run()
        finally:
            password_file.unlink(missing_ok=True)
        unfinished.rename(cluster)
        sync_directory(cluster.parent)
        log.info("cluster_created", directory=str(cluster))

    @property
    def _settings_file(self) -> Path:
        # Beside the cluster, not in it: the account that runs the server can read the file, not change it.
        return self.directory.postgres / "postgresql.conf"

    def write_settings(self) -> None:
        """Write the configuration files."""
        group = None if self.account is None else self.account.gid
        rules = self.directory.postgres / "pg_hba.conf"
        settings = server_settings(
            port=self.port,
            socket_directory=self.socket_directory,
            host_rules=rules,
            memory_bytes=os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"),
            durable=self.durable,
        )
        for path, text in ((rules, host_rules()), (self._settings_file, settings)):
            write_atomically(path, text.encode(), mode=0o640, group=group)

    async def end_leftovers(self) -> None:
        """See that no earlier server or backend uses the cluster. Call it with the directory's lock held."""
        cluster = self.directory.cluster
        find = partial(leftovers.servers_in, cluster, "postgres")
        await leftovers.end_leftovers("postgres", find, _STOP_STEPS)
        leftovers.remove_stale_locks(cluster, self.socket_directory)

    def child(self) -> Child:
        """The server as the supervisor runs it."""
        cluster = self.directory.cluster
        program = (
            postgres_program("postgres"),
            "-D",
            cluster,
            "-c",
            f"config_file={self._settings_file}",
        )
        return Child(
            name="postgres",
            command=launched(program, account=self.account, directory=cluster, death_signal=signal.SIGINT),
            environment=SERVER_ENVIRONMENT,
            directory=cluster,
            log=self.directory.log / "postgres.log",
            prepare=self.end_leftovers,
            ready=self.answers,
            ready_timeout_s=_READY_TIMEOUT_S,
            stop_steps=_STOP_STEPS,
        )

    async def answers(self) -> bool:
        """Whether the server accepts connections; no login is needed to tell."""
        question = f"{self.superuser_url}&connect_timeout={_ANSWER_TIMEOUT_S}"
        return await asyncio.to_thread(pq.PGconn.ping, question.encode()) == pq.Ping.OK


def _make_empty(directory: Path, account: Account | None) -> None:
    if directory.exists():
        shutil.rmtree(directory)
    directory.mkdir(mode=0o700)
    if account is not None:
        os.chown(directory, account.uid, account.gid)


def _check_version(directory: DataDirectory) -> None:
    version = (directory.cluster / "PG_VERSION").read_text().strip()
    if version != POSTGRES_MAJOR:
        raise DirectoryUnusable(
            directory.root,
            f"its database was made by PostgreSQL {version}, and this release brings {POSTGRES_MAJOR}: "
            "dump it with the old release and load it with this one",
        )
