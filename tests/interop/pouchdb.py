"""A real PouchDB in a Node process, driven by `tablet.mjs`; its packages are installed once."""

import asyncio
import fcntl
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any, NoReturn

import msgspec
import pytest

HERE = Path(__file__).parent


def node() -> str:
    """The Node executable with PouchDB installed beside this file; without them skips, or fails in CI."""
    executable = shutil.which("node")
    npm = shutil.which("npm")
    if executable is None or npm is None:
        _without_pouchdb("Node and npm are not installed")
    lock = HERE / "package-lock.json"
    installed = HERE / "node_modules" / ".installed"
    # Test processes run side by side: one installs, the others wait. `npm ci` leaves this file alone.
    with lock.open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        if not installed.exists() or installed.stat().st_mtime < lock.stat().st_mtime:
            done = subprocess.run([npm, "ci"], cwd=HERE, capture_output=True, text=True, check=False)
            if done.returncode != 0:
                _without_pouchdb(f"npm cannot install it:\n{done.stderr[-500:]}")
            installed.touch()
    return executable


def _without_pouchdb(why: str) -> NoReturn:
    if os.environ.get("CI"):
        pytest.fail(f"A real PouchDB cannot run: {why}")
    pytest.skip(f"A real PouchDB cannot run: {why}")


async def run_tablet(executable: str, job: dict[str, Any]) -> dict[str, Any]:
    """Run one tablet to its end; see `tablet.mjs` for the job. Raises AssertionError with what it printed."""
    process = await asyncio.create_subprocess_exec(
        executable,
        "--max-old-space-size=4096",
        str(HERE / "tablet.mjs"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        answer, complaints = await process.communicate(msgspec.json.encode(job))
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, complaints.decode()
    result: dict[str, Any] = msgspec.json.decode(answer)
    return result
