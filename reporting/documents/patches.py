"""JSON merge patches (RFC 7396): applied, and compared with what they were made against.

A patch says what a coordinator wants a session to be; the tablet goes on saving. So a patch comes with its
`base`, the values that it replaces, of the same shape, and each time it is applied the two are compared:

| the tablet's value, where the patch says something | the patch applies, and is |
|---|---|
| as in `base`, or in that of an earlier patch of the same place | good |
| what the patch says anyway | good: the tablet has been mended too |
| another one | outdated: listed for a person |
| any, and a later patch says something there | superseded: only the later one is compared |

Absent and null are the same, as RFC 7396 has it. An array is one value. What the tablet wrote is compared,
not what earlier patches made of it. Nothing here recurses: a patch is as deep as its writer likes.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple, TypeAlias

import msgspec

from reporting.documents.kinds import Correction
from reporting.documents.text import NUL_ESCAPE, key_text, without_nul_deep

MAX_PATCH_DEPTH: Final = 100

SHOWN_BYTES: Final = 100_000
"""A value in a list of conflicts is not larger: a patch may replace all trials of a session."""

MemberPath: TypeAlias = tuple[str, ...]

_PLAIN_NAME: Final = re.compile(r"[A-Za-z_]\w*", re.ASCII)

_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode


class Outdated(NamedTuple):
    """A patched value that was made against another one. `path` as rows spell it; values as shown."""

    correction: str
    path: str
    shown: Any
    found: Any


class Patched(NamedTuple):
    """A leaf's body after the patches, and which of them are outdated."""

    body: bytes
    outdated: tuple[Outdated, ...] = ()


def apply_patches(body: bytes, patches: Sequence[Correction]) -> Patched:
    """Apply patches in the order of their numbers. A body that is no JSON object stays as it is."""
    if not patches:
        return Patched(body)
    try:
        found = _decode(body)
    except (ValueError, RecursionError):
        return Patched(body)
    if not isinstance(found, dict):
        return Patched(body)
    document = found
    ordered = sorted(patches, key=lambda patch: patch.number)
    for correction in ordered:
        document = merge_patch(document, correction.patch)
    if NUL_ESCAPE in body:
        # A correction is read without NUL, so what it is compared with has to be, too.
        found, _ = without_nul_deep(found)
        ordered = [_without_nul(correction) for correction in ordered]
    try:
        return Patched(_encode(document), tuple(_outdated(ordered, found)))
    except RecursionError:
        return Patched(body)


def _without_nul(correction: Correction) -> Correction:
    patch, base = (without_nul_deep(each)[0] for each in (correction.patch, correction.base))
    return correction._replace(patch=patch, base=base)


def merge_patch(target: Any, patch: Any) -> Any:
    """RFC 7396, section 2. Arguments stay as they are; unchanged parts are shared."""
    if not isinstance(patch, Mapping):
        return patch
    root = dict(target) if isinstance(target, dict) else {}
    unfinished: list[tuple[dict[str, Any], Mapping[str, Any]]] = [(root, patch)]
    while unfinished:
        into, changes = unfinished.pop()
        for name, value in changes.items():
            if value is None:
                into.pop(name, None)
            elif isinstance(value, dict):
                before = into.get(name)
                into[name] = dict(before) if isinstance(before, dict) else {}
                unfinished.append((into[name], value))
            else:
                into[name] = value
    return root


def base_of(patch: Mapping[str, Any], target: Any) -> dict[str, Any]:
    """What `patch` replaces in `target`, in the shape of the patch; null where there is nothing."""
    root: dict[str, Any] = {}
    unfinished: list[tuple[dict[str, Any], Mapping[str, Any], Any]] = [(root, patch, target)]
    while unfinished:
        base, changes, found = unfinished.pop()
        for name, value in changes.items():
            before = found.get(name) if isinstance(found, dict) else None
            if isinstance(value, dict) and isinstance(before, dict):
                base[name] = {}
                unfinished.append((base[name], value, before))
            else:
                base[name] = before
    return root


def depth(value: Any) -> int:
    """How many arrays and objects are inside each other; 0 for a plain value."""
    level, layer = 0, [value]
    while layer := [each for each in layer if isinstance(each, dict | list)]:
        level += 1
        layer = [part for each in layer for part in (each.values() if isinstance(each, dict) else each)]
    return level


def patched_members(patch: Mapping[str, Any]) -> Iterator[tuple[MemberPath, Any]]:
    """Each place where the patch says something, and what. null: take the member away."""
    unfinished: list[tuple[MemberPath, Mapping[str, Any]]] = [((), patch)]
    while unfinished:
        above, changes = unfinished.pop()
        for name, value in changes.items():
            if isinstance(value, dict) and value:
                unfinished.append(((*above, name), value))
            else:
                yield (*above, name), value


def value_at(document: Any, path: MemberPath) -> Any:
    """The value there. Where something on the way is no object, that: it is what would be replaced."""
    value = document
    for name in path:
        if not isinstance(value, dict):
            return value
        value = value.get(name)
    return value


def spell_path(path: MemberPath) -> str:
    """`$.device.os`, and `$["odd name"]`; never longer than a row's key may be."""
    steps = (f".{name}" if _PLAIN_NAME.fullmatch(name) else f"[{_encode(name).decode()}]" for name in path)
    return key_text("$" + "".join(steps))


def _outdated(ordered: Sequence[Correction], found: dict[str, Any]) -> Iterator[Outdated]:
    """From the last patch to the first, so that what a later one says is known."""
    seen: dict[MemberPath, list[Any]] = {}
    for correction in ordered:
        for path, _ in patched_members(correction.patch):
            seen.setdefault(path, []).append(value_at(correction.base, path))
    later: set[MemberPath] = set()
    above_later: set[MemberPath] = set()
    for correction in reversed(ordered):
        here = list(patched_members(correction.patch))
        for path, value in here:
            superseded = path in above_later or any(path[:end] in later for end in range(1, len(path) + 1))
            current = value_at(found, path)
            if not superseded and not _is_as_expected(current, value, seen[path]):
                yield Outdated(correction.id, spell_path(path), shown(value), shown(current))
        for path, _ in here:
            later.add(path)
            above_later.update(path[:end] for end in range(1, len(path) + 1))


def _is_as_expected(current: Any, value: Any, seen: Sequence[Any]) -> bool:
    if value == {} and isinstance(current, dict):
        return True
    return current == value or current in seen


def shown(value: Any) -> Any:
    """The value as a list of conflicts can hold it: without NUL, its size alone where it is large."""
    clean, _ = without_nul_deep(value)
    size = len(_encode(clean))
    return clean if size <= SHOWN_BYTES else {"omitted_bytes": size}
