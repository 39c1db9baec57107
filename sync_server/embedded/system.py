"""The whole embedded system: Postgres, Valkey and the services that use them, on one data directory.

    async with EmbeddedSystem(directory) as system:
        await system.start_service("serve", command, environment, ready=…)
        …

The order of a start: lock the directory; end what a killed system left there; Postgres; roles, database and
migrations; Valkey; the services. It stops in the opposite order. `kill -9` of this process stops everything
as well, by the servers' death signal (`launch`) and the services' lifeline (`lifeline`).
"""

import asyncio
import dataclasses
import os
import signal
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec
import structlog

from sync_server.embedded.account import server_account
from sync_server.embedded.data_directory import DataDirectory, DirectoryLock
from sync_server.embedded.database_roles import prepare_database
from sync_server.embedded.keeper import Child
from sync_server.embedded.leftovers import SUPERVISED_VARIABLE, StopSteps, end_leftovers, services_of
from sync_server.embedded.ports import choose_port
from sync_server.embedded.postgres import Postgres
from sync_server.embedded.record import CouchDB, SystemRecord, last_record, write_record
from sync_server.embedded.secrets_file import Secrets, load_or_create
from sync_server.embedded.supervisor import Supervisor
from sync_server.embedded.valkey import Valkey

# A service that lost its supervisor shuts down by itself and is given that time first.
_SERVICE_STOP_STEPS: StopSteps = ((signal.SIGTERM, 30.0),)

log = structlog.get_logger()


class EmbeddedSystem:
    """Postgres and Valkey on the data directory at `path`, with any services started on top.

    `couchdb`: an Apache CouchDB that the services use; it is recorded, also for later starts without one.
    `postgres_port`: None takes the remembered port, or a free one that is remembered from then on.
    `unsafe_for_tests` gives up surviving a crash of the machine for speed; a killed process loses nothing.
    """

    def __init__(
        self,
        path: Path | str,
        *,
        postgres_port: int | None = None,
        couchdb: CouchDB | None = None,
        unsafe_for_tests: bool = False,
    ) -> None:
        self.directory = DataDirectory.at(path)
        self.couchdb = couchdb
        self._wanted_port = postgres_port
        self._durable = not unsafe_for_tests
        self._lock: DirectoryLock | None = None
        self._supervisor: Supervisor | None = None
        self._record: SystemRecord | None = None
        # Set by `start`.
        self.secrets: Secrets
        self.postgres: Postgres
        self.valkey: Valkey

    @property
    def database_url(self) -> str:
        """Postgres as the application's role."""
        return self.postgres.app_url

    @property
    def owner_url(self) -> str:
        """Postgres as the role that owns the schema."""
        return self.postgres.owner_url

    @property
    def redis_url(self) -> str:
        """Valkey."""
        return self.valkey.url

    @property
    def pids(self) -> dict[str, int]:
        """Process ids of the children that run now, by name."""
        return self._supervisor.pids if self._supervisor is not None else {}

    async def __aenter__(self) -> Self:
        try:
            await self.start()
        except BaseException:
            await self.stop()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.stop()

    async def start(self) -> None:
        """Start Postgres and Valkey; returns when both answer and the schema is the newest.

        Raises an EmbeddedError that says why not; `stop` is due even then.
        """
        directory = self.directory
        directory.create()
        self._lock = DirectoryLock(directory)
        self._end_record_of_a_killed_system()
        self._supervisor = Supervisor(self._tell_pids)
        await end_leftovers("service", partial(services_of, directory.root), _SERVICE_STOP_STEPS)
        await self._place_servers()
        await self.postgres.initialise()
        self.postgres.write_settings()
        await self._supervisor.start(self.postgres.child())
        await asyncio.to_thread(prepare_database, self.postgres)
        log.info("database_ready", port=self.postgres.port)
        await self._supervisor.start(self.valkey.child())
        self._tell(state="running")

    async def start_service(
        self,
        name: str,
        command: Sequence[str],
        environment: Mapping[str, str] | None = None,
        *,
        ready: Callable[[], Awaitable[bool]] | None = None,
        ready_timeout_s: float = 60.0,
        stop_timeout_s: float = 30.0,
    ) -> None:
        """Start one of our own processes and keep it running; returns once `ready` says so.

        It gets our environment, with `service_environment` and then `environment` on top, and the lifeline:
        it must call `watch_lifeline` and end cleanly on SIGTERM. Raises StartFailed.
        """
        if self._supervisor is None:
            raise RuntimeError("start_service before start")
        await self._supervisor.start(
            Child(
                name=name,
                command=tuple(command),
                environment={**os.environ, **self.service_environment, **(environment or {})},
                directory=Path.cwd(),
                ready=ready,
                ready_timeout_s=ready_timeout_s,
                stop_steps=((signal.SIGTERM, stop_timeout_s),),
                lifeline=True,
            )
        )

    @property
    def service_environment(self) -> dict[str, str]:
        """The settings that this system knows better than its caller's environment."""
        return {
            "DATABASE_URL": self.database_url,
            "REDIS_URL": self.redis_url,
            "DATA_DIR": str(self.directory.root),
            "JWT_SECRET_KEY": os.environ.get("JWT_SECRET_KEY") or self.secrets.jwt_secret,
            "SESSION_SECRET_KEY": os.environ.get("SESSION_SECRET_KEY") or self.secrets.session_secret,
            SUPERVISED_VARIABLE: str(self.directory.root),
        }

    def announce(self, base_url: str) -> None:
        """Record where the service answers HTTP, for other commands that are given the data directory."""
        self._tell(base_url=base_url)

    async def stop(self) -> None:
        """Stop everything in reverse order and give the directory back. Harmless when nothing runs."""
        if self._supervisor is not None:
            await self._supervisor.stop()
            self._supervisor = None
        if self._record is not None:
            self._tell_quietly(state="stopped", base_url=None)
            self._record = None
            self.directory.remove_socket_directory(self.valkey.socket_directory)
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def _end_record_of_a_killed_system(self) -> None:
        # It says "running" for ever; in a container the killed system may even have had our process id.
        before = last_record(self.directory)
        if before is not None and before.state == "running":
            ended = msgspec.structs.replace(before, state="stopped", base_url=None, children={})
            write_record(self.directory, ended)

    async def _place_servers(self) -> None:
        """Settle account, secrets, sockets and port; after that the URLs are known."""
        directory = self.directory
        account = server_account(directory.cluster)
        directory.arrange(account)
        self.secrets = load_or_create(directory)
        sockets = directory.socket_directory(account)
        self.valkey = Valkey(directory, account, sockets, durable=self._durable)
        before = last_record(directory)
        remembered = before.postgres_port if before is not None else None
        if self.couchdb is None and before is not None:
            self.couchdb = before.couchdb
        postgres = Postgres(directory, account, self.secrets, remembered or 0, sockets, durable=self._durable)
        # An earlier Postgres that is still shutting down would make its own port count as taken.
        await postgres.end_leftovers()
        port = choose_port(directory.root, given=self._wanted_port, remembered=remembered)
        self.postgres = dataclasses.replace(postgres, port=port)
        self._tell(state="starting")

    def _tell_pids(self) -> None:
        if self._record is not None:
            self._tell_quietly(children=self.pids)

    def _tell_quietly(self, **changes: object) -> None:
        try:
            self._tell(**changes)
        except OSError as error:
            # Children are kept running, or stopped, all the same; the record is behind until the next change.
            log.warning("record_not_written", error=str(error))

    def _tell(self, **changes: object) -> None:
        record = self._record or SystemRecord(
            state="starting",
            pid=os.getpid(),
            postgres_port=self.postgres.port,
            database_url=self.database_url,
            owner_url=self.owner_url,
            redis_url=self.redis_url,
            couchdb=self.couchdb,
        )
        self._record = msgspec.structs.replace(record, **changes)
        write_record(self.directory, self._record)


async def run_until_signal(
    system: EmbeddedSystem, on_started: Callable[[EmbeddedSystem], Awaitable[None]]
) -> None:
    """Run `system` until SIGTERM, SIGINT or SIGHUP, then stop it in order; a signal also ends a start.

    `on_started` starts the services, once Postgres and Valkey are up, and tells the person who waits.
    Raises what either raises, after stopping what was started.
    """
    loop = asyncio.get_running_loop()
    told = asyncio.Event()
    # A signal that our parent had us ignore stays ignored: SIGHUP below `nohup`, SIGINT in the background.
    signals = [
        stop_signal
        for stop_signal in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
        if signal.getsignal(stop_signal) is not signal.SIG_IGN
    ]
    for stop_signal in signals:
        loop.add_signal_handler(stop_signal, told.set)

    async def start() -> None:
        await system.start()
        await on_started(system)

    starting = asyncio.create_task(start())
    waiting = asyncio.create_task(told.wait())
    try:
        await asyncio.wait({starting, waiting}, return_when=asyncio.FIRST_COMPLETED)
        if starting.done():
            starting.result()
            await waiting
    finally:
        log.info("system_stopping", data_dir=str(system.directory.root))
        for task in (starting, waiting):
            task.cancel()
        await asyncio.gather(starting, waiting, return_exceptions=True)
        await system.stop()
        for stop_signal in signals:
            loop.remove_signal_handler(stop_signal)
