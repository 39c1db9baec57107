"""`_session` under `/db`: a device learns whom it is taken for, and may log in with a cookie.

The name is the device's and the password its credential, as in Basic authentication. A wrong name, a wrong
password and a revoked credential are told alike.
"""

from typing import Final

from aiohttp import web

from replication.errors import Unauthorized, Unavailable
from replication.http.users import User
from sync_server import errors
from sync_server.identity.principals import device_of_token, require_device
from sync_server.identity.session_cookie import session_cookie, session_token

WRONG: Final = "Name or password is incorrect."


class DeviceSessions:
    """`Sessions` of devices with their credentials."""

    async def current(self, request: web.Request) -> User:
        """The device, with its role; nobody without a credential. Raises Unauthorized, Unavailable."""
        authorization = request.headers.get("Authorization")
        if authorization is None and session_token(request) is None:
            return User(None)
        try:
            credential = await require_device(request)
        except errors.NotAuthenticated as error:
            raise Unauthorized(error.message) from error
        except errors.Unavailable as error:
            raise Unavailable(error.message) from error
        return User(credential.device, (credential.role,), _recognised_by(authorization))

    async def opened(self, request: web.Request, name: str, password: str) -> tuple[User, str]:
        """The device, and the cookie of its session. Raises Unauthorized, Unavailable."""
        try:
            credential = await device_of_token(request, password)
        except errors.NotAuthenticated as error:
            raise Unauthorized(WRONG) from error
        except errors.Unavailable as error:
            raise Unavailable(error.message) from error
        if credential.device != name:
            raise Unauthorized(WRONG)
        secure = request.headers.get("X-Forwarded-Proto", request.scheme) == "https"
        return User(credential.device, (credential.role,), "cookie"), session_cookie(password, secure=secure)


def _recognised_by(authorization: str | None) -> str:
    if authorization is None:
        return "cookie"
    return "jwt" if authorization.lower().startswith("bearer") else "default"
