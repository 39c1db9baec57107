"""A name for each request, in its answer and in every line of the log about it."""

import re
import uuid
from typing import Final

from aiohttp import web

REQUEST_ID = web.RequestKey("request_id", str)

_SANE: Final = re.compile(r"[A-Za-z0-9._:-]{1,128}")


def name_request(request: web.Request) -> str:
    """The caller's `X-Request-ID` where it is sane, a new one otherwise; kept under REQUEST_ID."""
    given = request.headers.get("X-Request-ID", "")
    request[REQUEST_ID] = given if _SANE.fullmatch(given) else uuid.uuid4().hex
    return request[REQUEST_ID]
