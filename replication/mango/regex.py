"""`$regex`, without the ways in which a pattern can stop a server.

A backtracking engine (Python's, CouchDB's) needs exponential time for `(a+)+$` on a long run of a's. RE2
runs in linear time and bounded memory, for which it has no look-around and no back-references: a pattern
with those is refused as a bad argument. `google-re2` is its authors' own wheel.
"""

from collections.abc import Callable

import re2

from replication.mango.refusal import QueryRefused

LONGEST_PATTERN = 10_000
_MAX_MEMORY = 8 * 1024 * 1024

_OPTIONS = re2.Options()
_OPTIONS.log_errors = False
_OPTIONS.max_mem = _MAX_MEMORY


def searcher(pattern: str) -> Callable[[str], bool]:
    """Tells of a string whether the pattern occurs in it. Raises QueryRefused."""
    if len(pattern) > LONGEST_PATTERN:
        raise QueryRefused("bad_arg", f"Bad argument for operator $regex: longer than {LONGEST_PATTERN}")
    try:
        compiled = re2.compile(pattern, _OPTIONS)
    except re2.error as error:
        raise QueryRefused("bad_arg", f"Bad argument for operator $regex: {pattern[:80]}") from error
    return lambda text: compiled.search(text) is not None
