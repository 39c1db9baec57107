"""Packages from npm beside the tests that need them: pinned by a lock file, installed by the first test.

| what is missing | what follows |
|---|---|
| Node or npm | the tests are skipped, and say so; in CI they fail |
| the registry, or a package in it | the same |
| the end of an installation: it was killed | the next one starts anew |
"""

import fcntl
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest


class CannotInstall(Exception):
    """Packages cannot be installed on this machine."""


def node(directory: Path, then: Callable[[str], None] = lambda _: None) -> str:
    """The Node executable, with the packages of `directory`'s lock file installed beside it.

    `then` is called once after each installation, with that executable. Raises CannotInstall.
    """
    executable = shutil.which("node")
    npm = shutil.which("npm")
    if executable is None or npm is None:
        raise CannotInstall("Node and npm are not installed")
    lock = directory / "package-lock.json"
    installed = directory / "node_modules" / ".installed"
    # Test processes run side by side: one installs, the others wait. `npm ci` leaves this file alone.
    with lock.open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        if not installed.exists() or installed.stat().st_mtime < lock.stat().st_mtime:
            done = subprocess.run([npm, "ci"], cwd=directory, capture_output=True, text=True, check=False)
            if done.returncode != 0:
                raise CannotInstall(f"npm cannot install it:\n{done.stderr[-500:]}")
            then(executable)
            installed.touch()
    return executable


def missing(why: str) -> NoReturn:
    """Skip the test for this reason; in CI fail it."""
    if os.environ.get("CI"):
        pytest.fail(why)
    pytest.skip(why)
