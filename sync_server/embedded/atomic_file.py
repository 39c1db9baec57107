"""Replace a file so that a crash leaves the old content or the new, never half of either."""

import os
from pathlib import Path


def write_atomically(path: Path, content: bytes, *, mode: int = 0o600, group: int | None = None) -> None:
    """Write `content` beside `path`, flush it to the disk and rename it over `path`.

    The permissions are `mode` and, where given, the group id `group`. Raises OSError.
    """
    beside = path.with_name(path.name + ".new")
    beside.unlink(missing_ok=True)
    # O_EXCL: a link that somebody put there in the meantime is not followed.
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        if group is not None:
            os.fchown(descriptor, -1, group)
        os.fchmod(descriptor, mode)
        file.write(content)
        file.flush()
        os.fsync(descriptor)
    beside.rename(path)
    sync_directory(path.parent)


def sync_directory(directory: Path) -> None:
    """Make renames inside `directory` survive a power cut."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
