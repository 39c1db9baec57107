"""A real PouchDB in a Node process, driven by `tablet.mjs`."""

import asyncio
from pathlib import Path
from typing import Any

import msgspec

from tests import npm_packages

HERE = Path(__file__).parent


def node() -> str:
    """The Node executable with PouchDB installed beside this file; without them skips, or fails in CI."""
    try:
        return npm_packages.node(HERE)
    except npm_packages.CannotInstall as why:
        npm_packages.missing(f"A real PouchDB cannot run: {why}")


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
