"""A person without a mouse: where Tab leads, and whether one sees where one is."""

from typing import Final

from playwright.async_api import Page

_MOST_STOPS: Final = 200

_FOCUS_IS_SEEN: Final = """() => {
  const seen = (style) => (style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2)
    || style.boxShadow !== "none";
  return seen(getComputedStyle(document.activeElement));
}"""
_NOWHERE: Final = "() => document.activeElement === null || document.activeElement === document.body"


async def _stop(page: Page) -> str:
    """The element in focus as a screen reader tells it: `button "Sign in"`."""
    told = (await page.locator(":focus").aria_snapshot()).splitlines()[0]
    return told.removeprefix("- ").removesuffix(":").split(" [")[0]


async def tab_stops(page: Page) -> list[str]:
    """Where Tab leads from here until it leaves the page; raises AssertionError where one does not see it."""
    stops: list[str] = []
    while len(stops) < _MOST_STOPS:
        await page.keyboard.press("Tab")
        if await page.evaluate(_NOWHERE):
            return stops
        stops.append(await _stop(page))
        assert await page.evaluate(_FOCUS_IS_SEEN), f"nobody sees the focus on {stops[-1]}"
    raise AssertionError(f"Tab does not leave the page: {stops}")


async def tab_to(page: Page, stop: str) -> None:
    """Press Tab until this is in focus: `link "Sites"`. Raises AssertionError where it never is."""
    passed: list[str] = []
    while len(passed) < _MOST_STOPS:
        await page.keyboard.press("Tab")
        if await page.evaluate(_NOWHERE):
            break
        passed.append(await _stop(page))
        if passed[-1] == stop:
            return
    raise AssertionError(f"Tab does not lead to {stop}, but to {passed}")
