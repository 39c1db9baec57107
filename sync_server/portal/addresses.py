"""Addresses of pages that are found by more than a part of their path: for templates."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from yarl import URL

from sync_server.portal.cookie import PATH


def to_cause(row: Any, waived: str) -> str:
    """The documents with one cause; of a group, or of one that has it."""
    known = {"site": row.site, "type": row.type, "code": row.code, "waived": waived}
    at = {} if hasattr(row, "doc_id") else {"at": row.path}
    return _address("quarantine", known | at)


def to_document(row: Any) -> str:
    """A quarantined revision."""
    return _address("quarantine/document", {"site": row.site, "document": row.doc_id, "rev": row.rev})


def to_session(row: Any) -> str:
    """The conflicts of a session."""
    return _address("conflicts/session", {"session": row.session, "site": row.site})


def _address(page: str, query: Mapping[str, str | None]) -> str:
    given = {name: value for name, value in query.items() if value is not None}
    return str(URL(f"{PATH}/{page}").with_query(given))


TO: Final[Mapping[str, Callable[..., str]]] = {
    "to_cause": to_cause,
    "to_document": to_document,
    "to_session": to_session,
}
