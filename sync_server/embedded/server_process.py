"""How a server's program is called: through `launch`, with an environment of its own, under its account."""

import asyncio
import os
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sync_server.embedded import launch, server_log
from sync_server.embedded.account import Account
from sync_server.embedded.errors import StartFailed

# Nothing of the caller's environment: PGPORT, PGOPTIONS and their like would change what the server does.
SERVER_ENVIRONMENT = {"PATH": os.defpath, "LC_ALL": "C"}


def launched(
    program: Sequence[str | Path], *, account: Account | None, directory: Path, death_signal: signal.Signals
) -> tuple[str, ...]:
    """`program` wrapped so that it runs under `account`, reaches `directory` and ends with this process.

    Call it anew for every start: it names this process as the parent.
    """
    options = ["--parent", str(os.getpid()), "--death-signal", str(int(death_signal))]
    options += ["--directory", str(directory)]
    if account is not None:
        options += ["--uid", str(account.uid), "--gid", str(account.gid)]
    return (sys.executable, "-I", "-S", launch.__file__, *options, "--", *(str(part) for part in program))


@dataclass(frozen=True)
class Errand:
    """A program that does one thing and ends, such as initdb."""

    name: str
    command: tuple[str, ...]
    directory: Path
    log: Path

    async def run(self) -> None:
        """Run it to its end; kill it when cancelled. Raises StartFailed, with its output, if it fails."""
        before = server_log.size(self.log)
        process = await self._spawn()
        try:
            code = await process.wait()
        except asyncio.CancelledError:
            process.kill()
            await process.wait()
            raise
        if code != 0:
            raise StartFailed(self.name, f"exit code {code}", server_log.tail(self.log, before))

    async def _spawn(self) -> asyncio.subprocess.Process:
        with server_log.open_log(self.log) as output:
            try:
                return await asyncio.create_subprocess_exec(
                    *self.command,
                    cwd=self.directory,
                    env=SERVER_ENVIRONMENT,
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    start_new_session=True,
                )
            except OSError as error:
                raise StartFailed(self.name, str(error)) from error
