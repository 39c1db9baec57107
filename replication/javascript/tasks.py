"""What a child is asked and what it answers, as frames: four bytes of length, then MessagePack."""

import struct

import msgspec

SLICE_SECONDS = 0.25
"""A child answers with what it has after that long; the rest of the batch is asked anew."""
KILL_AFTER = 1.0
"""Seconds over the limit of one call until the process is killed; a slice must fit in."""
MOST_ANSWERED = 16 * 1024 * 1024
"""Bytes of an answer: more is garbage."""
LONGEST_REASON = 256 * 1024
"""Characters of what a function throws; the rest is cut off."""

PROCESS_ENDED = "process_ended"
"""`error` of a call whose process ended, or answered what no child answers."""
OUT_OF_MEMORY = "out_of_memory"
TIMEOUT = "timeout"
"""`error` of a call that was interrupted or killed."""

_LENGTH = struct.Struct(">I")
HEAD = _LENGTH.size


class Task(msgspec.Struct, array_like=True):
    """Call a function once for each of the items."""

    slot: int
    """Which of the child's interpreters."""
    design: bytes | None
    """The design document, when the slot has to be filled with it first."""
    call: str
    """Of the prelude: `passes`, `emits`, `validate`."""
    path: bytes
    """Where the function is in the design document, as JSON."""
    items: list[bytes]
    more: list[bytes]
    """Further arguments, the same for every item."""
    seconds: float
    """The limit of one call."""


class Answer(msgspec.Struct, array_like=True):
    """Values of the first items. With `error`, that is what became of the item after them."""

    values: list[bool]
    error: str | None = None
    reason: str = ""
    broken: bool = False
    """The interpreter is gone: its slot has to be filled again."""


READY = Answer([])
"""What a child says when it has started."""

encode_task = msgspec.msgpack.Encoder().encode
decode_task = msgspec.msgpack.Decoder(Task).decode
encode_answer = msgspec.msgpack.Encoder().encode
decode_answer = msgspec.msgpack.Decoder(Answer).decode


def framed(message: bytes) -> bytes:
    """The message with its length before it. Raises OverflowError for four gigabytes."""
    try:
        return _LENGTH.pack(len(message)) + message
    except struct.error as error:
        raise OverflowError("a frame has less than four gigabytes") from error


def length_of(head: bytes | bytearray) -> int:
    """How many bytes follow a frame's head."""
    (length,) = _LENGTH.unpack_from(head)
    return int(length)
