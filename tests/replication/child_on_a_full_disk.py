"""A process whose files may not grow: prints as JSON what became of its writes and reads.

python -m tests.replication.child_on_a_full_disk DIRECTORY
"""

import asyncio
import json
import resource
import sys
from pathlib import Path

from replication.errors import StorageFull
from replication.store.database import Database
from replication.store.registry import Registry
from tests.replication.stored import feed, push, replicated

SMALL = 3 * 1024 * 1024
DOCUMENT = "x" * 100_000


def limit_files(size: int) -> None:
    """No file of this process may grow beyond `size` bytes."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


async def fill(database: Database) -> int:
    """Write until the disk is full; how many documents were acknowledged."""
    for number in range(1_000):
        try:
            await push(database, replicated(f"d{number}", "1-a", x=DOCUMENT))
        except StorageFull:
            return number
    raise AssertionError("the disk never became full")


async def main(directory: Path) -> None:
    """Fill the disk, read, try again, make room, write again."""
    registry = Registry(directory)
    database = await registry.create("site")
    limit_files(SMALL)
    acknowledged = await fill(database)
    read = len(await feed(database))
    together = await asyncio.gather(
        *(push(database, replicated(f"more{i}", "1-a", x=DOCUMENT)) for i in range(5)), return_exceptions=True
    )
    readable = len([row for row in await feed(database) if (await database.winner(row.id))[1].body])
    limit_files(resource.RLIM_INFINITY)
    await push(database, replicated("after", "1-a"))
    await registry.close()

    registry = Registry(directory)
    database = await registry.open("site")
    rows = await feed(database)
    meta = await database.meta()
    await registry.close()
    told = {
        "acknowledged": acknowledged,
        "read": read,
        "refused together": sorted({type(outcome).__name__ for outcome in together}),
        "readable": readable,
        "afterwards": len(rows),
        "counted": meta["doc_count"],
        "last": rows[-1].id,
    }
    print(json.dumps(told))


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
