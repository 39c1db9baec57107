"""The headers of every page: what a browser may load, run, frame and keep of it.

Nothing runs but the portal's own modules, nothing is styled but by its own stylesheet: markup that came in
with data would not run even where it was not escaped. `Referrer-Policy` is `same-origin`, not
`no-referrer`: with that, browsers say `Origin: null` of the portal's own forms.
"""

from typing import Final

from aiohttp import hdrs, web

from sync_server.areas import is_below
from sync_server.keys import SETTINGS
from sync_server.portal.cookie import PATH

CONTENT_SECURITY_POLICY: Final = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types portal",
    )
)
STATIC: Final = f"{PATH}/static"

_HEADERS: Final = {
    hdrs.CACHE_CONTROL: "no-store",
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "X-Frame-Options": "DENY",
}
_STRICT_TRANSPORT: Final = "max-age=31536000; includeSubDomains"


async def add_headers(request: web.Request, response: web.StreamResponse) -> None:
    """To be called when a response starts."""
    if not is_below(request.path, PATH):
        return
    for name, value in _HEADERS.items():
        response.headers.setdefault(name, value)
    if request.app[SETTINGS].base_url.startswith("https://"):
        response.headers["Strict-Transport-Security"] = _STRICT_TRANSPORT
