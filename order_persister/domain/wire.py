"""Writes protobuf's bytes field by field: in Python that takes a fraction of the time of filling in a message.

What many messages have in common is cached: sales, states, moments, lengths.
"""

from functools import lru_cache

VARINT, BYTES = 0, 2  # wire types
_UINT64 = 2**64 - 1

cached = lru_cache(maxsize=4096)


@cached
def varint(number: int) -> bytes:
    """A number of any integer field; one below zero takes ten bytes, as protobuf wants it."""
    number &= _UINT64
    written = bytearray()
    while number > 0x7F:
        written.append(number & 0x7F | 0x80)
        number >>= 7
    written.append(number)
    return bytes(written)


@cached
def head(field: int, length: int) -> bytes:
    """The tag and the length that stand before the bytes of a message or a text."""
    return varint(field << 3 | BYTES) + varint(length)


@cached
def number_field(field: int, number: int) -> bytes:
    """An integer or an enum; no bytes for zero, which is what readers take an absent one for."""
    return varint(field << 3 | VARINT) + varint(number) if number else b""


def message_field(field: int, value: bytes) -> bytes:
    """A message, also an empty one."""
    return head(field, len(value)) + value


def text_field(field: int, text: str) -> bytes:
    """A text; no bytes for an empty one."""
    return message_field(field, text.encode()) if text else b""


@cached
def time_field(field: int, time_ms: int) -> bytes:
    """A `google.protobuf.Timestamp`, from milliseconds since 1970."""
    seconds, milliseconds = divmod(time_ms, 1000)
    return message_field(field, number_field(1, seconds) + number_field(2, milliseconds * 1_000_000))
