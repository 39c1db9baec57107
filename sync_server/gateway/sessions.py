"""`_session` under `/db`: a device learns whom it is taken for.

No cookies are given out: a device has its credential at hand and sends it with every request, and a cookie
that browsers send by themselves would let another site's page write in its name.
"""

from aiohttp import web

from replication.errors import NotImplementedHere, Unauthorized, Unavailable
from replication.http.users import User
from sync_server import errors
from sync_server.identity.principals import require_device


class DeviceSessions:
    """`Sessions` of devices with their credentials."""

    async def current(self, request: web.Request) -> User:
        """The device, with its role; nobody without a credential. Raises Unauthorized, Unavailable."""
        authorization = request.headers.get("Authorization")
        if authorization is None:
            return User(None)
        try:
            credential = await require_device(request)
        except errors.NotAuthenticated as error:
            raise Unauthorized(error.message) from error
        except errors.Unavailable as error:
            raise Unavailable(error.message) from error
        by = "jwt" if authorization.lower().startswith("bearer") else "default"
        return User(credential.device, (credential.role,), by)

    async def opened(self, request: web.Request, name: str, password: str) -> tuple[User, str]:  # noqa: ARG002
        """Raises NotImplementedHere."""
        raise NotImplementedHere("no cookies are given out; send the credential with every request")
