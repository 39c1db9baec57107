"""JSON as people read it. Pure."""

import msgspec


def pretty(value: object) -> str:
    """A value, or JSON itself (`msgspec.Raw`), over lines."""
    return msgspec.json.format(msgspec.json.encode(value), indent=2).decode()


def text_of(value: bytes) -> str:
    """JSON over lines; nothing of null."""
    return "" if bytes(value) == b"null" else pretty(msgspec.Raw(bytes(value)))
