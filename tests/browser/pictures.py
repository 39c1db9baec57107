"""Pictures of pages, for docs/portal/: written when asked (`make pictures`), small, and the same each time.

A picture is of the whole page, wide and as on a tablet, of some pages in dark colours too. It has at most 128
colours, which halves it and nobody sees. One that shows what it did stays as it is: no commit of what nobody
changed. Where the service listens is told as a name: a port of its own is another one each time.
"""

import io
import os
from pathlib import Path
from typing import Final

from PIL import Image, ImageChops

from tests.browser.visitor import TABLET, WIDE, Visitor

PLACE: Final = Path(__file__).parents[2] / "docs" / "portal"
MOST_BYTES: Final = 150_000
DARK: Final = frozenset(
    (
        "home", "site", "enrolment", "quarantined", "conflict", "replication-job", "participants", "visits",
        "scores", "exports", "audit", "sign-in",
    )
)  # fmt: skip
"""Whose picture there is in dark colours."""

_NAMED: Final = """(own) => {
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const said = texts.currentNode.nodeValue;
    if (said.includes("127.0.0.1"))
      texts.currentNode.nodeValue = said
        .replaceAll(own, "https://sync.example.org").replaceAll("127.0.0.1", "203.0.113.24");
  }
  document.activeElement.blur();
  scrollTo(0, 0);
}"""
# The same letters are not painted quite the same twice, out of 255.
_NOISE: Final = 24


def asked() -> bool:
    """Whether pictures are to be written: PICTURES is set."""
    return bool(os.environ.get("PICTURES"))


async def take(visitor: Visitor, name: str, *, place: Path | None = None) -> list[Path]:
    """Write `name`.png, `name`-tablet.png and, of `DARK`, `name`-dark.png, where asked or to `place`.

    Returns the files. Leaves the visitor with a wide window and light colours.
    """
    if place is None:
        if not asked():
            return []
        place = PLACE
    place.mkdir(exist_ok=True)
    await visitor.resize(WIDE)
    written = [await _write(visitor, place / f"{name}.png")]
    if name in DARK:
        await visitor.change_colours("dark")
        written.append(await _write(visitor, place / f"{name}-dark.png"))
        await visitor.change_colours("light")
    await visitor.resize(TABLET)
    written.append(await _write(visitor, place / f"{name}-tablet.png"))
    await visitor.resize(WIDE)
    return written


async def _write(visitor: Visitor, path: Path) -> Path:
    await visitor.page.evaluate(_NAMED, visitor.base_url)
    taken = await visitor.page.screenshot(full_page=True, animations="disabled", caret="hide", scale="css")
    _keep(taken, path)
    return path


def _keep(taken: bytes, path: Path) -> None:
    with Image.open(io.BytesIO(taken)) as image:
        reduced = image.convert("RGB").quantize(
            128, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE
        )
    if path.exists() and _same(path, reduced):
        return
    encoded = io.BytesIO()
    reduced.save(encoded, "PNG", optimize=True)
    content = encoded.getvalue()
    assert len(content) < MOST_BYTES, f"{path.name} has {len(content)} bytes"
    path.write_bytes(content)


def _same(path: Path, image: Image.Image) -> bool:
    with Image.open(path) as there:
        if there.size != image.size:
            return False
        difference = ImageChops.difference(there.convert("RGB"), image.convert("RGB")).convert("L")
    return difference.point(lambda value: 255 * (value > _NOISE)).getbbox() is None
