"""The gallery of docs/portal/ shows every page, and every picture that there is."""

import re
from pathlib import Path

from sync_server.portal.routes import PAGES

_PLACE = Path(__file__).parents[2] / "docs" / "portal"
_MOST_BYTES = 5_000_000


def test_the_gallery_shows_every_page_wide_and_on_a_tablet_and_no_picture_is_left_out_or_missing() -> None:
    text = (_PLACE / "README.md").read_text(encoding="utf-8")
    shown = set(re.findall(r"\(([\w-]+\.png)\)", text)) | set(re.findall(r'src="([\w-]+\.png)"', text))
    pictures = {path.name: path.stat().st_size for path in _PLACE.glob("*.png")}
    names = {page.name.replace("_", "-") for page in PAGES}
    wanted = {f"{name}{size}.png" for name in names for size in ("", "-tablet")}

    assert shown == pictures.keys()
    assert wanted - shown == set()
    assert sum(pictures.values()) < _MOST_BYTES
