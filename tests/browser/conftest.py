"""One browser and one service for all tests of a process; a profile of their own for each visitor.

Browser and visitors live in the event loop of the whole run: a test file says
`pytestmark = pytest.mark.asyncio(loop_scope="session")`.
"""

import os
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from typing import Any, Protocol

import pytest
import pytest_asyncio
from playwright.async_api import Browser, async_playwright

from tests.browser.chromium import chromium
from tests.browser.portal import Portal, serving
from tests.browser.visitor import Visitor
from tests.embedded.supervised import SupervisedSystem


class Visit(Protocol):
    """Makes a visitor; `settings` are `Visitor.arrive`'s."""

    async def __call__(self, base_url: str | None = None, **settings: Any) -> Visitor: ...


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    """A headless Chromium; a test skips, or fails in CI, where none runs."""
    found = chromium()
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=found.executable,
            env={**os.environ, **found.environment},
            # It sees pages of this machine only.
            chromium_sandbox=False,
            args=["--font-render-hinting=none", "--disable-gpu"],
        )
        yield browser
        await browser.close()


@pytest.fixture(scope="package")
def portal(postgres_server: SupervisedSystem, redis_url: str) -> Iterator[Portal]:
    """The running service."""
    with serving(postgres_server, redis_url) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="session")
async def arrive(browser: Browser) -> AsyncIterator[Visit]:
    """Makes visitors of any address; in the end each of them has nothing to complain of."""
    visitors: list[Visitor] = []
    async with AsyncExitStack() as leaving:

        async def arrive(base_url: str | None = None, **settings: Any) -> Visitor:
            assert base_url is not None
            visitor = await Visitor.arrive(browser, base_url, **settings)
            leaving.push_async_callback(visitor.leave)
            visitors.append(visitor)
            return visitor

        yield arrive
    assert [complaint for visitor in visitors for complaint in visitor.complaints] == []


@pytest.fixture
def visit(arrive: Visit, portal: Portal) -> Visit:
    """Makes visitors of the portal."""

    async def visit(base_url: str | None = None, **settings: Any) -> Visitor:
        return await arrive(base_url or portal.base_url, **settings)

    return visit
