"""Transactions on the ledger, and what an error of PostgreSQL means."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import asyncpg
import structlog

from holdfast_runtime.connection_errors import TransientError
from holdfast_runtime.postgres import Connection, LazyPool, Row
from order_persister.domain.refusals import ErrorKind, PermanentError, classify

POOL_SIZE = 8
ANSWER_S = 60.0
NAME = "holdfast-persister"  # in pg_stat_activity
# A persister halted in mid-transaction (its machine froze, or is gone without a word) would keep its shard's row from
# every other for as long. So no transaction waits longer for a lock than this, and one that has waited so long has
# Postgres end every persister's transaction that has been idle for so long. Postgres' own limits do not reach a session
# between the messages that make one statement.
LOCK_S = 5.0
IDLE_IN_TRANSACTION_S = 5.0
WAIT_FOR_LOCKS = "select set_config('lock_timeout', $1, true)"  # until the transaction ends
TERMINATE_IDLE_IN_TRANSACTION = """
select pid, pg_terminate_backend(pid) from pg_stat_activity
 where application_name = $1 and usename = current_user and datname = current_database() and xact_start is not null
   and wait_event = 'ClientRead' and state_change < now() - make_interval(secs => $2)"""

log = structlog.get_logger()


class LockTimeout(TransientError):
    """Another transaction has had what is wanted locked for `LOCK_S`."""


class Transaction:
    """An open transaction. Its methods raise `TransientError` or `PermanentError`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def fetch(self, statement: str, *values: object) -> list[Row]:
        with judged():
            return await self._connection.fetch(statement, *values)

    async def fetch_one(self, statement: str, *values: object) -> Row | None:
        with judged():
            return await self._connection.fetchrow(statement, *values)

    async def execute(self, statement: str, *values: object) -> int:
        """Answer how many rows were touched."""
        with judged():
            status = await self._connection.execute(statement, *values)
        return int(status.rpartition(" ")[2])

    @asynccontextmanager
    async def savepoint(self) -> AsyncIterator[None]:
        """What breaks inside is undone, and the transaction goes on."""
        with judged():
            async with self._connection.transaction():
                yield


class Database:
    """A pool that connects when first needed, so that the persister may start while Postgres is away."""

    def __init__(self, dsn: str) -> None:
        self._pool = LazyPool(dsn, POOL_SIZE, ANSWER_S, NAME)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Transaction]:
        """One transaction on a connection of its own.

        After `TransientError` or `PermanentError` the transaction counts as not done. A commit whose reply was lost may
        have happened: a repeat reads the watermark first.
        """
        try:
            with judged():
                async with await self._pool.acquire() as connection, connection.transaction():
                    await connection.execute(WAIT_FOR_LOCKS, str(int(LOCK_S * 1000)))
                    yield Transaction(connection)
        except LockTimeout:
            await self._terminate_idle()
            raise

    async def _terminate_idle(self) -> None:
        """A persister whose transaction is ended gets a connection error, and begins again at the watermark."""
        with judged():
            pool = await self._pool.ready()
            ended = await pool.fetch(TERMINATE_IDLE_IN_TRANSACTION, NAME, IDLE_IN_TRANSACTION_S)
        for row in ended:
            log.warning("idle_transaction_terminated", backend=row["pid"])

    async def close(self) -> None:
        """Drop every connection at once: what they were doing is rolled back, and done again by the next persister."""
        self._pool.close()


@contextmanager
def judged() -> Iterator[None]:
    """Turn what asyncpg raises into `TransientError` or `PermanentError`."""
    try:
        yield
    except asyncpg.PostgresError as error:
        if classify(error.sqlstate) is ErrorKind.PERMANENT:
            raise PermanentError(_told(error)) from error
        kind = LockTimeout if isinstance(error, asyncpg.LockNotAvailableError) else TransientError
        raise kind(f"{type(error).__name__}: {error}") from error
    except (asyncpg.InterfaceError, asyncpg.InternalClientError, OSError, TimeoutError) as error:
        # InternalClientError: Postgres had said goodbye on a connection that lay idle, and asyncpg used it once more.
        raise TransientError(f"{type(error).__name__}: {error}") from error


def _told(error: asyncpg.PostgresError) -> str:
    """What Postgres said, without the values: those are in its DETAIL, which stays in our log."""
    return str(error.args[0]) if error.args else type(error).__name__
