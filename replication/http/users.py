"""Who a client is, as `_session` tells it. Only whoever mounts the API knows users: it gives `couch_routes` a
`Sessions`. Without one every client is the owner, as on a CouchDB before its first administrator was made.
"""

from typing import Protocol

import msgspec
from aiohttp import web

from replication.errors import NotImplementedHere

END_OF_SESSION = "AuthSession=; Version=1; Path=/; HttpOnly"
"""The `Set-Cookie` header that ends a session."""


class User(msgspec.Struct, frozen=True):
    """Whom a request is made by. `name` None: nobody in particular. `by`: what recognised it (`cookie`,
    `jwt`, `default`).
    """

    name: str | None
    roles: tuple[str, ...] = ()
    by: str | None = None


class Sessions(Protocol):
    """Recognises users, and lets them keep a session in a cookie."""

    async def current(self, request: web.Request) -> User:
        """Who makes the request; a User without a name where there is no credential. Raises Unauthorized for
        one that is not valid.
        """

    async def opened(self, request: web.Request, name: str, password: str) -> tuple[User, str]:
        """The user with that password, and the `Set-Cookie` header of a new session. Raises Unauthorized,
        NotImplementedHere.
        """


class OwnersOnly:
    """A `Sessions` for a server that only its owner can reach."""

    async def current(self, request: web.Request) -> User:  # noqa: ARG002
        return User(None, ("_admin",), "default")

    async def opened(self, request: web.Request, name: str, password: str) -> tuple[User, str]:  # noqa: ARG002
        raise NotImplementedHere("this server keeps no sessions; send the credential with every request")
