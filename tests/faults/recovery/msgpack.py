"""Decodes what Lua's cmsgpack packs of strings and numbers, so that records of Redis are read without the product."""

import struct
from collections.abc import Iterator

# The number that follows each of these bytes, for struct.unpack.
_NUMBERS = {
    0xCA: ">f",
    0xCB: ">d",
    0xCC: ">B",
    0xCD: ">H",
    0xCE: ">I",
    0xCF: ">Q",
    0xD0: ">b",
    0xD1: ">h",
    0xD2: ">i",
    0xD3: ">q",
}
_LENGTHS = {0xC4: ">B", 0xC5: ">H", 0xC6: ">I", 0xD9: ">B", 0xDA: ">H", 0xDB: ">I"}  # of the string that follows
_CONSTANTS = {0xC0: None, 0xC2: False, 0xC3: True}

Value = int | float | bytes | bool | None


def unpack(packed: bytes) -> list[Value]:
    """The values, one behind the other; ValueError for an array or a map."""
    return list(_values(packed))


def _values(packed: bytes) -> Iterator[Value]:
    at = 0
    while at < len(packed):
        kind, at = packed[at], at + 1
        if kind <= 0x7F or kind >= 0xE0:
            yield kind if kind <= 0x7F else kind - 0x100
        elif kind in _CONSTANTS:
            yield _CONSTANTS[kind]
        elif kind in _NUMBERS:
            size = struct.calcsize(_NUMBERS[kind])
            yield struct.unpack_from(_NUMBERS[kind], packed, at)[0]
            at += size
        else:
            length, at = _string_length(kind, packed, at)
            yield packed[at : at + length]
            at += length


def _string_length(kind: int, packed: bytes, at: int) -> tuple[int, int]:
    """The length of a string, and where its bytes begin."""
    if 0xA0 <= kind <= 0xBF:
        return kind - 0xA0, at
    if kind not in _LENGTHS:
        raise ValueError(f"byte {kind:#x} at {at - 1} begins no string or number")
    length: int = struct.unpack_from(_LENGTHS[kind], packed, at)[0]
    return length, at + struct.calcsize(_LENGTHS[kind])
