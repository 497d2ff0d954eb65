"""The one way into Postgres: a small pool of connections, and what its errors mean."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg

from holdfast_runtime.postgres import Connection, LazyPool
from inventory_service.domain.shards import LedgerUnavailable

ANSWER_S = 15.0
POOL_SIZE = 4
# Bad data and broken constraints: what we asked is wrong, and asking again mends nothing. All else is an outage.
PERMANENT_SQLSTATES = ("22", "23")
_NOT_MADE = ("3D000", "42P01", "42703")  # a ledger that lacks a database, a table or a column of ours
# InternalClientError: Postgres had said goodbye on a connection that lay idle, and asyncpg used it once more.
_ASYNCPG_ERRORS = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)


class LedgerPool:
    """A small pool of connections, made when first needed, so that a process may start while Postgres is away."""

    def __init__(self, dsn: str, pool_size: int = POOL_SIZE) -> None:
        self._pool = LazyPool(dsn, pool_size, ANSWER_S)

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """A connection for one question; every way of not getting an answer is `LedgerUnavailable`."""
        try:
            async with await self._pool.acquire() as db:
                yield db
        except (OSError, TimeoutError, *_ASYNCPG_ERRORS) as error:
            meaning = classify_error(error)
            if meaning is error:
                raise
            raise meaning from error

    async def close(self) -> None:
        self._pool.close()


def classify_error(error: Exception) -> Exception:
    """`LedgerUnavailable`, or the error itself where waiting mends nothing."""
    sqlstate = str(getattr(error, "sqlstate", None) or "")
    if sqlstate in _NOT_MADE:
        return LedgerUnavailable("the ledger's tables are missing, or older than this version: run `holdfast migrate`")
    if sqlstate.startswith(PERMANENT_SQLSTATES):
        return error
    return LedgerUnavailable(f"{type(error).__name__}: {error}")
