"""Documents near the limit of what a site database takes: generated sessions, one task run grown large."""

from collections.abc import Iterator

import msgspec

from replication.push import Outgoing, outgoing
from sync_server.demo.generate import generate_sessions

SMALLEST_BYTES = 8_000_000
LARGEST_BYTES = 60_000_000


def large_documents(count: int, *, site: str) -> Iterator[Outgoing]:
    """`count` documents whose sizes run from the smallest to the largest."""
    for number, document in enumerate(generate_sessions(count, site=site, seed=5)):
        share = number / max(1, count - 1)
        size = SMALLEST_BYTES + round((LARGEST_BYTES - SMALLEST_BYTES) * share)
        task_run = document["tasks"][0]
        pattern = task_run["trials"]
        mean = len(msgspec.json.encode(pattern)) / len(pattern)
        task_run["trials"] = [
            {**pattern[index % len(pattern)], "trial_index": index} for index in range(round(size / mean))
        ]
        yield outgoing(msgspec.json.encode(document))
