"""Columns as PostgreSQL's binary arrays."""

import struct
from collections.abc import Sequence
from typing import Any

import pytest

from order_persister.adapters.ledger import arrays

INT8, INT4, TEXT, FLOAT8, BYTEA = 1016, 1007, 1009, 1022, 1001


class Settings:
    """The part of asyncpg's settings of a session that has its codecs."""

    def __init__(self) -> None:
        self.encoders: dict[int, Any] = {}

    def add_python_codec(self, number: int, *rest: Any) -> None:
        self.encoders[number] = rest[4]


class Session:
    """An asyncpg session, as far as it is used."""

    def __init__(self) -> None:
        self.settings = Settings()
        self._protocol = self

    def get_settings(self) -> Settings:
        return self.settings


def encoded(number: int, column: Sequence[Any]) -> bytes:
    session = Session()
    arrays.use_array_codecs(session)  # type: ignore[arg-type]
    return session.settings.encoders[number](column)  # type: ignore[no-any-return]


def elements(binary: bytes) -> list[bytes | None]:
    """The elements as PostgreSQL reads them, one after the other."""
    dimensions, _flags, _type, count, first = struct.unpack_from(">iiIii", binary)
    assert (dimensions, first) == (1, 1)
    found: list[bytes | None] = []
    at = 20
    for _ in range(count):
        (length,) = struct.unpack_from(">i", binary, at)
        found.append(None if length < 0 else binary[at + 4 : at + 4 + length])
        at += 4 + max(length, 0)
    assert at == len(binary)
    return found


@pytest.mark.parametrize(
    ("number", "format", "column"),
    [
        (INT8, ">q", [0, 1, -1, 2**63 - 1, -(2**63)]),
        (INT4, ">i", [0, 1, -1, 2**31 - 1, -(2**31)]),
        (FLOAT8, ">d", [0.0, 1_700_000_000_123, -0.5]),
    ],
)
@pytest.mark.parametrize("nulls", [0, 1])
def test_numbers_are_in_their_order_with_their_length(number: int, format: str, column: list[Any], nulls: int) -> None:
    """With and without a null among them, which take different ways."""
    expected = [struct.pack(format, value) for value in column]

    assert elements(encoded(number, column + [None] * nulls)) == [*expected, *[None] * nulls]


def test_texts_and_bytes_have_their_own_length(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also those that come once more, after the kept ones were dropped."""
    monkeypatch.setattr(arrays, "MAX_KEPT_TEXTS", 2)
    column = ["lamp", "", "häuser", None, "lamp", "\N{SNOWMAN}"]

    assert elements(encoded(TEXT, column)) == [None if text is None else text.encode() for text in column]
    assert elements(encoded(BYTEA, (b"", b"\0\xff"))) == [b"", b"\0\xff"]


def test_a_number_that_the_column_cannot_hold_is_an_error() -> None:
    """It must not be stored as another one."""
    with pytest.raises(OverflowError):
        encoded(INT8, [2**63])


def test_an_empty_column_has_no_elements() -> None:
    """Statements get none, but asyncpg would encode it."""
    assert elements(encoded(INT8, ())) == []
