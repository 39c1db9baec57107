"""A process to be killed: writes into a store and prints what was acknowledged, one JSON line each.

python -m tests.replication.child_that_writes DIRECTORY ROUND
"""

import asyncio
import itertools
import json
import sys
from pathlib import Path

from replication.edits import Attachment
from replication.errors import NotFound
from replication.store.database import Database
from replication.store.registry import Registry
from replication.wire.attachments import digest_of
from tests.replication.stored import push, replicated

WRITERS = 8


async def write_on(database: Database, round_: int, writer: int) -> None:
    """Batches of three: a new document, its second revision, and one with an attachment."""
    for number in itertools.count():
        name = f"{round_}-{writer}-{number}"
        data = name.encode() * 500
        file = {"f": Attachment("text/plain", digest_of(data), len(data), data=data)}
        await push(
            database,
            replicated(f"plain:{name}", "1-a", x=name),
            replicated(f"plain:{name}", "2-b", "1-a", x=name),
            replicated(f"file:{name}", "1-a", x=name, attachments=file),
        )
        print(json.dumps([[f"plain:{name}", "2-b"], [f"file:{name}", "1-a"]]), flush=True)


async def main(directory: Path, round_: int) -> None:
    """Write until killed."""
    registry = Registry(directory)
    try:
        database = await registry.open("site")
    except NotFound:
        database = await registry.create("site")
    await asyncio.gather(*(write_on(database, round_, writer) for writer in range(WRITERS)))


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2])))
