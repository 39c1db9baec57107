"""What axe-core and a narrow window find on the page that a visitor has open.

axe runs in a world of its own beside the page's scripts, as a browser's extensions do: the page's
Content-Security-Policy stays as it is, and the page cannot get in its way. It needs JavaScript to be on.
"""

from functools import cache
from typing import Any, Final

from playwright.async_api import Page

from tests.browser.chromium import AXE
from tests.browser.visitor import PHONE, WIDE, ZOOMED, Visitor

_OPTIONS: Final = """{
  runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22a", "wcag22aa", "best-practice"],
  resultTypes: ["violations", "incomplete"],
}"""

_CONTRAST: Final = """{ runOnly: { type: "rule", values: ["color-contrast"] } }"""

# The innermost elements that reach beyond the window, other than in a box that scrolls by itself.
_TOO_WIDE: Final = """() => {
  const width = document.documentElement.clientWidth;
  const scrolls = (element) => element !== document.body && element !== document.documentElement
    && ["auto", "scroll"].includes(getComputedStyle(element).overflowX);
  const inside = (element) => {
    for (let e = element.parentElement; e; e = e.parentElement) if (scrolls(e)) return true;
    return false;
  };
  const beyond = [...document.body.querySelectorAll("*")].filter((element) =>
    element.getBoundingClientRect().right > width + 0.5 && !inside(element));
  const innermost = beyond.filter((element) => !beyond.some((e) => e !== element && element.contains(e)));
  const told = innermost.map((element) => element.outerHTML.slice(0, 120));
  return document.scrollingElement.scrollWidth > width ? ["the page scrolls sideways", ...told] : told;
}"""


@cache
def _axe() -> str:
    return AXE.read_text()


async def _ask_axe(visitor: Visitor, options: str) -> dict[str, Any]:
    send = visitor.devtools.send
    frame = (await send("Page.getFrameTree"))["frameTree"]["frame"]["id"]
    world = await send("Page.createIsolatedWorld", {"frameId": frame, "worldName": "axe"})
    asked = {"contextId": world["executionContextId"], "awaitPromise": True, "returnByValue": True}
    await send("Runtime.evaluate", {"expression": _axe() + "\n;0", **asked})
    answer = await send("Runtime.evaluate", {"expression": f"axe.run(document, {options})", **asked})
    assert "exceptionDetails" not in answer, answer
    found: dict[str, Any] = answer["result"]["value"]
    return found


def _told(result: dict[str, Any]) -> list[str]:
    return [f"{result['id']}: {result['help']}: {node['html'][:160]}" for node in result["nodes"]]


async def violations(visitor: Visitor, *, contrast_only: bool = False) -> list[str]:
    """What axe-core finds against WCAG 2.2 AA and good practice, and contrasts that it cannot tell."""
    found = await _ask_axe(visitor, _CONTRAST if contrast_only else _OPTIONS)
    unsure = [result for result in found["incomplete"] if result["id"].startswith("color-contrast")]
    return [line for result in (*found["violations"], *unsure) for line in _told(result)]


async def too_wide(page: Page) -> list[str]:
    """Elements that are cut off, or make the page scroll sideways, at the window's width."""
    found: list[str] = await page.evaluate(_TOO_WIDE)
    return found


async def assert_accessible(visitor: Visitor) -> None:
    """axe-core finds nothing, in the light and in the dark, and nothing is too wide at 200 % and 400 %.

    Leaves the visitor with a wide window and light colours.
    """
    found = [f"light: {line}" for line in await violations(visitor)]
    await visitor.change_colours("dark")
    found += [f"dark: {line}" for line in await violations(visitor, contrast_only=True)]
    await visitor.change_colours("light")
    for zoom, size in (("200 %", ZOOMED), ("400 %", PHONE)):
        await visitor.resize(size)
        found += [f"at {zoom}: {line}" for line in await too_wide(visitor.page)]
    await visitor.resize(WIDE)
    assert found == [], f"{visitor.path}\n" + "\n".join(found)
