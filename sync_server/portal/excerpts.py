"""A JSON document with one place of it marked, short enough to be read: pure.

    excerpt({"type": "session", "study": 7, …}, "$.study")      lines, of which one is the offending one

Whatever lies on the way to the place, and a few neighbours of each step, are always shown; everything else as
far as there is room. What is left out is told, with how much it is.

| the path | marked |
|---|---|
| leads to a value | the value |
| leads to a member or item that is not there | a line that stands for it |
| cannot be read (to its end) | what it leads to as far as it can be read |
"""

import re
from collections.abc import Iterator, Sequence
from typing import Any, Final, Literal, NamedTuple, TypeAlias

import msgspec

Mark = Literal["", "way", "here", "missing"]
Steps: TypeAlias = tuple[str | int, ...]

MOST_SHOWN: Final = 14
"""Of the members of an object, or the items of an array, on the way: those around the step, and the first."""

_NEIGHBOURS: Final = 3
_BESIDE_THE_WAY: Final = 8
_TEXT: Final = 160
_INLINE: Final = 90
_STEP: Final = re.compile(r'\.(?P<name>[A-Za-z_]\w*)|\[(?P<number>\d{1,9})\]|\[(?P<odd>"(?:[^"\\]|\\.)*")\]')

_PLACE: Final = re.compile(
    r"\$(?:\.tasks\[(?P<task>.*),(?P<run>-?\d+)\](?:\.trials\[(?P<trial>-?\d+)\])?)?"
    r"(?:\.(?P<member>\w+))?",
    re.ASCII | re.DOTALL,
)


class Line(NamedTuple):
    """A line of the excerpt. `left_out`: it stands for so many members or items; `position`: of an item."""

    depth: int
    text: str
    mark: Mark = ""
    left_out: int = 0
    position: int | None = None


class Place(NamedTuple):
    """What a contradiction is about; each part is None where the path says none."""

    task: str | None = None
    run: str | None = None
    trial: str | None = None
    member: str | None = None


def place_of(path: str) -> Place:
    """The path of a contradiction, `$.tasks[simon,1].trials[3]`, in parts; an empty place for another one."""
    found = _PLACE.fullmatch(path)
    return Place() if found is None else Place(**found.groupdict())


def steps_of(path: str) -> Steps:
    """`$.tasks[0].trials[3]["odd name"]` as names and positions, as far as it can be read."""
    found: list[str | int] = []
    at = 1 if path.startswith("$") else 0
    while step := _STEP.match(path, at):
        at = step.end()
        if step["number"] is not None:
            found.append(int(step["number"]))
        else:
            found.append(step["name"] or str(msgspec.json.decode(step["odd"])))
    return tuple(found)


def is_whole(path: str) -> bool:
    """Whether all of the path can be read."""
    at = 1
    while step := _STEP.match(path, at):
        at = step.end()
    return path.startswith("$") and at == len(path)


def excerpt(document: Any, path: str) -> list[Line]:
    """The lines; see the module."""
    return list(_on_the_way(document, steps_of(path), depth=0, name=None, position=None, comma=""))


def value_at(document: Any, steps: Sequence[str | int]) -> Any:
    """What is there; None where nothing is."""
    value = document
    for step in steps:
        if isinstance(step, int):
            value = value[step] if isinstance(value, list) and step < len(value) else None
        else:
            value = value.get(step) if isinstance(value, dict) else None
    return value


def with_value(document: Any, steps: Sequence[str | int], value: Any) -> Any:
    """A copy with another value there; parts that stay are shared. Raises LookupError where it has no place.
    None takes a member away.
    """
    if not steps:
        return value
    step, *rest = steps
    if isinstance(step, int):
        if not isinstance(document, list) or step >= len(document):
            raise LookupError(f"there is no item {step}")
        return [*document[:step], with_value(document[step], rest, value), *document[step + 1 :]]
    if document is not None and not isinstance(document, dict):
        raise LookupError(f"there can be no member {step}")
    inside = dict(document or {})
    if value is None and not rest:
        inside.pop(step, None)
    else:
        inside[step] = with_value(inside.get(step), rest, value)
    return inside


def _on_the_way(
    value: Any, steps: Steps, *, depth: int, name: str | None, position: int | None, comma: str
) -> Iterator[Line]:
    if not steps or not isinstance(value, dict | list):
        yield from _aside(value, depth=depth, name=name, position=position, comma=comma, mark="here", room=3)
        return
    step, *rest = steps
    children: list[tuple[str | int, Any]] = list(
        value.items() if isinstance(value, dict) else enumerate(value)
    )
    at = next((number for number, (key, _) in enumerate(children) if key == step), None)
    opening, closing = ("{", "}") if isinstance(value, dict) else ("[", "]")
    yield Line(depth, _named(name, opening), "way", position=position)
    below = depth + 1
    last = -1
    for number in _shown(len(children), at):
        if number > last + 1:
            yield Line(below, "…", left_out=number - last - 1)
        last = number
        key, child = children[number]
        about: dict[str, Any] = {
            "depth": below,
            "name": key if isinstance(key, str) else None,
            "position": key if isinstance(key, int) else None,
            "comma": "," if number + 1 < len(children) else "",
        }
        if number == at:
            yield from _on_the_way(child, tuple(rest), **about)
        else:
            yield from _aside(child, **about, mark="", room=1)
    if last + 1 < len(children):
        yield Line(below, "…", left_out=len(children) - last - 1)
    if at is None:
        position, missing = (step, "") if isinstance(step, int) else (None, _named(step, ""))
        yield Line(below, missing, "missing", position=position)
    yield Line(depth, closing + comma, "way")


def _shown(number: int, at: int | None) -> list[int]:
    """Which of so many are shown: all, or the first ones and those around `at`."""
    if number <= MOST_SHOWN:
        return list(range(number))
    around = range(0) if at is None else range(at - _NEIGHBOURS, at + _NEIGHBOURS + 1)
    first = range(MOST_SHOWN - len(around))
    return sorted({each for each in (*first, *around) if 0 <= each < number})


def _aside(
    value: Any, *, depth: int, name: str | None, position: int | None, comma: str, mark: Mark, room: int
) -> Iterator[Line]:
    """A value beside the way, or at its end: in one line where it is small, `room` levels deep otherwise."""
    if not isinstance(value, dict | list):
        yield Line(depth, _named(name, _plain(value)) + comma, mark, position=position)
        return
    if _is_small(value):
        text = msgspec.json.encode(value).decode()
        yield Line(depth, _named(name, text) + comma, mark, position=position)
        return
    opening, closing = ("{", "}") if isinstance(value, dict) else ("[", "]")
    if room == 0:
        yield Line(depth, _named(name, f"{opening} … {closing}") + comma, mark, len(value), position)
        return
    yield Line(depth, _named(name, opening), mark, position=position)
    children: list[tuple[str | int, Any]] = list(
        value.items() if isinstance(value, dict) else enumerate(value)
    )
    for number, (key, child) in enumerate(children[:_BESIDE_THE_WAY]):
        yield from _aside(
            child,
            depth=depth + 1,
            name=key if isinstance(key, str) else None,
            position=key if isinstance(key, int) else None,
            comma="," if number + 1 < len(children) else "",
            mark="",
            room=room - 1,
        )
    if len(children) > _BESIDE_THE_WAY:
        yield Line(depth + 1, "…", left_out=len(children) - _BESIDE_THE_WAY)
    yield Line(depth, closing + comma)


def _named(name: str | None, text: str) -> str:
    return text if name is None else f"{_plain(name)}: {text}"


def _plain(value: Any) -> str:
    if isinstance(value, str) and len(value) > _TEXT:
        return f'{msgspec.json.encode(value[:_TEXT]).decode()[:-1]}…" ({len(value)})'
    return msgspec.json.encode(value).decode()


def _is_small(value: Any) -> bool:
    """Whether it is short in JSON; looks at a few parts of it only."""
    room, rest = _INLINE, [value]
    while rest and room > 0:
        each = rest.pop()
        if isinstance(each, dict):
            room -= 2 + sum(len(name) + 4 for name in list(each)[:_INLINE])
            rest += list(each.values())[:_INLINE]
        elif isinstance(each, list):
            room -= 2 + len(each)
            rest += each[:_INLINE]
        else:
            room -= len(each) + 2 if isinstance(each, str) else 5
    return room > 0
