"""A person without a mouse: where Tab leads, and whether one sees where one is."""

from collections.abc import AsyncIterator
from typing import Final

from playwright.async_api import Page

_MOST_STOPS: Final = 200

_FOCUS_IS_SEEN: Final = """() => {
  const seen = (style) => (style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2)
    || style.boxShadow !== "none";
  return seen(getComputedStyle(document.activeElement));
}"""
_NOWHERE: Final = "() => document.activeElement === null || document.activeElement === document.body"


# The parts of a date field are stops of their own, and its button is in focus where nothing matches `:focus`.
_IS_ANOTHER: Final = "(last) => document.activeElement !== last && document.activeElement.matches(':focus')"


async def _stops(page: Page) -> AsyncIterator[str]:
    """Press Tab again and again; each element in focus as a screen reader tells it: `button "Sign in"`."""
    last = None
    for _ in range(_MOST_STOPS):
        await page.keyboard.press("Tab")
        if await page.evaluate(_NOWHERE):
            return
        if not await page.evaluate(_IS_ANOTHER, last):
            continue
        last = await page.evaluate_handle("() => document.activeElement")
        told = (await page.locator(":focus").aria_snapshot()).splitlines()[0]
        yield told.removeprefix("- ").removesuffix(":").split(" [")[0]
    raise AssertionError("Tab does not leave the page")


async def tab_stops(page: Page) -> list[str]:
    """Where Tab leads from here until it leaves the page; raises AssertionError where one does not see it."""
    stops: list[str] = []
    async for stop in _stops(page):
        assert await page.evaluate(_FOCUS_IS_SEEN), f"nobody sees the focus on {stop}"
        stops.append(stop)
    return stops


async def tab_to(page: Page, wanted: str) -> None:
    """Press Tab until this is in focus: `link "Sites"`. Raises AssertionError where it never is."""
    passed: list[str] = []
    async for stop in _stops(page):
        if stop == wanted:
            return
        passed.append(stop)
    raise AssertionError(f"Tab does not lead to {wanted}, but to {passed}")
