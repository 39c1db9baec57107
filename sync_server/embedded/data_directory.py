"""The data directory: what lies where, who may read it, and that one system at a time works in it.

```
D/                 0700; as root 0710 with the servers' group, so that their account can pass
  up.lock          locked while a system runs; holds its process id
  system.json      the running system as other commands see it (`record`)
  secrets.json     passwords and signing secrets (`secrets_file`)
  postgres/        postgresql.conf, pg_hba.conf, data/ (the cluster)
  valkey/          the append-only file
  store/           the embedded store: one SQLite file a site database
  keys/            keys that sign device credentials
  log/             the servers' logs
  run/             the servers' sockets (elsewhere where this path is too long for one)
```

The lock is the kernel's (`flock`): it ends with the process that holds it, however that ends, so there is no
stale lock to clean up. It is never handed to a child.
"""

import fcntl
import hashlib
import os
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from sync_server.embedded.account import Account
from sync_server.embedded.errors import AlreadyRunning, DirectoryUnusable

# Linux: 108 bytes with the closing NUL. The longest name below is Postgres's, with a five-digit port.
_LONGEST_SOCKET_PATH = 107
_LONGEST_SOCKET_NAME = len(".s.PGSQL.65535")
# A reader of the record holds the lock for an instant; a system that starts just then must not give up.
_LOCK_PATIENCE_S = 0.5


@dataclass(frozen=True)
class DataDirectory:
    """Paths below one data directory. `root` is absolute and free of symbolic links; see `at`."""

    root: Path

    @classmethod
    def at(cls, path: Path | str) -> "DataDirectory":
        """The data directory at `path`, which need not exist yet."""
        return cls(Path(path).expanduser().resolve())

    @property
    def lock_file(self) -> Path:
        return self.root / "up.lock"

    @property
    def record_file(self) -> Path:
        return self.root / "system.json"

    @property
    def secrets_file(self) -> Path:
        return self.root / "secrets.json"

    @property
    def postgres(self) -> Path:
        return self.root / "postgres"

    @property
    def cluster(self) -> Path:
        return self.postgres / "data"

    @property
    def valkey(self) -> Path:
        return self.root / "valkey"

    @property
    def store(self) -> Path:
        return self.root / "store"

    @property
    def keys(self) -> Path:
        return self.root / "keys"

    @property
    def log(self) -> Path:
        return self.root / "log"

    def create(self) -> None:
        """Create the directory itself, or accept an existing one that is empty or ours.

        Raises DirectoryUnusable for one with other content: its permissions are about to be changed.
        """
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            entries = {entry.name for entry in self.root.iterdir() if not entry.name.startswith(".")}
        except OSError as error:
            raise DirectoryUnusable(self.root, error.strerror or str(error)) from error
        ours = {self.lock_file, self.record_file, self.secrets_file, self.postgres, self.store, self.keys}
        if entries - {"lost+found"} and not entries & {path.name for path in ours}:
            raise DirectoryUnusable(self.root, "it holds files that are not this system's; give an empty one")

    def arrange(self, account: Account | None) -> None:
        """Create what lies below, with the permissions of this module's table. Raises DirectoryUnusable."""
        passing = account.gid if account is not None else None
        try:
            for directory in (self.root, self.postgres):
                _private(directory, group=passing)
            for directory in (self.store, self.keys, self.log):
                _private(directory)
            _private(self.valkey, owner=account)
        except OSError as error:
            raise DirectoryUnusable(self.root, f"{error.strerror} ({error.filename})") from error

    def socket_directory(self, account: Account | None) -> Path:
        """The directory of the servers' sockets, created: `run/`, or a private one where that is too long.

        Raises DirectoryUnusable when that is not possible, or when somebody else made the private one.
        """
        owner = account.uid if account is not None else os.geteuid()
        beside = self.root / "run"
        digest = hashlib.sha256(bytes(self.root)).hexdigest()[:16]
        elsewhere = Path(tempfile.gettempdir(), f"metricis-{owner}-{digest}")
        for directory in (beside, elsewhere):
            if len(os.fsencode(directory)) + 1 + _LONGEST_SOCKET_NAME > _LONGEST_SOCKET_PATH:
                continue
            try:
                _private(directory, owner=account)
            except OSError as error:
                raise DirectoryUnusable(self.root, f"{error.strerror} ({directory})") from error
            # The temporary directory is everybody's: a directory that another user made there is a trap.
            if directory.is_symlink() or directory.stat().st_uid != owner:
                raise DirectoryUnusable(self.root, f"{directory} belongs to another user")
            return directory
        raise DirectoryUnusable(
            self.root, f"its path and {elsewhere} are too long for a Unix socket; set TMPDIR to a shorter one"
        )

    def remove_socket_directory(self, directory: Path) -> None:
        """Leave nothing behind in the temporary directory; `run/` stays, and so does what is not empty."""
        if directory.parent != self.root:
            with suppress(OSError):
                directory.rmdir()


def _private(directory: Path, *, owner: Account | None = None, group: int | None = None) -> None:
    """Create `directory` for its owner only; the `group` may pass through it, but not list it."""
    directory.mkdir(mode=0o700, exist_ok=True)
    if directory.is_symlink():
        return  # an operator moved it to another disk: the permissions there are theirs
    if owner is not None and directory.stat().st_uid == os.geteuid():
        os.chown(directory, owner.uid, owner.gid)
    if group is not None:
        os.chown(directory, -1, group)
    if directory.stat().st_uid == os.geteuid() or os.geteuid() == 0:
        directory.chmod(0o700 if group is None else 0o710)


class DirectoryLock:
    """The exclusive lock of a data directory, held from construction until `release` or the process's end.

    Raises AlreadyRunning, DirectoryUnusable.
    """

    def __init__(self, directory: DataDirectory) -> None:
        try:
            self._descriptor = os.open(directory.lock_file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise DirectoryUnusable(directory.root, f"{error.strerror} ({directory.lock_file})") from error
        deadline = time.monotonic() + _LOCK_PATIENCE_S
        while not _try_lock(self._descriptor, fcntl.LOCK_EX):
            if time.monotonic() > deadline:
                holder = _pid_in(self._descriptor)
                os.close(self._descriptor)
                raise AlreadyRunning(directory.root, holder)
            time.sleep(0.02)
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        """Let the next system have the directory."""
        os.ftruncate(self._descriptor, 0)
        os.close(self._descriptor)


def is_locked(directory: DataDirectory) -> bool:
    """Whether a system holds the directory."""
    return _look(directory)[0]


def lock_holder(directory: DataDirectory) -> int | None:
    """The process id of the system that holds the directory; None: none does, or it has only just begun."""
    return _look(directory)[1]


def _look(directory: DataDirectory) -> tuple[bool, int | None]:
    try:
        descriptor = os.open(directory.lock_file, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False, None
    try:
        return (False, None) if _try_lock(descriptor, fcntl.LOCK_SH) else (True, _pid_in(descriptor))
    finally:
        os.close(descriptor)


def _pid_in(descriptor: int) -> int | None:
    holder = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip()
    return int(holder) if holder.isdigit() else None


def _try_lock(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
