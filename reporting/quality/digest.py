"""A number that two sessions share exactly when they are the same trials.

A tablet that is restored from a backup, or an app that saves a session under a new id, makes two documents of
one sitting; every count and mean then has it twice. Their reaction times tell: ten of them agree by chance
once in many lifetimes of a study. Sessions with fewer answered trials have no digest, for those that were not
answered at all are alike without being the same.
"""

import hashlib
import struct
from collections.abc import Iterable
from typing import Final

from reporting.quality.observed import Observed

_FEWEST_ANSWERED: Final = 10
_NO_RESPONSE: Final = -1.0


def trials_digest(task_runs: Iterable[tuple[str, int, Observed]]) -> str | None:
    """Of (task, run, trials) of a session, in any order: 32 hexadecimal digits; None of too few answers."""
    digest = hashlib.blake2b(digest_size=16)
    answered = 0
    for task, run, observed in sorted(task_runs, key=lambda each: each[:2]):
        rts = [_NO_RESPONSE if trial.rt_ms is None else trial.rt_ms for trial in observed.trials]
        answered += len(rts) - rts.count(_NO_RESPONSE)
        digest.update(repr((task, run, len(rts))).encode("utf-8", "surrogatepass"))
        digest.update(struct.pack(f"<{len(rts)}d", *rts))
    return digest.hexdigest() if answered >= _FEWEST_ANSWERED else None
