"""The door to Postgres: a small pool, transactions, and what an error of theirs means."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from inspect import signature
from typing import TypeAlias

import asyncpg
import structlog
from asyncpg import connect_utils

from order_persister.domain.refusals import ErrorKind, PermanentError, classify
from order_persister.patience import TransientError

POOL_SIZE = 8
CONNECT_S = 5.0
ANSWER_S = 60.0
NAME = "holdfast-persister"  # in pg_stat_activity
# A persister halted in mid-transaction (its machine froze, or is gone without a word) would keep its shard's row from
# every other for as long. So nobody waits longer for a lock than this, and who has waited so long has Postgres end
# every persister's transaction that has been silent for so long. Postgres' own limits do not reach a session between
# the messages that make one statement.
LOCK_S = 5.0
IDLE_IN_TRANSACTION_S = 5.0
WAIT_FOR_LOCKS = "select set_config('lock_timeout', $1, true)"  # until the transaction ends
TERMINATE_IDLE_IN_TRANSACTION = """
select pid, pg_terminate_backend(pid) from pg_stat_activity
 where application_name = $1 and usename = current_user and datname = current_database() and xact_start is not null
   and wait_event = 'ClientRead' and state_change < now() - make_interval(secs => $2)"""

log = structlog.get_logger()


Row: TypeAlias = asyncpg.Record


def check_dsn(dsn: str) -> None:
    """ValueError, in one sentence that names no password, if asyncpg cannot read it; by itself it says so too late."""
    parse = connect_utils._parse_connect_dsn_and_args  # type: ignore[attr-defined]  # there is no public way to ask
    try:
        addresses, _ = parse(**{**dict.fromkeys(signature(parse).parameters), "dsn": dsn})
    except asyncpg.InterfaceError as error:
        raise ValueError(str(error).partition("\n")[0]) from None
    except OSError as error:
        problem = getattr(error, "reason", "") or error.strerror or error
        raise ValueError(f"names a certificate or key that cannot be used: {problem}") from None
    except ValueError:
        raise ValueError("must be postgresql://user:password@host:port/database, with a number for a port") from None
    if not all(1 <= address[1] <= 65535 for address in addresses if isinstance(address, tuple)):
        raise ValueError("must have a port from 1 to 65535")


class LockTimeout(TransientError):
    """Another transaction has held the lock for too long."""


class Transaction:
    """An open transaction. Its methods raise `TransientError` or `PermanentError`."""

    def __init__(self, connection: "asyncpg.pool.PoolConnectionProxy[asyncpg.Record]") -> None:
        self._connection = connection

    async def fetch(self, statement: str, *values: object) -> list[Row]:
        with postgres_errors():
            return await self._connection.fetch(statement, *values)

    async def fetch_one(self, statement: str, *values: object) -> Row | None:
        with postgres_errors():
            return await self._connection.fetchrow(statement, *values)

    async def execute(self, statement: str, *values: object) -> int:
        """How many rows the statement touched."""
        with postgres_errors():
            status = await self._connection.execute(statement, *values)
        return int(status.rpartition(" ")[2])

    @asynccontextmanager
    async def savepoint(self) -> AsyncIterator[None]:
        """Undo what fails inside; the transaction goes on."""
        with postgres_errors():
            async with self._connection.transaction():
                yield


class Database:
    """A pool that connects when first needed, so that the persister may start while Postgres is away."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._pool: asyncpg.Pool[asyncpg.Record] | None = None
        self._making = asyncio.Lock()

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Transaction]:
        """One transaction on its own connection. After `TransientError` it may or may not have committed.

        A commit whose answer was lost may have happened; whoever repeats it reads the watermark first.
        """
        try:
            with postgres_errors():
                pool = await self._ready_pool()
                async with pool.acquire(timeout=CONNECT_S + 1) as connection, connection.transaction():
                    await connection.execute(WAIT_FOR_LOCKS, str(int(LOCK_S * 1000)))
                    yield Transaction(connection)
        except LockTimeout:
            await self._terminate_idle_in_transaction()
            raise

    async def _terminate_idle_in_transaction(self) -> None:
        """Whoever is ended hears of a lost connection, and begins again at the watermark."""
        with postgres_errors():
            pool = await self._ready_pool()
            ended = await pool.fetch(TERMINATE_IDLE_IN_TRANSACTION, NAME, IDLE_IN_TRANSACTION_S)
        for row in ended:
            log.warning("idle_transaction_terminated", backend=row["pid"])

    async def close(self) -> None:
        """Drop every connection at once: what they were doing is rolled back, and done again by the next persister."""
        if self._pool is not None:
            self._pool.terminate()

    async def _ready_pool(self) -> "asyncpg.Pool[asyncpg.Record]":
        async with self._making:
            if self._pool is None:
                self._pool = await asyncpg.create_pool(
                    self._dsn,
                    min_size=0,
                    max_size=POOL_SIZE,
                    timeout=CONNECT_S,
                    command_timeout=ANSWER_S,
                    server_settings={"application_name": NAME},
                    statement_cache_size=0,  # a prepared statement would bind us to one session behind a PgBouncer
                )
            return self._pool


@contextmanager
def postgres_errors() -> Iterator[None]:
    """Turn the errors of asyncpg into `TransientError` or `PermanentError`."""
    try:
        yield
    except asyncpg.PostgresError as error:
        if classify(error.sqlstate) is ErrorKind.PERMANENT:
            raise PermanentError(_message_of(error)) from error
        kind = LockTimeout if isinstance(error, asyncpg.LockNotAvailableError) else TransientError
        raise kind(f"{type(error).__name__}: {error}") from error
    except (asyncpg.InterfaceError, asyncpg.InternalClientError, OSError, TimeoutError) as error:
        # InternalClientError: Postgres had closed an idle connection, and asyncpg used it once more.
        raise TransientError(f"{type(error).__name__}: {error}") from error


def _message_of(error: asyncpg.PostgresError) -> str:
    """The error's message without its DETAIL, which has values and stays in the log."""
    return str(error.args[0]) if error.args else type(error).__name__
