"""The embedded Valkey (the free successor of Redis, same protocol), on a Unix socket only.

Nothing in it is the only copy of anything (the outbox is in Postgres), but a job that was accepted should not
need to be found again: every write is on the disk before it is acknowledged.
"""

import signal
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from urllib.parse import quote

import redis.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from sync_server.embedded import leftovers
from sync_server.embedded.account import Account
from sync_server.embedded.binaries import valkey_program
from sync_server.embedded.data_directory import DataDirectory
from sync_server.embedded.keeper import Child
from sync_server.embedded.server_process import SERVER_ENVIRONMENT, launched

_STOP_STEPS: leftovers.StopSteps = ((signal.SIGTERM, 30.0),)
_READY_TIMEOUT_S = 120.0
# A server that takes the question and never answers is not ready; its start must be able to give up.
_ANSWER_TIMEOUT_S = 2.0


@dataclass(frozen=True)
class Valkey:
    """The server of one data directory. `durable=False` (flushed once a second) is for tests alone."""

    directory: DataDirectory
    account: Account | None
    socket_directory: Path
    durable: bool = True

    @property
    def socket(self) -> Path:
        """The server's only address."""
        return self.socket_directory / "valkey.sock"

    @property
    def url(self) -> str:
        """The address as Redis clients take it: `unix:///…`."""
        return "unix://" + quote(str(self.socket))

    async def end_leftovers(self) -> None:
        """See that no earlier server writes the files. Call it with the directory's lock held."""
        find = partial(leftovers.servers_in, self.directory.valkey, "valkey-server")
        await leftovers.end_leftovers("valkey", find, _STOP_STEPS)

    def child(self) -> Child:
        """The server as the supervisor runs it."""
        settings = {
            "port": "0",
            "unixsocket": str(self.socket),
            "unixsocketperm": "700",
            "dir": str(self.directory.valkey),
            "appendonly": "yes",
            "appendfsync": "always" if self.durable else "everysec",
            "save": "",
            # A full memory refuses writes; dropping keys would drop jobs.
            "maxmemory-policy": "noeviction",
        }
        arguments = [part for name, value in settings.items() for part in (f"--{name}", value)]
        return Child(
            name="valkey",
            command=launched(
                (valkey_program(), *arguments),
                account=self.account,
                directory=self.directory.valkey,
                death_signal=signal.SIGTERM,
            ),
            environment=SERVER_ENVIRONMENT,
            directory=self.directory.valkey,
            log=self.directory.log / "valkey.log",
            prepare=self.end_leftovers,
            ready=self.answers,
            ready_timeout_s=_READY_TIMEOUT_S,
            stop_steps=_STOP_STEPS,
        )

    async def answers(self) -> bool:
        """Whether the server takes commands, its append-only file read."""
        # Asked again by the caller; the client's own repetitions would take ten times as long to say no.
        client = redis.asyncio.Redis(
            unix_socket_path=str(self.socket), socket_timeout=_ANSWER_TIMEOUT_S, retry=Retry(NoBackoff(), 0)
        )
        try:
            return bool(await client.ping())
        except RedisError:
            return False
        finally:
            await client.aclose()
