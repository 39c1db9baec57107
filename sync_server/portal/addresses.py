"""Addresses of pages, for templates: parts and queries that may hold anything."""

from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import quote

from yarl import URL

from sync_server.portal.cookie import PATH


def at(*parts: object) -> str:
    """The path of a page, below the portal's."""
    return "/".join([PATH, *(quote(str(part), safe="") for part in parts)])


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


def with_query(url: str, /, **values: object) -> str:
    """The same page with other values of query parameters."""
    return str(URL(url).update_query({name: str(value) for name, value in values.items()}))


ADDRESSES: Final[Mapping[str, Callable[..., str]]] = {
    "at": at,
    "with_query": with_query,
    "to_cause": to_cause,
    "to_document": to_document,
    "to_session": to_session,
}
