"""A store whose process is killed under load, again and again; to be run for as long as one likes.

    python -m tests.durability.kills --kills 1000

A child process writes with eight writers at once, or edits while it compacts and purges, and is ended by
SIGKILL after a random number of acknowledgements. After each: SQLite's integrity check, every tree, content,
attachment, sequence and counter (`sync-server store check`), and every acknowledged revision is there.
"""

import asyncio
import random
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import click

from replication.store.check import check_directory
from replication.store.registry import Registry
from replication.values import Rev
from tests.replication.stored import feed
from tests.replication.test_crashes import killed_after

KILLS_A_DIRECTORY = 25
"""A new directory after so many: the check reads everything."""
CHILDREN = ("child_that_writes", "child_that_compacts")


async def _missing(directory: Path, acknowledged: dict[str, str]) -> list[str]:
    registry = Registry(directory)
    try:
        kept = {row.id: Rev.parse(row.rev).pos for row in await feed(await registry.open("site"))}
    finally:
        await registry.close()
    return [
        f"{doc_id} {rev} was acknowledged and is not there"
        for doc_id, rev in acknowledged.items()
        if kept.get(doc_id, 0) < Rev.parse(rev).pos
    ]


def kills(count: int, seed: int) -> Iterator[tuple[int, list[str]]]:
    """Each kill as (documents acknowledged by then in its directory, what is wrong afterwards)."""
    chance = random.Random(seed)
    for start in range(0, count, KILLS_A_DIRECTORY):
        directory = Path(tempfile.mkdtemp(prefix="kills-"))
        child = CHILDREN[start // KILLS_A_DIRECTORY % len(CHILDREN)]
        acknowledged: dict[str, str] = {}
        try:
            for round_ in range(min(KILLS_A_DIRECTORY, count - start)):
                acknowledged |= killed_after(chance.randint(1, 60), directory, round_, child)
                found = [problem for report in check_directory(directory) for problem in report.problems]
                yield len(acknowledged), found + asyncio.run(_missing(directory, acknowledged))
        finally:
            shutil.rmtree(directory)


@click.command()
@click.option("--kills", "count", default=1_000, show_default=True, help="How often the process is killed.")
@click.option("--seed", default=1, show_default=True, help="Of the moments.")
def main(count: int, seed: int) -> None:
    """Kill a store under load so many times, and tell what was lost."""
    failed = 0
    with click.progressbar(kills(count, seed), length=count, label="kills", file=sys.stderr) as bar:
        for acknowledged, problems in bar:
            failed += bool(problems)
            for problem in problems[:3]:
                click.echo(f"{acknowledged} documents: {problem}")
    click.echo(f"{count} kills, {failed} of them lost or broke something")
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
