"""What a replication is to do: the body of `POST /_replicate`, or a document of the `_replicator` database.

| member | kept |
|---|---|
| `source`, `target` | a database of this server, a URL, or an object with `url`, `headers`, `auth.basic` |
| `auth.reference` of an object | what this server looks a credential up by when a run begins; not CouchDB's |
| `continuous`, `create_target`, `create_target_params`, `cancel` | yes |
| `doc_ids`, `selector`, `filter` with `query_params` | yes, one of the three |
| `since_seq`, `use_checkpoints`, `checkpoint_interval` | yes |
| `worker_batch_size`, `connection_timeout`, `retries_per_request` | yes |
| `worker_processes`, `http_connections`, `socket_options`, `use_bulk_get`, `user_ctx`, `owner` | no effect |
| `proxy`, `source_proxy`, `target_proxy`, `winning_revs_only` | refused: without them other data would go |

What is shown of a peer never holds its credentials.
"""

import base64
import hashlib
import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import unquote, urlsplit, urlunsplit

import msgspec

from replication.errors import BadRequest

VERSION: Final = 4
"""Of how replication ids are made, as checkpoints carry it."""

_REFUSED: Final = ("proxy", "source_proxy", "target_proxy", "winning_revs_only")
_HEADER: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE: Final = re.compile(r"[\t\x20-\x7e\x80-\U0010ffff]*")


class _Basic(msgspec.Struct):
    username: str
    password: str


class _Auth(msgspec.Struct):
    basic: _Basic | None = None
    reference: str | None = None


class Endpoint(msgspec.Struct, frozen=True):
    """One side. `database` is its name where it is this server's, else None; `url` has no credentials."""

    url: str
    database: str | None = None
    headers: tuple[tuple[str, str], ...] = ()
    login: str | None = None
    """The user's name in Basic authentication: part of the replication's identity."""
    reference: str | None = None
    """What the credential is looked up by when a run begins: no part of the identity, no secret by itself."""

    @property
    def shown(self) -> str:
        """As answers and logs may tell it."""
        return self.database if self.database is not None else f"{self.url}/"


class Definition(msgspec.Struct, frozen=True):
    """One replication. Times are in seconds."""

    source: Endpoint
    target: Endpoint
    continuous: bool = False
    create_target: bool = False
    create_target_params: tuple[tuple[str, str], ...] = ()
    doc_ids: tuple[str, ...] | None = None
    selector: bytes | None = None
    """JSON, its members sorted."""
    filter: str | None = None
    query_params: tuple[tuple[str, str], ...] = ()
    since_seq: str | None = None
    use_checkpoints: bool = True
    checkpoint_interval: float = 5.0
    batch_size: int = 500
    request_timeout: float = 30.0
    attempts: int = 5
    cancel: bool = False

    def base_id(self, server: str) -> str:
        """Names what is replicated, and its checkpoints, whoever asks: `server` is this server's uuid."""
        parts = [
            server,
            self.source.shown,
            self.source.login,
            self.target.shown,
            self.target.login,
            None if self.doc_ids is None else sorted(set(self.doc_ids)),
            None if self.selector is None else self.selector.decode(),
            self.filter,
            sorted(self.query_params),
        ]
        return hashlib.sha256(msgspec.json.encode(parts)).hexdigest()[:32]

    def job_id(self, server: str) -> str:
        """Names the job: the base id and how it is run."""
        ways = ("+continuous" if self.continuous else "") + ("+create_target" if self.create_target else "")
        return self.base_id(server) + ways


def parse_definition(asked: Mapping[str, Any]) -> Definition:
    """Raises BadRequest, which says which member cannot be used."""
    for member in _REFUSED:
        if asked.get(member) not in (None, False):
            raise BadRequest(f"`{member}` is not supported here")
    filters = [member for member in ("doc_ids", "selector", "filter") if asked.get(member) is not None]
    if len(filters) > 1:
        raise BadRequest(f"`{filters[0]}` and `{filters[1]}` are mutually exclusive")
    return Definition(
        source=_endpoint(asked, "source"),
        target=_endpoint(asked, "target"),
        continuous=_flag(asked, "continuous", default=False),
        create_target=_flag(asked, "create_target", default=False),
        create_target_params=_texts(asked, "create_target_params"),
        doc_ids=_doc_ids(asked),
        selector=_selector(asked),
        filter=_text(asked, "filter"),
        query_params=_texts(asked, "query_params"),
        since_seq=_since(asked),
        use_checkpoints=_flag(asked, "use_checkpoints", default=True),
        checkpoint_interval=_number(asked, "checkpoint_interval", 5_000, 100, 3_600_000) / 1000,
        batch_size=_number(asked, "worker_batch_size", 500, 1, 5_000),
        request_timeout=_number(asked, "connection_timeout", 30_000, 100, 3_600_000) / 1000,
        attempts=_number(asked, "retries_per_request", 5, 0, 100) + 1,
        cancel=_flag(asked, "cancel", default=False),
    )


def _endpoint(asked: Mapping[str, Any], side: str) -> Endpoint:
    given = asked.get(side)
    details: Mapping[str, Any] = given if isinstance(given, dict) else {"url": given}
    url = details.get("url")
    if not isinstance(url, str) or not url:
        raise BadRequest(f"`{side}` has to be a database, a URL, or an object with `url`")
    headers = {name.lower(): value for name, value in _texts(details, "headers", of=side)}
    if not all(_HEADER.fullmatch(name) and _VALUE.fullmatch(value) for name, value in headers.items()):
        raise BadRequest(f"`{side}.headers` has a name or a value that no header can have")
    if not url.startswith(("http://", "https://")):
        if "://" in url:
            raise BadRequest(f"`{side}` has to be a http or https URL")
        return Endpoint(url, database=url, headers=tuple(sorted(headers.items())))
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        # Not from the error, which quotes what may be a password with a character that ends a host.
        raise BadRequest(f"`{side}` is no URL: its host or port cannot be understood") from None
    if not host or not parts.path.strip("/"):
        raise BadRequest(f"`{side}` has to name a host and a database")
    auth = _auth(details, side)
    login = _login(auth, unquote(parts.username or ""), unquote(parts.password or ""), side)
    if login:
        token = base64.b64encode(":".join(login).encode()).decode()
        headers.setdefault("authorization", f"Basic {token}")
    shown_host = f"[{host}]" if ":" in host else host
    netloc = f"{shown_host}:{port}" if port else shown_host
    plain = urlunsplit((parts.scheme, netloc, parts.path.rstrip("/"), "", ""))
    return Endpoint(
        plain,
        headers=tuple(sorted(headers.items())),
        login=login[0] if login else None,
        reference=auth.reference,
    )


def _auth(details: Mapping[str, Any], side: str) -> _Auth:
    given = details.get("auth")
    if given is None:
        return _Auth()
    try:
        auth = msgspec.convert(given, _Auth)
    except msgspec.ValidationError:
        auth = _Auth()
    if bool(auth.basic) == bool(auth.reference):
        raise _bad_auth(side)
    return auth


def _login(auth: _Auth, user: str, password: str, side: str) -> tuple[str, str] | None:
    if auth.basic is None:
        return (user, password) if user else None
    if not auth.basic.username or ":" in auth.basic.username:
        raise _bad_auth(side)
    return auth.basic.username, auth.basic.password


def _bad_auth(side: str) -> BadRequest:
    return BadRequest(
        f"`{side}.auth` has to hold `basic` with a `username` without a colon, and a `password`;"
        " or a `reference` that this server knows"
    )


def _flag(asked: Mapping[str, Any], member: str, *, default: bool) -> bool:
    value = asked.get(member, default)
    if not isinstance(value, bool):
        raise BadRequest(f"`{member}` has to be true or false")
    return value


def _number(asked: Mapping[str, Any], member: str, default: int, least: int, most: int) -> int:
    value = asked.get(member, default)
    if type(value) is not int or not least <= value <= most:
        raise BadRequest(f"`{member}` has to be a whole number from {least} to {most}")
    return value


def _text(asked: Mapping[str, Any], member: str) -> str | None:
    value = asked.get(member)
    if value is not None and not isinstance(value, str):
        raise BadRequest(f"`{member}` has to be text")
    return value


def _texts(asked: Mapping[str, Any], member: str, *, of: str = "") -> tuple[tuple[str, str], ...]:
    """The members of an object of scalars, as CouchDB takes them for a query or for headers."""
    given = asked.get(member)
    name = f"{of}.{member}" if of else member
    if given is None:
        return ()
    if not isinstance(given, dict) or any(isinstance(value, dict | list) for value in given.values()):
        raise BadRequest(f"`{name}` has to be an object of plain values")
    return tuple(
        (key, value if isinstance(value, str) else msgspec.json.encode(value).decode())
        for key, value in given.items()
    )


def _doc_ids(asked: Mapping[str, Any]) -> tuple[str, ...] | None:
    given = asked.get("doc_ids")
    if given is None:
        return None
    if not isinstance(given, list) or not all(isinstance(doc_id, str) for doc_id in given):
        raise BadRequest("`doc_ids` has to be an array of document ids")
    return tuple(dict.fromkeys(given))


def _selector(asked: Mapping[str, Any]) -> bytes | None:
    given = asked.get("selector")
    if given is None:
        return None
    if not isinstance(given, dict):
        raise BadRequest("`selector` has to be an object")
    return msgspec.json.encode(given, order="sorted")


def _since(asked: Mapping[str, Any]) -> str | None:
    given = asked.get("since_seq")
    if given is None or isinstance(given, str):
        return given
    return msgspec.json.encode(given).decode()
