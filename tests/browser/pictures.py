"""Pictures of pages, for docs/portal/: written when asked (`make pictures`), small, and the same each time.

A picture is of the whole page, wide in light and dark colours and as on a tablet. It has at most 256 colours,
which halves it and nobody sees. One that shows what it did stays as it is: no commit of what nobody changed.
"""

import io
import os
from pathlib import Path
from typing import Final

from PIL import Image, ImageChops

from tests.browser.visitor import TABLET, WIDE, Visitor

PLACE: Final = Path(__file__).parents[2] / "docs" / "portal"
MOST_BYTES: Final = 150_000
# The same letters are not painted quite the same twice, out of 255.
_NOISE: Final = 8


def asked() -> bool:
    """Whether pictures are to be written: PICTURES is set."""
    return bool(os.environ.get("PICTURES"))


async def take(visitor: Visitor, name: str, *, place: Path | None = None) -> list[Path]:
    """Write `name`.png, `name`-dark.png and `name`-tablet.png where asked, or to `place`; the files.

    Leaves the visitor with a wide window and light colours.
    """
    if place is None:
        if not asked():
            return []
        place = PLACE
    place.mkdir(exist_ok=True)
    await visitor.resize(WIDE)
    written = [await _write(visitor, place / f"{name}.png")]
    await visitor.change_colours("dark")
    written.append(await _write(visitor, place / f"{name}-dark.png"))
    await visitor.change_colours("light")
    await visitor.resize(TABLET)
    written.append(await _write(visitor, place / f"{name}-tablet.png"))
    await visitor.resize(WIDE)
    return written


async def _write(visitor: Visitor, path: Path) -> Path:
    await visitor.page.evaluate("() => { document.activeElement.blur(); scrollTo(0, 0); }")
    taken = await visitor.page.screenshot(full_page=True, animations="disabled", caret="hide", scale="css")
    _keep(taken, path)
    return path


def _keep(taken: bytes, path: Path) -> None:
    with Image.open(io.BytesIO(taken)) as image:
        reduced = image.convert("RGB").quantize(
            256, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE
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
