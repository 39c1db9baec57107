"""The system's own processes at the site databases: where they are, and as whom they are asked.

| `STORE_URL`, `COUCHDB_URL` | asked as |
|---|---|
| a URL without a login (this machine's service, or another one's `/db`) | `service`, by a token |
| a URL with a login (an Apache CouchDB) | that user, with Basic; the URL is used without it |
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple
from urllib.parse import unquote, urlsplit, urlunsplit

import aiohttp

from replication.client import CouchClient, basic_login
from sync_server.identity.device_credentials import SigningKey
from sync_server.service_credential import service_headers

STORE_CLIENT_TIMEOUT = aiohttp.ClientTimeout(total=60, connect=5)


class StoreLogin(NamedTuple):
    """Base URL under which `/<database>` answers, without a login, and the headers of each request."""

    base: str
    headers: Callable[[], Mapping[str, str]]


def store_login(url: str, key: SigningKey, *, service: str) -> StoreLogin:
    """How `service` asks the store at `url`, see the module."""
    parts = urlsplit(url)
    if parts.username is None:
        return StoreLogin(url.rstrip("/"), service_headers(key, service=service))
    address = parts.netloc.rpartition("@")[2]
    login = basic_login(unquote(parts.username), unquote(parts.password or ""))
    return StoreLogin(urlunsplit(parts._replace(netloc=address)).rstrip("/"), login)


def store_client(session: aiohttp.ClientSession, url: str, key: SigningKey, *, service: str) -> CouchClient:
    """A client of the store at `url`."""
    base, headers = store_login(url, key, service=service)
    return CouchClient(session, base, headers=headers)
