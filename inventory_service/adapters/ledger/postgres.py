"""The one way into Postgres: a small pool of connections, and what its errors mean.

Nothing depends on a session (no prepared statement outlives its transaction), so PgBouncer in transaction mode may
stand in front. Who asks what, and the few things that are written here, have files of their own.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg

from inventory_service.domain.shards import LedgerUnavailable

CONNECT_S = 5.0
ANSWER_S = 15.0
POOL_SIZE = 4
# Bad data and broken constraints: what we asked is wrong, and asking again mends nothing. All else is an outage.
_FOR_GOOD = ("22", "23")
_NOT_MADE = ("3D000", "42P01", "42703")  # a ledger that lacks a database, a table or a column of ours
# InternalClientError: Postgres had said goodbye on a connection that lay idle, and asyncpg used it once more.
_ASYNCPG_ERRORS = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)


class LedgerPool:
    """A small pool of connections, made when first needed, so that a process may start while Postgres is away."""

    def __init__(self, dsn: str, pool_size: int = POOL_SIZE) -> None:
        self._dsn = dsn
        self._pool_size = pool_size
        self._pool: asyncpg.Pool[asyncpg.Record] | None = None
        self._making = asyncio.Lock()

    @asynccontextmanager
    async def connection(self) -> "AsyncIterator[asyncpg.pool.PoolConnectionProxy[asyncpg.Record]]":
        """A connection for one question; every way of not getting an answer is `LedgerUnavailable`."""
        try:
            pool = await self._ready_pool()
            async with pool.acquire(timeout=CONNECT_S + 1) as db:
                yield db
        except (OSError, TimeoutError, *_ASYNCPG_ERRORS) as error:
            meaning = classify_error(error)
            if meaning is error:
                raise
            raise meaning from error

    async def close(self) -> None:
        if self._pool is not None:
            self._pool.terminate()

    async def _ready_pool(self) -> "asyncpg.Pool[asyncpg.Record]":
        async with self._making:
            if self._pool is None:
                self._pool = await asyncpg.create_pool(
                    self._dsn,
                    min_size=0,
                    max_size=self._pool_size,
                    timeout=CONNECT_S,
                    command_timeout=ANSWER_S,
                    statement_cache_size=0,
                )
            return self._pool


def classify_error(error: Exception) -> Exception:
    """`LedgerUnavailable`, or the error itself where waiting mends nothing."""
    sqlstate = str(getattr(error, "sqlstate", None) or "")
    if sqlstate in _NOT_MADE:
        return LedgerUnavailable("the ledger's tables are missing, or older than this version: run `holdfast migrate`")
    if sqlstate.startswith(_FOR_GOOD):
        return error
    return LedgerUnavailable(f"{type(error).__name__}: {error}")
