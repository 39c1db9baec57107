"""What is compared in a proof, what it counts, and when it holds.

A million documents on two sides that cannot be joined: instead of a million lookups each side sorts its
documents into buckets by a hash of their id and folds a hash of (id, leaves) into each bucket. Buckets that
agree hold the same documents with the same leaves; only those that do not are looked at one by one.
`proving.BUCKETS` computes the very same in SQL.

| found | counted as |
|---|---|
| the same leaves on both sides | the state in which it is recorded |
| different, and changed after the projector's position | `pending` |
| different, and the projector has passed it | `missing`: a defect |
| recorded, and not in the site database | `gone` |
| rows that no recorded document explains | `double`: a defect |
| a recorded document without the rows that it says it has | `incomplete`: a defect |
"""

import hashlib
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Final, Literal

import msgspec

N_BUCKETS: Final = 4096
"""Three hexadecimal digits of the MD5 of a document's id."""

EXAMPLES: Final = 20
"""Ids of defects that a proof names."""

Kind = Literal["full", "incremental"]


class Buckets:
    """Documents of one side, folded. The order in which they come does not matter."""

    def __init__(self) -> None:
        self._n = [0] * N_BUCKETS
        self._folded = [0] * N_BUCKETS

    def add(self, key: str, leaf_revs: Sequence[str]) -> None:
        """Take in a document: its id and its leaves as rows spell them, sorted."""
        text = key.encode("utf-8", "surrogatepass")
        bucket = _bucket(text)
        self._n[bucket] += 1
        self._folded[bucket] ^= _fingerprint(text, leaf_revs)

    def set(self, bucket: int, n: int, folded: int) -> None:
        """What the other side has computed of one bucket."""
        self._n[bucket], self._folded[bucket] = n, folded

    def differing(self, other: "Buckets") -> list[int]:
        """The buckets that do not hold the same."""
        mine = zip(self._n, self._folded, strict=True)
        theirs = zip(other._n, other._folded, strict=True)
        return [bucket for bucket, (one, two) in enumerate(zip(mine, theirs, strict=True)) if one != two]


def bucket_of(key: str) -> int:
    """The bucket of a document, by its id as rows spell it."""
    return _bucket(key.encode("utf-8", "surrogatepass"))


def _bucket(text: bytes) -> int:
    digest = hashlib.md5(text, usedforsecurity=False).digest()
    return digest[0] << 4 | digest[1] >> 4


def _fingerprint(text: bytes, leaf_revs: Sequence[str]) -> int:
    whole = b"%b %b" % (text, " ".join(leaf_revs).encode("utf-8", "surrogatepass"))
    return int.from_bytes(hashlib.md5(whole, usedforsecurity=False).digest()[:8], "big", signed=True)


class Counts(msgspec.Struct, kw_only=True):
    """`documents` and `leaves` are those of the site database that were compared; the others are of the site
    as a whole, except that an incremental proof finds `pending` and `missing` only in what changed.
    """

    documents: int = 0
    leaves: int = 0
    projected: int = 0
    conflicted: int = 0
    quarantined: int = 0
    """With a problem that nobody has accepted."""
    waived: int = 0
    """Quarantined, and every problem is accepted."""
    stored: int = 0
    deleted: int = 0
    gone: int = 0
    pending: int = 0
    missing: int = 0
    double: int = 0
    incomplete: int = 0


class Proof(msgspec.Struct, kw_only=True):
    """What a comparison of one site has shown."""

    site: str
    kind: Kind
    started_at: datetime
    finished_at: datetime | None = None
    epoch: str
    update_seq: str
    """Everything up to this position of the feed was compared and is not pending."""
    counts: Counts
    newly_gone: int = 0
    """Of `gone`: those that are not marked yet."""
    repaired: int = 0
    """Documents that are marked, or will be projected again."""
    examples: dict[str, list[str]] = {}
    """By what they count as: some of the documents that are missing, double, incomplete, or newly gone."""

    @property
    def holds(self) -> bool:
        """Nothing is missing, double or incomplete."""
        return not (self.counts.missing or self.counts.double or self.counts.incomplete)

    def name(self, counted_as: str, keys: Iterable[str]) -> None:
        """Keep some of these documents as examples."""
        named = self.examples.setdefault(counted_as, [])
        named.extend(list(keys)[: EXAMPLES - len(named)])
