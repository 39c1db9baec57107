"""CouchDB as a server admin sees it, through `ibmcloudant`; every failure is a sentence without a secret.

| what is found | told as |
|---|---|
| no answer, a reset, a timeout | Unreachable |
| 401 for the login | WrongLogin |
| an answer that is no JSON object, another product | NotCouchDB |
| any other failure of a request | Refused |
"""

import json
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple
from urllib.parse import urlsplit, urlunsplit

import requests
from ibm_cloud_sdk_core import ApiException, DetailedResponse
from ibm_cloud_sdk_core.authenticators import NoAuthAuthenticator
from ibmcloudant.cloudant_v1 import CloudantV1

from replication.client import basic_login
from sync_server.provisioning.desired import login_of
from sync_server.provisioning.requests import Request, path_of

CONNECT_SECONDS = 5.0
ANSWER_SECONDS = 60.0


class ProvisioningError(Exception):
    """CouchDB cannot be provisioned; the message says why and what to do."""


class Unreachable(ProvisioningError):
    """CouchDB gives no answer."""


class WrongLogin(ProvisioningError):
    """CouchDB does not know this user with this password."""


class NotCouchDB(ProvisioningError):
    """What answers is no Apache CouchDB that can be provisioned."""


class Refused(ProvisioningError):
    """CouchDB refuses a request."""

    def __init__(self, status: int, message: str) -> None:
        self.status = status
        super().__init__(message)


class Session(NamedTuple):
    """The roles of a login, and the authentication handlers that the node which answers works with."""

    roles: frozenset[str]
    handlers: frozenset[str]


class Server:
    """One CouchDB and a login. Methods raise ProvisioningError."""

    def __init__(self, url: str, *, login: tuple[str, str] | None = None) -> None:
        """`url` holds the login, or `login` is another one. Raises NoLogin."""
        parts = urlsplit(url)
        self.shown = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2])).rstrip("/")
        self.user, password = login or login_of(url)
        self._sdk = CloudantV1(authenticator=NoAuthAuthenticator())
        self._sdk.set_service_url(self.shown)
        self._sdk.set_http_config({"timeout": (CONNECT_SECONDS, ANSWER_SECONDS)})
        # The SDK's own Basic login refuses passwords with braces or quotes at their ends.
        self._sdk.set_default_headers(dict(basic_login(self.user, password)()))

    def close(self) -> None:
        """Close the connections."""
        self._sdk.get_http_client().close()

    def information(self) -> Mapping[str, Any]:
        """`GET /`."""
        return self._object(self._sdk.get_server_information)

    def session(self) -> Session:
        """Who the login is, and by what it could have been."""
        told = self._object(self._sdk.get_session_information)
        handlers = (told.get("info") or {}).get("authentication_handlers", ())
        return Session(frozenset(told["userCtx"]["roles"]), frozenset(handlers))

    def setup_state(self) -> str:
        """How far the cluster is set up, as `_cluster_setup` names it."""
        return str(self._get("/_cluster_setup")["state"])

    def nodes(self) -> tuple[list[str], list[str]]:
        """The nodes of the cluster, and those of them that are not connected."""
        told = self._object(self._sdk.get_membership_information)
        return sorted(told["cluster_nodes"]), sorted(set(told["cluster_nodes"]) - set(told["all_nodes"]))

    def configuration(self, node: str) -> Mapping[str, Mapping[str, str]]:
        """All that is set on a node: section → key → value."""
        return self._get(path_of("_node", node, "_config"))

    def databases(self) -> frozenset[str]:
        """The names of all databases."""
        return frozenset(self._answer(self._sdk.get_all_dbs))

    def database(self, name: str) -> Mapping[str, Any]:
        """`GET /{db}`."""
        return self._object(lambda: self._sdk.get_database_information(db=name))

    def security(self, name: str) -> Mapping[str, Any]:
        """The security object of a database."""
        return self._object(lambda: self._sdk.get_security(db=name))

    def indexes(self, name: str) -> list[Mapping[str, Any]]:
        """The Mango indexes of a database."""
        return list(self._object(lambda: self._sdk.get_indexes_information(db=name))["indexes"])

    def design(self, name: str, design_id: str) -> Mapping[str, Any] | None:
        """A design document; None where there is none."""
        ddoc = design_id.removeprefix("_design/")
        return self._found(lambda: self._sdk.get_design_document(db=name, ddoc=ddoc))

    def user_document(self, name: str) -> Mapping[str, Any] | None:
        """A user's document; None where there is none."""
        return self._found(lambda: self._sdk.get_document(db="_users", doc_id=f"org.couchdb.user:{name}"))

    def send(self, request: Request) -> None:
        """Make a change."""
        prepared = self._sdk.prepare_request(
            request.method,
            request.path,
            params=dict(request.query),
            headers={"Accept": "application/json", "Content-Type": "application/json"},
            data=None if request.body is None else json.dumps(request.body),
        )
        try:
            self._answer(lambda: self._sdk.send(prepared))
        except Refused as error:
            if error.status not in request.done:
                raise Refused(error.status, f"{request.method} {request.path}: {error}") from error

    def _get(self, path: str) -> dict[str, Any]:
        headers = {"Accept": "application/json"}
        return self._object(lambda: self._sdk.send(self._sdk.prepare_request("GET", path, headers=headers)))

    def _found(self, ask: Callable[[], DetailedResponse]) -> dict[str, Any] | None:
        try:
            return self._object(ask)
        except Refused as error:
            if error.status == 404:
                return None
            raise

    def _object(self, ask: Callable[[], DetailedResponse]) -> dict[str, Any]:
        answer = self._answer(ask)
        if not isinstance(answer, dict):
            raise NotCouchDB(f"What answers at {self.shown} is no Apache CouchDB.")
        return answer

    def _answer(self, ask: Callable[[], DetailedResponse]) -> Any:
        try:
            return ask().get_result()
        except ApiException as error:
            if error.status_code == 401:
                raise WrongLogin(
                    f"{self.shown} does not accept the password of {self.user!r}, or has no such user."
                ) from None
            raise Refused(
                error.status_code, f"{self.shown} answers {error.status_code}: {error.message}"
            ) from None
        except (requests.exceptions.RequestException, OSError) as error:
            raise Unreachable(f"{self.shown} gives no answer ({type(error).__name__}).") from None
