"""Encodes columns of values as PostgreSQL's binary arrays, for asyncpg, whose own way takes several times as long.

asyncpg asks each element whether it is a list again, and encodes one after the other; a column of the ledger is flat.
Lengths and numbers are interleaved as arrays of machine words, and a text is encoded once for all the columns and
statements that have it. A column comes as a sequence; None in it is null.
"""

import sys
from array import array
from collections.abc import Callable, Sequence
from struct import Struct
from typing import Any

import asyncpg

from holdfast_runtime.postgres import Session

_HEAD = Struct(">iiIii")  # dimensions, flags, type of the elements, elements, index of the first
_LENGTH = Struct(">i")
_NULL = _LENGTH.pack(-1)
_WORD = "I"  # of 4 bytes
MAX_KEPT_TEXTS = 10_000
_ELSE = "install the version in requirements.lock, and report this"

Column = Sequence[Any]


class _EncodedTexts(dict[str | None, bytes]):
    """Texts as they are in an array; only so many are kept."""

    def __missing__(self, text: str | None) -> bytes:
        if len(self) >= MAX_KEPT_TEXTS:
            self.clear()
        encoded = self[text] = _NULL if text is None else _with_length(text.encode())
        return encoded


def _texts() -> Callable[[Column], bytes]:
    encode = _EncodedTexts().__getitem__
    return lambda values: b"".join(map(encode, values))


def _bytes(values: Column) -> bytes:
    return b"".join([_NULL if value is None else _with_length(value) for value in values])


def _with_length(value: bytes) -> bytes:
    return _LENGTH.pack(len(value)) + value


def _numbers(letter: str) -> Callable[[Column], bytes]:
    """An encoder of numbers of the type that `array` and `struct` know by this letter."""
    one = Struct(f">i{letter}")
    words, size = one.size // 4, one.size - 4
    length = array(_WORD, _LENGTH.pack(size))

    def encode(values: Column) -> bytes:
        if None in values:
            return b"".join([_NULL if value is None else one.pack(size, value) for value in values])
        column = array(letter, values)
        if sys.byteorder == "little":
            column.byteswap()
        source, encoded = array(_WORD, column.tobytes()), array(_WORD, bytes(one.size * len(values)))
        encoded[::words] = length * len(values)
        for word in range(1, words):
            encoded[word::words] = source[word - 1 :: words - 1]
        return encoded.tobytes()

    return encode


# By the number that the type of an array has in every PostgreSQL: its name, its elements' type, and their encoder.
_ENCODERS = {
    1001: ("_bytea", 17, _bytes),
    1016: ("_int8", 20, _numbers("q")),
    1007: ("_int4", 23, _numbers("i")),
    1009: ("_text", 25, _texts()),
    1022: ("_float8", 701, _numbers("d")),
}


def use_array_codecs(session: Session) -> None:
    """Have a session encode its arrays so; it can then receive none, and no statement of the persister returns one.

    `set_type_codec` refuses arrays. RuntimeError if asyncpg has not the method that registers codecs inside it.
    """
    try:
        add_codec = session._protocol.get_settings().add_python_codec  # type: ignore[attr-defined]
        for number, (name, element, encode) in _ENCODERS.items():
            add_codec(number, name, "pg_catalog", [], "scalar", _array_encoder(element, encode), _no_decoder, "binary")
    except (AttributeError, TypeError) as error:
        raise RuntimeError(f"asyncpg {asyncpg.__version__} registers no array codecs: {error}; {_ELSE}") from error


def _array_encoder(element: int, encode: Callable[[Column], bytes]) -> Callable[[Column], bytes]:
    return lambda values: _HEAD.pack(1, 0, element, len(values), 1) + encode(values)


def _no_decoder(value: bytes) -> object:
    raise NotImplementedError("arrays are only sent")
