"""A pool of connections to the ledger, and which of its errors are outages."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from copy import copy
from math import inf
from time import perf_counter

from holdfast_runtime.postgres import ASYNCPG_ERRORS, CONNECT_S, Connection, LazyPool
from inventory_service.domain.shards import LedgerUnavailable
from inventory_service.domain.time_left import question_ends

QUERY_TIMEOUT_S = 15.0
POOL_SIZE = 4
PERMANENT_SQLSTATES = ("22", "23")  # bad data and violated constraints, which a retry meets again
_MISSING_SCHEMA = ("3D000", "42P01", "42703")  # the database, a table or a column does not exist


class LedgerPool:
    """A small pool that connects when first needed, so that a process may start while Postgres is unavailable."""

    def __init__(self, dsn: str, pool_size: int = POOL_SIZE, *, writable: bool = True) -> None:
        self._pool = LazyPool(dsn, pool_size, QUERY_TIMEOUT_S, writable=writable)
        self._limit_s = inf

    def within(self, seconds: float) -> "LedgerPool":
        """The same pool; a block that takes longer fails as an outage does, and what it had sent may have been done."""
        limited = copy(self)
        limited._limit_s = seconds
        return limited

    @asynccontextmanager
    async def connection(self, wait_s: float = CONNECT_S + 1) -> AsyncIterator[Connection]:
        """A connection, within `wait_s`, for one block, no longer than the call may ask.

        `LedgerUnavailable` for every outage.
        """
        limit_s = min(self._limit_s, question_ends.get() - perf_counter())
        try:
            async with asyncio.timeout(limit_s if limit_s < inf else None), self._pool.acquire(wait_s) as db:
                yield db
        except (OSError, TimeoutError, *ASYNCPG_ERRORS) as error:
            classified = classify_error(error)
            if classified is error:
                raise
            raise classified from error

    async def close(self) -> None:
        self._pool.close()


def classify_error(error: Exception) -> Exception:
    """`LedgerUnavailable`, or the error itself if it is permanent."""
    sqlstate = str(getattr(error, "sqlstate", None) or "")
    if sqlstate in _MISSING_SCHEMA:
        return LedgerUnavailable("the ledger's tables are missing, or older than this version: run `holdfast migrate`")
    if sqlstate.startswith(PERMANENT_SQLSTATES):
        return error
    return LedgerUnavailable(f"{type(error).__name__}: {error}")
