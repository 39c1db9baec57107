"""What the other tests lean on finds what it is for: on a page full of faults, and on one without."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from aiohttp import web
from PIL import Image

from tests.browser import pictures
from tests.browser.accessibility import assert_accessible, too_wide, violations
from tests.browser.conftest import Visit
from tests.browser.keyboard import tab_stops, tab_to
from tests.browser.visitor import PHONE, SECOND_GENERATION

pytestmark = pytest.mark.asyncio(loop_scope="session")

_POLICY = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'"
_GOOD = """<!doctype html><html lang="en"><head><title>Good</title><link rel="stylesheet" href="/style.css">
<meta name="viewport" content="width=device-width"><script type="module" src="/page.js"></script></head>
<body><main><h1>Sites ✓</h1><p><a href="/good">Lima</a></p>
<label>Name <input name="name"></label> <button>Save</button> <p><code>lima-1</code> <span id="js"></span></p>
</main></body></html>"""
_BAD = """<!doctype html><html><head><title>Bad</title><link rel="stylesheet" href="/style.css"></head>
<body><main><h1>Sites</h1><p class="faint">Hardly seen</p><p class="nightly">By day</p><input name="name">
<div class="wide">Too wide for a phone</div><div class="scrolls"><div class="wide">A table</div></div>
<button class="unseen">Save</button><img src="/absent.png" alt="Absent">
<script>document.title = "inline"</script></main></body></html>"""
_STYLE = """:root { color-scheme: light dark; } body { background: Canvas; color: CanvasText; }
:focus-visible { outline: 2px solid; }
.faint { color: #aaa; background: #fff; } .wide { width: 600px; } .scrolls { overflow-x: auto; }
.nightly { color: #444; background: #fff; }
@media (prefers-color-scheme: dark) { .nightly { background: #222; } }
.unseen:focus-visible { outline: none; } button, a, input { min-height: 24px; min-width: 24px; }
a { display: inline-block; }"""
_SCRIPT = """document.getElementById("js").textContent = "scripted"; await fetch("/big");"""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def pages() -> AsyncIterator[str]:
    """Its address: two pages under a strict policy."""

    def answer(text: str, content_type: str) -> "web.Response":
        policy = {"Content-Security-Policy": _POLICY}
        return web.Response(text=text, content_type=content_type, headers=policy)

    async def handle(request: web.Request) -> web.Response:
        answers = {
            "/good": (_GOOD, "text/html"),
            "/bad": (_BAD, "text/html"),
            "/style.css": (_STYLE, "text/css"),
            "/page.js": (_SCRIPT, "text/javascript"),
            "/big": ("x" * 20_000, "text/plain"),
            "/broken": ("", "text/plain"),
        }
        if request.path not in answers:
            raise web.HTTPNotFound
        return answer(*answers[request.path])

    app = web.Application()
    app.router.add_get("/{path:.*}", handle)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


async def test_a_good_page_under_a_strict_policy_passes_and_its_stops_and_bytes_are_told(
    pages: str, arrive: Visit
) -> None:
    visitor = await arrive(pages)
    await visitor.open("/good")
    await visitor.page.get_by_text("scripted").wait_for()

    await assert_accessible(visitor)
    assert await tab_stops(visitor.page) == ['link "Lima"', 'textbox "Name"', 'button "Save"']
    await tab_to(visitor.page, 'button "Save"')
    with pytest.raises(AssertionError, match='Tab does not lead to button "Delete"'):
        await tab_to(visitor.page, 'button "Delete"')
    await visitor.page.wait_for_load_state("networkidle")
    received = await visitor.received()
    assert received.keys() == {"/good", "/style.css", "/page.js", "/big"}
    assert 20_000 < received["/big"] < 20_500


async def test_what_is_wrong_with_a_page_is_found(pages: str, arrive: Visit) -> None:
    visitor = await arrive(pages)
    await visitor.open("/bad")

    by_day = await violations(visitor)
    await visitor.change_colours("dark")
    by_night = [line for line in await violations(visitor) if "nightly" in line]
    await visitor.resize(PHONE)
    assert {line.split(":")[0] for line in by_day} == {"html-has-lang", "color-contrast", "label"}
    assert ([line for line in by_day if "nightly" in line], len(by_night)) == ([], 1)
    assert [line for line in await too_wide(visitor.page) if "scrolls" not in line or "sideways" in line] == [
        "the page scrolls sideways",
        '<div class="wide">Too wide for a phone</div>',
    ]
    with pytest.raises(AssertionError, match='nobody sees the focus on button "Save"'):
        await tab_stops(visitor.page)
    absent, refused = sorted(visitor.complaints)
    assert "Content Security Policy" in refused
    assert "/absent.png: 404" in absent
    visitor.complaints.clear()


async def test_without_javascript_a_page_is_what_the_server_sent(pages: str, arrive: Visit) -> None:
    visitor = await arrive(pages, javascript=False)
    await visitor.open("/good")

    assert await visitor.page.get_by_role("heading").inner_text() == "Sites ✓"
    assert await visitor.page.locator("#js").inner_text() == ""
    assert await tab_stops(visitor.page) == ['link "Lima"', 'textbox "Name"', 'button "Save"']


async def test_on_a_slow_line_a_page_is_there_before_its_scripts(pages: str, arrive: Visit) -> None:
    visitor = await arrive(pages)
    await visitor.on_line(SECOND_GENERATION)
    await visitor.page.goto("/good", wait_until="commit")

    assert await visitor.page.get_by_role("heading").inner_text() == "Sites ✓"
    assert await visitor.page.locator("#js").inner_text() == ""
    await visitor.on_line(None)
    await visitor.page.get_by_text("scripted").wait_for()


async def test_pictures_are_small_and_stay_as_they_are_where_nothing_changed(
    pages: str, arrive: Visit, tmp_path: Path
) -> None:
    visitor = await arrive(pages)
    await visitor.open("/good")
    await visitor.page.get_by_text("scripted").wait_for()

    written = await pictures.take(visitor, "home", place=tmp_path)
    before = [(path.stat().st_mtime_ns, path.stat().st_size) for path in written]
    await pictures.take(visitor, "home", place=tmp_path)
    assert [path.name for path in written] == ["home.png", "home-dark.png", "home-tablet.png"]
    assert [(path.stat().st_mtime_ns, path.stat().st_size) for path in written] == before
    assert all(size < 20_000 for _, size in before)
    colours = []
    for path in written:
        with Image.open(path) as image:
            colours.append((image.size, image.convert("RGB").getpixel((2, 2))))
    assert colours == [
        ((1280, 800), (255, 255, 255)),
        ((1280, 800), (18, 18, 18)),
        ((820, 1180), (255, 255, 255)),
    ]
