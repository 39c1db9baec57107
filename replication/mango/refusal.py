"""A query that cannot be understood: Mango names each kind of mistake, all of them with status 400."""

from replication.errors import CouchError


class QueryRefused(CouchError):
    """A selector, an option or an index definition is malformed. `error` is Mango's name for the mistake."""

    status = 400

    def __init__(self, error: str, reason: str) -> None:
        super().__init__(reason)
        self.error = error


def shown(value: object) -> str:
    """A value as a reason quotes it: its sender chose it, and it may be megabytes."""
    return repr(value)[:80]
