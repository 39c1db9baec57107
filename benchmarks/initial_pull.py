"""What a new tablet does first: a real PouchDB pulls a whole database.

The client is the limit here, so beside the rate counts what the server spends on a document: processor time
of its process, or of all processes that listen on its port (a CouchDB that was given by its URL).
"""

import json
import shutil
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

import psutil

from benchmarks.servers import Server

INSTALLED = Path(__file__).parents[1] / "tests" / "interop"
"""Where `make test` installs PouchDB."""
_SCRIPT = Path(__file__).with_name("pull.mjs")
PATIENCE_SECONDS = 300


class NoPouchDB(Exception):
    """Node or the packages are not installed; the text says what to do."""


def check_installed() -> None:
    """Raises NoPouchDB."""
    if shutil.which("node") is None or not (INSTALLED / "node_modules" / "pouchdb").is_dir():
        raise NoPouchDB("PouchDB is not installed: `make test` does it, or `npm ci` in tests/interop")


def pull(server: Server, url: str) -> tuple[float, float | None]:
    """(documents a second, the server's processor time a document in ms, where its process is here)."""
    check_installed()
    process = _process(server)
    before = None if process is None else _spent(process)
    done = subprocess.run(
        ["node", str(_SCRIPT), str(INSTALLED), url],
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=True,
    )
    told = json.loads(done.stdout)
    spent = None if process is None or before is None else _spent(process) - before
    return told["docs"] / told["seconds"], None if spent is None else spent * 1000 / told["docs"]


def _process(server: Server) -> psutil.Process | None:
    if server.pid is not None:
        return psutil.Process(server.pid)
    port = urlsplit(server.base).port
    for connection in psutil.net_connections("tcp"):
        here = connection.laddr
        if connection.status == psutil.CONN_LISTEN and here and here.port == port and connection.pid:
            return psutil.Process(connection.pid)
    return None


def _spent(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system
