"""What is wrong with a mapping: where, what, and what to do. Pure values."""

from collections.abc import Iterable
from difflib import get_close_matches
from itertools import islice
from typing import Final

import msgspec

_MOST_CANDIDATES: Final = 1000


class Problem(msgspec.Struct, frozen=True):
    """What has to be mended before a mapping can be used; `path` as in `$.instruments[0].form`."""

    path: str
    message: str
    hint: str | None = None


def near(name: str, candidates: Iterable[str], otherwise: str | None = None) -> str | None:
    """A hint at the name that was probably meant."""
    found = get_close_matches(name[:100], islice(candidates, _MOST_CANDIDATES), 1)
    return f"Did you mean {found[0]}?" if found else otherwise
