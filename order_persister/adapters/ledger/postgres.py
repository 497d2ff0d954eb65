"""Transactions on the ledger, and what an error of PostgreSQL means."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import asyncpg
import structlog

from holdfast_runtime.connection_errors import TransientError
from holdfast_runtime.postgres import Connection, LazyPool, Row
from order_persister.adapters.ledger.arrays import use_array_codecs
from order_persister.domain.refusals import ErrorKind, PermanentError, classify

POOL_SIZE = 8
STATEMENT_TIMEOUT_S = 60.0
APPLICATION_NAME = "holdfast-persister"  # in pg_stat_activity
# A persister that is halted within a transaction (its machine froze or lost its network) holds the lock of its shard's
# row. So a transaction waits no longer than this for a lock, and then has Postgres terminate the persisters' sessions
# that have been idle in a transaction for as long. Postgres' own `idle_in_transaction_session_timeout` does not end a
# session that is halted between the messages of one statement.
LOCK_S = 5.0
IDLE_IN_TRANSACTION_S = 5.0
# Until the transaction ends. The planner would choose sequential scans for tables that were not analysed yet.
SETTINGS = f"set local lock_timeout = {int(LOCK_S * 1000)}; set local enable_seqscan = off"
TERMINATE_IDLE_IN_TRANSACTION = """
select pid, pg_terminate_backend(pid) from pg_stat_activity
 where application_name = $1 and usename = current_user and datname = current_database() and xact_start is not null
   and wait_event = 'ClientRead' and state_change < now() - make_interval(secs => $2)"""

log = structlog.get_logger()


class LockTimeout(TransientError):
    """Another transaction has held the lock for too long."""


class Transaction:
    """An open transaction. Its methods raise `TransientError` or `PermanentError`."""

    def __init__(self, connection: Connection) -> None:
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
    """A pool that connects when it is first used, so that the persister may start while Postgres is unavailable."""

    def __init__(self, dsn: str) -> None:
        self._pool = LazyPool(dsn, POOL_SIZE, STATEMENT_TIMEOUT_S, APPLICATION_NAME, prepare=use_array_codecs)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Transaction]:
        """One transaction on a connection of its own.

        After `TransientError` or `PermanentError` the transaction counts as not done. A commit whose reply was lost may
        have happened: a repeat reads the watermark first.
        """
        try:
            with postgres_errors():
                async with self._pool.acquire() as connection, connection.transaction():
                    await connection.execute(SETTINGS)
                    yield Transaction(connection)
        except LockTimeout:
            await self._terminate_idle()
            raise

    async def _terminate_idle(self) -> None:
        """A terminated session gets a connection error, and its persister retries from the watermark."""
        with postgres_errors():
            pool = await self._pool.ready()
            ended = await pool.fetch(TERMINATE_IDLE_IN_TRANSACTION, APPLICATION_NAME, IDLE_IN_TRANSACTION_S)
        for row in ended:
            log.warning("idle_transaction_terminated", backend=row["pid"])

    async def close(self) -> None:
        """Close every connection at once: open transactions are rolled back, and the next persister repeats them."""
        self._pool.close()


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
