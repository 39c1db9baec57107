"""What the benchmarks push: the field sessions in place, or generated ones where they are absent."""

import gzip
from collections import defaultdict
from pathlib import Path

import msgspec

from replication.push import Outgoing, outgoing
from sync_server.demo.generate import generate_sessions

FIELD_SESSIONS = Path(__file__).parents[2] / "shared" / "data" / "field_sessions"
SITES = ("hyderabad", "lima", "nairobi", "stanford")


def corpus(per_site: int | None) -> tuple[str, dict[str, list[Outgoing]]]:
    """What they are, and the documents by site."""
    found: dict[str, list[Outgoing]] = defaultdict(list)
    for path in sorted(FIELD_SESSIONS.glob("*.ndjson.gz")):
        site = path.name.removesuffix(".ndjson.gz").rpartition("-")[2]
        with gzip.open(path, "rb") as file:
            found[site] += [outgoing(line) for line in file]
    kind = "field sessions"
    if not found:
        kind = "generated sessions"
        for seed, site in enumerate(SITES):
            found[site] = generated(per_site or 200, site=site, seed=seed)
    return kind, {site: documents[:per_site] for site, documents in found.items()}


def generated(count: int, *, site: str, seed: int) -> list[Outgoing]:
    """Generated session documents of one site."""
    return [outgoing(msgspec.json.encode(doc)) for doc in generate_sessions(count, site=site, seed=seed)]
