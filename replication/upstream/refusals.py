"""What the server behind says against single documents, as a client is told it.

what it says of a replicated document                 what follows
--------------------------------------------------    ---------------------------------------------------
`forbidden`, `unauthorized`                           told as it is
something that no repetition mends                    `forbidden`: PouchDB gives up at anything else, and
                                                      comes again with the same batch for ever
that it could not write just now                      Unavailable for the whole request: what was written
                                                      of it is written again, and is the same
"""

from replication.errors import CouchError, Unavailable
from replication.wire.decode import Refusal

_PASSING = frozenset(
    {
        "all_workers_died",
        "error",
        "internal_server_error",
        "maintenance_mode",
        "no_majority",
        "nodedown",
        "rexi_DOWN",
        "service_unavailable",
        "timeout",
        "too_many_requests",
        "unknown_error",
    }
)
"""Errors of a row that say nothing of its document."""

REFUSED_WHOLE = frozenset({400, 412, 413, 415, 417})
"""What a whole batch is answered with for one of its documents."""


def refusal_of(error: str, reason: str, *, replicated: bool) -> Refusal:
    """Why a document was not written. Raises Unavailable where that is not its own fault."""
    if error in _PASSING:
        raise Unavailable(f"the store could not write just now ({error}); send again")
    if not replicated or error in ("forbidden", "unauthorized"):
        return Refusal(error, reason)
    return Refusal("forbidden", f"{error}: {reason}")


def refusal_by(failure: CouchError, *, replicated: bool) -> Refusal:
    """The same of a request that brought this document alone."""
    return refusal_of(failure.error, failure.reason, replicated=replicated)
