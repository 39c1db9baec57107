"""Text that Postgres can hold, made from text that JSON allows.

A tablet logs a key press as `"\\u0000"`: legal JSON, stored as sent, but neither `text` nor `jsonb` can hold
that character and one of them would fail a whole COPY. So what is *projected* carries U+FFFD in its place, in
values and in object keys, and the session gets a flag. A document id or a revision may also be longer than a
B-tree entry; it is a row's key, so it is cut and told apart by a digest.

The stored document itself is never touched.
"""

import hashlib
from typing import Any

NUL = "\x00"
REPLACEMENT = "\ufffd"
NUL_ESCAPE = b"\\u0000"
"""How JSON spells NUL; a raw one is no JSON. A body without these bytes holds none."""

# Three of these, a site and two numbers fit into a B-tree entry's 2,704 bytes, at 4 bytes a character too.
MAX_KEY_CHARACTERS = 160


def without_nul(text: str) -> str:
    """`text` with every NUL replaced by U+FFFD."""
    return text.replace(NUL, REPLACEMENT) if NUL in text else text


def key_text(text: str) -> str:
    """A document id, session id or revision as rows spell it: without NUL, never longer than a key can be.

    Text that had to be changed keeps its beginning and ends in `…` and the SHA-256 of the whole: still one
    row a document, still searchable by its beginning.
    """
    if len(text) <= MAX_KEY_CHARACTERS and NUL not in text:
        return text
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
    return f"{without_nul(text)[: MAX_KEY_CHARACTERS - len(digest) - 1]}…{digest}"


def without_nul_deep(value: Any) -> tuple[Any, bool]:
    """A decoded JSON value without NUL in any string or object key, and whether there was one.

    The argument is not changed; parts without containers are shared. Works with a list of what is left to do
    rather than by recursion, because documents may be nested 500 levels deep.
    """
    root = [value]
    replaced = False
    unfinished: list[Any] = [root]
    while unfinished:
        container = unfinished.pop()
        places = container.items() if isinstance(container, dict) else enumerate(container)
        for place, member in list(places):
            if isinstance(member, str) and NUL in member:
                container[place] = without_nul(member)
                replaced = True
            elif isinstance(member, dict):
                replaced = replaced or any(NUL in key for key in member)
                container[place] = {without_nul(key): part for key, part in member.items()}
                unfinished.append(container[place])
            elif isinstance(member, list):
                container[place] = list(member)
                unfinished.append(container[place])
    return root[0], replaced
