"""Every page of the portal, and how it is mounted."""

from collections.abc import Sequence
from typing import Final

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler

from sync_server.keys import SETTINGS
from sync_server.portal import (
    account,
    by_mail,
    conflicts,
    consents,
    entrance,
    home,
    instruments,
    jobs,
    participants,
    people,
    quarantine,
    redcap,
    reminders,
    replication,
    research,
    research_files,
    schedules,
    sites,
    studies,
    system,
    visits,
)
from sync_server.portal.cookie import PATH
from sync_server.portal.downloads import DOWNLOADS
from sync_server.portal.failures import portal_failures
from sync_server.portal.live import PACE, Pace, stream
from sync_server.portal.pages import Page
from sync_server.portal.rendering import RENDERING, Rendering
from sync_server.portal.security import STATIC, add_headers
from sync_server.portal.serving import Served
from sync_server.portal.signing_in import SIGN_IN

STUDY_PAGES: Final[Sequence[Page]] = [
    *studies.PAGES,
    *participants.PAGES,
    *visits.PAGES,
    *consents.PAGES,
    *schedules.PAGES,
    *reminders.PAGES,
    *redcap.PAGES,
    *instruments.PAGES,
    *people.PAGES,
]

RESEARCH_PAGES: Final[Sequence[Page]] = [*research.PAGES, *research_files.PAGES]

PAGES: Final[Sequence[Page]] = [
    *home.PAGES,
    *STUDY_PAGES,
    *RESEARCH_PAGES,
    *sites.PAGES,
    *quarantine.PAGES,
    *conflicts.PAGES,
    *replication.PAGES,
    *jobs.PAGES,
    *system.PAGES,
    *account.PAGES,
]

NAVIGATION: Final[Sequence[Page]] = [page for page in PAGES if page.area is None and page.name != "account"]


def install_portal(app: web.Application) -> None:
    """Mount it; limits are to be installed after it, so that a refusal of theirs is a page too."""
    rendering = app[RENDERING] = Rendering(NAVIGATION)
    app[PACE] = Pace(app[SETTINGS].portal_live_seconds)
    app.middlewares.append(portal_failures)
    app.on_response_prepare.append(add_headers)
    app.on_shutdown.append(_end_streams)
    for typed in ("/", PATH):
        app.router.add_get(typed, _to_home)
    app.router.add_get(SIGN_IN, entrance.show_sign_in)
    app.router.add_post(SIGN_IN, entrance.sign_in)
    app.router.add_get(f"{SIGN_IN}/code", entrance.show_code)
    app.router.add_post(f"{SIGN_IN}/code", entrance.take_code)
    for path, look, take in by_mail.PAGES:
        app.router.add_get(path, look)
        app.router.add_post(path, take)
    for path, target in by_mail.LINKS.items():
        app.router.add_get(path, _leading_to(target))
    app.router.add_get(f"{STATIC}/{{file}}", rendering.static.serve)
    for download in DOWNLOADS:
        app.router.add_get(download.path, download.serve)
    for page in PAGES:
        _mount(app, page)


def _mount(app: web.Application, page: Page) -> None:
    served = Served(page)

    async def look(request: web.Request) -> web.StreamResponse:
        follows = "text/event-stream" in request.headers.get(hdrs.ACCEPT, "")
        if page.live and follows and request.method == hdrs.METH_GET:
            return await stream(request, page)
        return await served.get(request)

    app.router.add_get(page.path, look)
    if page.forms:
        app.router.add_post(page.path, served.post)


def _leading_to(page: str) -> Handler:
    async def lead(_: web.Request) -> web.StreamResponse:
        # What comes after `#` the browser takes along.
        raise web.HTTPSeeOther(page)

    return lead


async def _to_home(_: web.Request) -> web.Response:
    raise web.HTTPSeeOther(f"{PATH}/")


async def _end_streams(app: web.Application) -> None:
    app[PACE].stop()
