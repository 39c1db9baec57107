"""A process to be killed: edits documents again and again while it compacts and purges, and prints what was
acknowledged, one JSON line each.

python -m tests.replication.child_that_compacts DIRECTORY ROUND
"""

import asyncio
import itertools
import json
import sys
from pathlib import Path

from replication.edits import Attachment
from replication.errors import NotFound
from replication.store import purging
from replication.store.database import Database
from replication.store.registry import Registry
from replication.values import Rev
from replication.wire.attachments import digest_of
from tests.replication.stored import push, replicated

WRITERS = 4
REVISIONS = 6


async def write_on(database: Database, round_: int, writer: int) -> None:
    """Documents of six revisions, each with another attachment, beside documents that are purged again."""
    for number in itertools.count():
        name = f"{round_}-{writer}-{number}"
        for pos in range(1, REVISIONS + 1):
            data = f"{name} {pos}".encode() * 2_000
            file = {"f": Attachment("text/plain", digest_of(data), len(data), data=data)}
            path = [f"{p}-a" for p in range(pos, 0, -1)]
            await push(database, replicated(name, *path, attachments=file), replicated(f"{name} x", "1-x"))
            print(json.dumps([[name, f"{pos}-a"]]), flush=True)
        purge = {f"{name} x": [Rev(1, "x")]}
        await database.transact(lambda c, purge=purge: purging.purge(c, purge))  # type: ignore[misc]


async def compact_on(database: Database) -> None:
    """One compaction after the other."""
    while True:
        database.compaction.start()
        await database.compaction.finished()


async def main(directory: Path, round_: int) -> None:
    """Write until killed."""
    registry = Registry(directory)
    try:
        database = await registry.open("site")
    except NotFound:
        database = await registry.create("site")
    writers = (write_on(database, round_, writer) for writer in range(WRITERS))
    await asyncio.gather(compact_on(database), *writers)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2])))
