"""The persister's arrays are those that asyncpg itself would send, byte by byte as PostgreSQL has received them."""

import math
import re
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

import asyncpg
import pytest

from holdfast_runtime.postgres import Session
from holdfast_runtime.queries import load_queries
from order_persister.adapters.ledger import arrays
from order_persister.adapters.ledger.queries import Queries
from tests.servers import connected

MANY = 100_000
COLUMNS: dict[str, Sequence[Sequence[Any]]] = {
    "bigint": [[0, 1, -1, 2**63 - 1, -(2**63)], [-1, None, 2**63 - 1, None], range(-MANY, MANY)],
    "integer": [[0, 1, -1, 2**31 - 1, -(2**31)], [None, -7, None], range(-MANY, MANY)],
    "float8": [
        [0.0, -0.0, -0.5, 1e-300, math.inf, -math.inf, math.nan, 5],
        [datetime(year, 2, 28, 23, 59, 59, 999000, UTC).timestamp() * 1000 for year in (1970, 2026, 9999)],
        [1_700_000_000_123, None],
    ],
    "text": [
        ["lamp", "", "h\u00e4user \N{SNOWMAN} \U0001f9ca", None, "null", "lamp", '{"a",\\}'],
        list(map(str, range(MANY))),
    ],
    "bytea": [[b"", b"\0\xff", bytes(range(256)) * 1000], [b"lamp", None]],
    "boolean": [[True, False, None]],  # asyncpg encodes them
}
CASES = [(type, column) for type, columns in COLUMNS.items() for column in ([], [None], *columns)]


class Sessions(NamedTuple):
    """Of one database."""

    own: Session  # with the persister's encoders
    plain: Session


@pytest.fixture
async def sessions(postgres: str) -> AsyncIterator[Sessions]:
    """No table is touched."""
    async with connected(postgres) as own, connected(postgres) as plain:
        arrays.use_array_codecs(own)
        yield Sessions(own, plain)


@pytest.mark.parametrize(("type", "column"), CASES, ids=[f"{type} {len(column)}" for type, column in CASES])
async def test_an_array_arrives_as_asyncpg_would_send_it(sessions: Sessions, type: str, column: Sequence[Any]) -> None:
    """For tuples, which is what the persister sends; `array_send` tells the array without a codec of asyncpg."""
    sent = f"select array_send($1::{type}[])"

    own, plain = [await session.fetchval(sent, tuple(column)) for session in sessions]

    assert own == plain


def test_every_type_that_the_persister_sends_is_compared() -> None:
    """A statement with another one needs a case here."""
    queries = load_queries("order_persister", Queries)
    statements = " ".join(getattr(queries, name) for name in Queries.__slots__)

    assert set(re.findall(r"::(\w+)\[\]", statements)) == COLUMNS.keys()


async def test_texts_that_are_kept_no_longer_are_encoded_again(
    sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only so many are kept, whichever sales there are."""
    monkeypatch.setattr(arrays, "MAX_KEPT_TEXTS", 2)
    column = ["lamp", "sofa", "chair", None, "lamp", "sofa"]

    assert await sessions.own.fetchval("select to_json($1::text[])::text", column) == (
        '["lamp","sofa","chair",null,"lamp","sofa"]'
    )


@pytest.mark.parametrize(("type", "number"), [("bigint", 2**63), ("integer", -(2**31) - 1)])
async def test_a_number_that_the_column_cannot_hold_is_an_error(sessions: Sessions, type: str, number: int) -> None:
    """It must not be stored as another one, with and without a null beside it."""
    for column in ([number], [number, None]):
        for session in sessions:
            with pytest.raises(asyncpg.DataError):
                await session.fetchval(f"select $1::{type}[]", column)


async def test_the_session_uses_the_persisters_codecs(sessions: Sessions) -> None:
    """Else the tests above would compare asyncpg with itself: these codecs receive no array."""
    with pytest.raises(NotImplementedError, match="only sent"):
        await sessions.own.fetchval("select '{1}'::bigint[]")


def test_an_asyncpg_without_the_method_inside_it_is_told_by_name() -> None:
    """A persister whose asyncpg was upgraded ends at its first connection, and says what to install."""

    class Renamed:
        _protocol = None

    with pytest.raises(RuntimeError, match=rf"asyncpg {asyncpg.__version__} .*requirements.lock"):
        arrays.use_array_codecs(Renamed())  # type: ignore[arg-type]
