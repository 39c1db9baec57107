"""Strings as byte keys that compare as CouchDB sorts text: the root order of the Unicode collation algorithm.

    "a" < "A" < "á" < "aa" < "b"      letters first, then accents, then case; punctuation < digits < letters

CouchDB asks ICU. No maintained wheel offers ICU's collator, and the order of an index must not depend on what
happens to be installed, so the order is spelled here: exact for ASCII and for Latin letters with accents;
other scripts and rarer symbols follow by code point within their class (symbols < digits < letters), which
is ICU's order of scripts for the most part and never its finer tailoring.

The key has four levels, each compared only when those before are equal:

    primary      one weight a base character, without case and accents
    accents      the combining marks; a mark further left weighs more
    case         lower before upper
    identity     the canonically decomposed text: only canonically equal strings have equal keys
"""

import unicodedata

VERSION = 1
"""Of the order: an index that was built by another one has to be built again."""

_ASCII_ORDER = "_-,;:!?.'\"()[]{}@*/\\&#%`^+<=>|~$0123456789abcdefghijklmnopqrstuvwxyz"
_LOWEST = 0x03
_SPACES = "\t\n\x0b\x0c\r "
_IGNORED = "".join(
    chr(code) for code in range(0x80) if chr(code) not in _SPACES and not chr(code).isprintable()
)
_WEIGHTS = {char: _LOWEST + rank for rank, char in enumerate(_IGNORED + _SPACES + _ASCII_ORDER)}
_PRIMARY = bytes(_WEIGHTS.get(chr(code).lower(), 0) for code in range(0x80)) + bytes(0x80)
_LOWER, _UPPER = b"\x02", b"\x03"
_CASE = bytes(3 if 0x41 <= code <= 0x5A else 2 for code in range(0x100))

_BEYOND_ASCII_SYMBOLS = bytes([_WEIGHTS["%"], 0xFF])
_BEYOND_ASCII_DIGITS = bytes([_WEIGHTS["9"], 0xFF])
_LETTERS = b"\xf0"
_HIGHEST = b"\xfe"
"""U+FFFF, by which clients say `and everything that begins so`."""

_END = b"\x01"


def text_key(text: str) -> bytes:
    """The key of a string. It ends in a way that whatever follows it cannot change its order."""
    decomposed = text if text.isascii() else unicodedata.normalize("NFD", text)
    if decomposed.isascii():
        raw = decomposed.encode()
        case = raw.translate(_CASE).rstrip(_LOWER)
        return b"%b\x01\x01%b\x01\x01" % (raw.translate(_PRIMARY), case)
    primary, accents, case_level = bytearray(), bytearray(), bytearray()
    for char in decomposed:
        if unicodedata.combining(char):
            accents += b"\x03" + ord(char).to_bytes(3, "big")
            continue
        lower = _lower(char)
        primary += _primary(lower)
        accents += b"\x02"
        case_level += _LOWER if lower == char else _UPPER
    levels = (bytes(primary), _trimmed(accents), _trimmed(case_level), decomposed.encode())
    return _END.join(levels) + _END


def prefix_key(prefix: str) -> bytes:
    """What the keys of all strings that begin with `prefix` begin with."""
    # Marks are left out: one that follows may be sorted before those of the prefix.
    return b"".join(
        _primary(_lower(char))
        for char in unicodedata.normalize("NFD", prefix)
        if not unicodedata.combining(char)
    )


def _trimmed(level: bytearray) -> bytes:
    return bytes(level).rstrip(b"\x02")


def _lower(char: str) -> str:
    lower = char.lower()
    return lower if len(lower) == 1 else char


def _primary(lower: str) -> bytes:
    weight = _WEIGHTS.get(lower)
    if weight is not None:
        return bytes([weight])
    code = ord(lower)
    if code == 0xFFFF:
        return _HIGHEST
    category = unicodedata.category(lower)[0]
    if category in "ZPSC":
        return _BEYOND_ASCII_SYMBOLS + code.to_bytes(3, "big")
    if category == "N":
        return _BEYOND_ASCII_DIGITS + code.to_bytes(3, "big")
    return _LETTERS + code.to_bytes(3, "big")
