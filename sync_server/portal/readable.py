"""JSON, and a browser's name, as people read them. Pure."""

import re
from typing import Final

import msgspec

# The first that is named: most claim to be another one as well.
_BROWSERS: Final = (
    ("Edg", "Edge"),
    ("OPR", "Opera"),
    ("SamsungBrowser", "Samsung Internet"),
    ("FxiOS", "Firefox"),
    ("Firefox", "Firefox"),
    ("CriOS", "Chrome"),
    ("HeadlessChrome", "Chrome"),
    ("Chrome", "Chrome"),
    ("Version", "Safari"),
)
_SYSTEMS: Final = ("Android", "iPad", "iPhone", "Windows", "CrOS", "Macintosh", "Linux")
_NAMED: Final = {"CrOS": "ChromeOS", "Macintosh": "macOS"}


def program(agent: str) -> str:
    """What a `User-Agent` is of: `Chrome 153, Linux`; itself, where nobody knows."""
    system = next((name for name in _SYSTEMS if name in agent), None)
    for token, name in _BROWSERS:
        found = re.search(rf"\b{token}/(\d{{1,4}})", agent)
        if found and system is not None and agent.startswith("Mozilla/"):
            return f"{name} {found[1]}, {_NAMED.get(system, system)}"
    return agent


def pretty(value: object) -> str:
    """A value, or JSON itself (`msgspec.Raw`), over lines."""
    return msgspec.json.format(msgspec.json.encode(value), indent=2).decode()


def text_of(value: bytes) -> str:
    """JSON over lines; nothing of null."""
    return "" if bytes(value) == b"null" else pretty(msgspec.Raw(bytes(value)))
