"""`pouchdb-server`'s application in a process of its own: a second, independent server of the CouchDB API.

Its databases are in memory and gone with it. What it does otherwise than CouchDB:

| `pouchdb-server` | so |
|---|---|
| filters no feed by a selector | `pouchdb_server.mjs` has PouchDB itself do it |
| tells of an unknown revision in `_bulk_get` as `missing`, not as an error | neither is a document |
| misses the ancestors of replicated revisions in `_revs_diff` | tablets ask for leaves only |
| refuses a `_local` document without its last `_rev` | replicators send it, and so does the projector |
| has no `_db_updates` in its smallest mode | sites are polled |
| has no `pending` in feeds | the projector reads until a page is empty |
"""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.interop.pouchdb import node

PROGRAM = Path(__file__).with_name("pouchdb_server.mjs")


@contextmanager
def pouchdb_server() -> Iterator[str]:
    """The running server's base URL. Skips without Node, or fails in CI."""
    with subprocess.Popen(
        [node(), str(PROGRAM)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        port = process.stdout.readline().strip()
        assert port, process.stderr.read()
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            process.kill()
