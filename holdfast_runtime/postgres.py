"""How PostgreSQL is reached: its address checked, a probe, and a pool that connects when first needed.

Nothing depends on a session (no prepared statement outlives its transaction), so PgBouncer in transaction mode may
stand in front.
"""

import asyncio
from contextlib import AbstractAsyncContextManager
from inspect import signature
from typing import TypeAlias

import asyncpg
from asyncpg import connect_utils

from holdfast_runtime.connection_errors import (
    PROBE_TIMEOUT_S,
    Cause,
    ConnectionRejected,
    TransientError,
    classify,
    describe,
)
from holdfast_runtime.settings import BadSettings, SharedSettings
from holdfast_runtime.start_check import Dependency, address_of

CONNECT_S = 5.0
CLOSE_S = 1.0
# User and password, a database that is not there, rights, and options that it does not know. All else is transient.
PERMANENT_SQLSTATES = ("28", "3D000", "22", "42")
_NO_TLS = "rejected SSL upgrade"  # asyncpg has no other word for a server without TLS where the DSN asks for it

Row: TypeAlias = asyncpg.Record
Connection: TypeAlias = "asyncpg.pool.PoolConnectionProxy[asyncpg.Record]"


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


def postgres_dependency(settings: SharedSettings) -> Dependency:
    """The ledger's server as the settings say; BadSettings if asyncpg cannot read its address."""
    dsn, setting = settings.postgres_dsn, "HOLDFAST_POSTGRES_DSN"
    try:
        check_dsn(dsn)
    except ValueError as error:
        raise BadSettings(f"{setting}: {error}") from None
    return Dependency("Postgres", f"PostgreSQL at {address_of(dsn)}", lambda: probe_postgres(dsn), setting, {})


async def probe_postgres(dsn: str) -> None:
    """Return if it answers, be it that it is still starting up; `ConnectionRejected` or `TransientError` if not."""
    try:
        connection = await asyncpg.connect(dsn, timeout=PROBE_TIMEOUT_S, statement_cache_size=0)
    except asyncpg.PostgresError as error:
        if (error.sqlstate or "").startswith(PERMANENT_SQLSTATES):
            raise ConnectionRejected(Cause.USER, str(error)) from error
        if isinstance(error, asyncpg.PostgresConnectionError):  # asyncpg's own word for a server that hangs up
            raise _classified(error) from error
        return  # whatever it says, it is there
    except (asyncpg.InterfaceError, asyncpg.InternalClientError, OSError, TimeoutError) as error:
        if _NO_TLS in str(error):
            raise ConnectionRejected(Cause.TRUST, "it speaks no TLS, which the DSN asks for") from error
        raise _classified(error) from error
    await connection.close(timeout=CLOSE_S)


class LazyPool:
    """A pool that connects when first needed, so that a process may start while PostgreSQL is away."""

    def __init__(self, dsn: str, size: int, answer_s: float, name: str = "") -> None:
        self._dsn = dsn
        self._size = size
        self._answer_s = answer_s
        self._server_settings = {"application_name": name} if name else None  # as pg_stat_activity shows it
        self._pool: asyncpg.Pool[asyncpg.Record] | None = None
        self._making = asyncio.Lock()

    async def acquire(self) -> AbstractAsyncContextManager[Connection]:
        """A connection for one block; it raises whatever asyncpg raises."""
        return (await self.ready()).acquire(timeout=CONNECT_S + 1)

    async def ready(self) -> "asyncpg.Pool[asyncpg.Record]":
        """The pool itself."""
        async with self._making:
            if self._pool is None:
                self._pool = await asyncpg.create_pool(
                    self._dsn,
                    min_size=0,
                    max_size=self._size,
                    timeout=CONNECT_S,
                    command_timeout=self._answer_s,
                    server_settings=self._server_settings,
                    statement_cache_size=0,  # a prepared statement would bind it to one session behind a PgBouncer
                )
            return self._pool

    def close(self) -> None:
        """Drop every connection at once: what they were doing is rolled back."""
        if self._pool is not None:
            self._pool.terminate()


def _classified(error: Exception) -> Exception:
    return classify(error) or TransientError(describe(error, "is it PostgreSQL?"))
