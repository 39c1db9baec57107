"""`/api/openapi.json` and `/api/docs`: the API's own specification, and a page to read and try it.

The page is Swagger UI from the package's own files: no network but this server is needed, and the page's
policy allows none.
"""

import functools
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec
import openapi_ui_bundles.swagger_ui
from aiohttp import web

from sync_server.api.route import Route, plain
from sync_server.api.specification import specification

_STATIC = Path(openapi_ui_bundles.swagger_ui.__file__).parent / "vendor"
_ASSETS = {
    "swagger-ui.css": "text/css",
    "swagger-ui-bundle.js": "text/javascript",
    "favicon-32x32.png": "image/png",
}
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)
_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Metricis Sync: the API</title>
<link rel="icon" href="docs/favicon-32x32.png">
<link rel="stylesheet" href="docs/swagger-ui.css">
<div id="page"></div>
<script src="docs/swagger-ui-bundle.js"></script>
<script src="docs/start.js"></script>
</html>
"""
_START = """SwaggerUIBundle({
  url: new URL("openapi.json", document.baseURI).href,
  dom_id: "#page",
  deepLinking: true,
  validatorUrl: null,
  persistAuthorization: false,
});
"""


def describing(routes: list[Route]) -> list[Route]:
    """The routes that describe `routes`, which is where they are to be added themselves."""

    @functools.cache
    def document() -> bytes:
        told = specification(routes, version=version("metricis-sync"), server="/")
        return msgspec.json.encode(told)

    async def get_specification(request: web.Request) -> web.Response:  # noqa: ARG001 (aiohttp's signature)
        """Read this specification: OpenAPI 3.1."""
        return web.Response(body=document(), content_type="application/json", charset="utf-8")

    return [
        plain("GET", "/api/openapi.json", get_specification, right="public", answer=dict[str, Any]),
        plain("GET", "/api/docs", get_page, right="public", produces="text/html"),
        plain("GET", "/api/docs/{asset}", get_asset, right="public", produces="*/*"),
    ]


async def get_page(request: web.Request) -> web.Response:  # noqa: ARG001 (aiohttp's handler signature)
    """Read and try the API in a browser."""
    headers = {"Content-Security-Policy": _POLICY}
    return web.Response(text=_PAGE, content_type="text/html", headers=headers)


async def get_asset(request: web.Request) -> web.StreamResponse:
    """A file of the page in the browser."""
    name = request.match_info["asset"]
    headers = {"Cache-Control": "public, max-age=3600"}
    if name == "start.js":
        return web.Response(text=_START, content_type="text/javascript", headers=headers)
    if name not in _ASSETS:
        raise web.HTTPNotFound
    return web.FileResponse(_STATIC / name, headers={**headers, "Content-Type": _ASSETS[name]})
