"""Names that callers give: the same everywhere.

`$` alone lets a line feed follow in Python, which no other reader of the specification would let through, and
`\\Z` is not known to them: so patterns end with `$(?!\\n)`.
"""

from typing import Annotated

from msgspec import Meta

from reporting.sites import SITE_PATTERN

StudyCode = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$(?!\n)", max_length=64)]
SiteCode = Annotated[str, Meta(pattern=rf"^{SITE_PATTERN}$(?!\n)", max_length=63)]
DeviceName = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$(?!\n)", max_length=64)]
SessionId = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{7,99}$(?!\n)", max_length=100)]


def storable(text: str) -> str:
    """The text, or what is nothing's name where it holds what no stored text has: NUL, half a character."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return NOBODYS
    return NOBODYS if "\0" in text else text


NOBODYS = "\ufffd"
