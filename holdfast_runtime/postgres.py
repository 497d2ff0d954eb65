"""Connects to PostgreSQL: a check of the DSN, a probe, and a pool that connects when first needed.

No state depends on a session (no prepared statement outlives its transaction), so PgBouncer works in transaction mode.
"""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from inspect import signature
from typing import Any, TypeAlias

import asyncpg
from asyncpg import connect_utils
from asyncpg.transaction import Transaction

from holdfast_runtime.connection_errors import (
    PROBE_TIMEOUT_S,
    Cause,
    ConnectionRejected,
    TransientError,
    causes,
    classify,
    describe,
)
from holdfast_runtime.settings import BadSettings, SharedSettings
from holdfast_runtime.start_check import Dependency, address_of

CONNECT_S = 5.0
CLOSE_S = 1.0
GIVE_UP_S = 0.1  # for ending what was given up, before the connection is closed: a silent server would not end it
PEER_TIMEOUT_S = 9
PEER_OPTIONS = {
    socket.TCP_KEEPIDLE: PEER_TIMEOUT_S // 3,
    socket.TCP_KEEPINTVL: PEER_TIMEOUT_S // 3,
    socket.TCP_KEEPCNT: 2,
    socket.TCP_USER_TIMEOUT: PEER_TIMEOUT_S * 1000,
}
# Wrong credentials, no such database, missing rights, unknown options. All others are transient.
PERMANENT_SQLSTATES = ("28", "3D000", "22", "42")
# The server takes no writes (25006: a transaction is read-only), or it is going down or still starting (57P0x).
FAILED_OVER_SQLSTATES = ("25006", "57P0")
_NO_TLS = "rejected SSL upgrade"  # asyncpg's only sign that a server has no TLS, which the DSN requires

# InternalClientError: asyncpg used an idle connection once more that Postgres had closed.
ASYNCPG_ERRORS = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)

Row: TypeAlias = asyncpg.Record
Session: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
Connection: TypeAlias = "asyncpg.pool.PoolConnectionProxy[asyncpg.Record]"


class ServerReadOnly(ConnectionError):
    """The server takes no writes: it is a standby, or was demoted. Another one, or this one later, may."""


def check_dsn(dsn: str) -> None:
    """ValueError, in one sentence without the password, if asyncpg cannot parse it, which it does only on connect."""
    try:
        addresses = _addresses(dsn)
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
    """The ledger's PostgreSQL as configured; `BadSettings` if asyncpg cannot parse the DSN."""
    dsn, setting = settings.postgres_dsn, "HOLDFAST_POSTGRES_DSN"
    try:
        check_dsn(dsn)
    except ValueError as error:
        raise BadSettings(f"{setting}: {error}") from None
    return Dependency("Postgres", f"PostgreSQL at {address_of(dsn)}", lambda: probe_postgres(dsn), setting, {})


async def connect(
    dsn: str,
    *,
    timeout: float,  # noqa: ASYNC109  # the name by which asyncpg's pool passes it
    writable: bool = True,
    prepare: Callable[[Session], None] | None = None,
    **options: Any,
) -> Session:
    """Connect to the first of the DSN's hosts that can be used; raises what the last one did.

    Each host has an equal share of `timeout`, in seconds. With `writable`, a server that takes no writes cannot be
    used: `ServerReadOnly`. `prepare` gets the session; `options` are asyncpg's.
    """
    hosts = _hosts(dsn)
    for host in hosts:
        try:
            async with asyncio.timeout(timeout / len(hosts)):
                session = await _connect_to(dsn, writable, **host, **options)
            if prepare is not None:
                prepare(session)
            return session
        except (OSError, TimeoutError, asyncpg.CannotConnectNowError, asyncpg.TargetServerAttributeNotMatched):
            if host is hosts[-1]:
                raise
    raise AssertionError("a DSN has a host")


async def probe_postgres(dsn: str) -> None:
    """Return if it answers, even that it is starting up; `ConnectionRejected` or `TransientError` if not."""
    try:
        connection = await connect(dsn, timeout=PROBE_TIMEOUT_S, writable=False, statement_cache_size=0)
    except asyncpg.PostgresError as error:
        if (error.sqlstate or "").startswith(PERMANENT_SQLSTATES):
            raise ConnectionRejected(Cause.USER, str(error)) from error
        if isinstance(error, asyncpg.PostgresConnectionError):  # the server closed the connection
            raise _classified(error) from error
        return  # any other error is an answer
    except (asyncpg.InterfaceError, asyncpg.InternalClientError, OSError, TimeoutError) as error:
        if _NO_TLS in str(error):
            raise ConnectionRejected(Cause.TRUST, "it does not support TLS, which the DSN requires") from error
        raise _classified(error) from error
    await connection.close(timeout=CLOSE_S)


class LazyPool:
    """A pool that connects when first needed, so that a process may start while PostgreSQL is unavailable.

    Its sessions are with a server that takes writes, unless `writable` is False. One that turns out not to, or that
    goes down, loses all of them: the next ones may find the server that took its place. `prepare` gets each session
    before its first use.
    """

    def __init__(
        self,
        dsn: str,
        size: int,
        query_timeout_s: float,
        name: str = "",
        *,
        writable: bool = True,
        prepare: Callable[[Session], None] | None = None,
    ) -> None:
        self._dsn = dsn
        self._size = size
        self._query_timeout_s = query_timeout_s
        self._server_settings = {"application_name": name} if name else None  # as pg_stat_activity shows it
        self._connect = partial(connect, writable=writable, prepare=prepare)
        self._pool: asyncpg.Pool[asyncpg.Record] | None = None
        self._connecting = asyncio.Lock()

    @asynccontextmanager
    async def acquire(self, wait_s: float = CONNECT_S + 1) -> AsyncIterator[Connection]:
        """A connection, within `wait_s`, for one block; raises asyncpg's errors.

        A block that is cancelled or times out ends within `GIVE_UP_S`, whether or not the server answers.
        """
        pool = await self.ready()
        connection = await pool.acquire(timeout=wait_s)
        try:
            yield connection
        except BaseException as error:  # a cancellation too, which must not become an error of the release
            await self._release_after(error, pool, connection)
            raise
        await pool.release(connection)

    async def _release_after(
        self, error: BaseException, pool: "asyncpg.Pool[asyncpg.Record]", connection: Connection
    ) -> None:
        """Release the connection of a block that failed; one that cannot be used again is closed. Raises no error."""
        if any(map(_has_failed_over, causes(error))):
            connection.terminate()
            await pool.expire_connections()  # which closes each when it is next asked for
        gave_up = isinstance(error, TimeoutError | asyncio.CancelledError)
        releasing = asyncio.ensure_future(pool.release(connection, timeout=GIVE_UP_S if gave_up else None))
        releasing.add_done_callback(_take_error)  # also where the block is cancelled once more meanwhile
        with suppress(TimeoutError, OSError, *ASYNCPG_ERRORS):
            await asyncio.shield(releasing)

    async def ready(self) -> "asyncpg.Pool[asyncpg.Record]":
        """The pool itself."""
        async with self._connecting:
            if self._pool is None:
                self._pool = await asyncpg.create_pool(
                    self._dsn,
                    connect=self._connect,
                    min_size=0,
                    max_size=self._size,
                    timeout=CONNECT_S,
                    command_timeout=self._query_timeout_s,
                    server_settings=self._server_settings,
                    reset=_keep,
                    statement_cache_size=0,  # prepared statements belong to one session, which PgBouncer changes
                )
            return self._pool

    def close(self) -> None:
        """Close every connection at once; open transactions are rolled back."""
        if self._pool is not None:
            self._pool.terminate()


@asynccontextmanager
async def transaction(connection: Connection, *, limit_s: float | None = None, **options: Any) -> AsyncIterator[None]:
    """A transaction for one block, with asyncpg's `options`; its begin and its commit take at most `limit_s`.

    A block that fails ends within `GIVE_UP_S`: a server that is silent would not answer to a rollback either.
    """
    begun = connection.transaction(**options)
    try:
        async with asyncio.timeout(limit_s):
            await begun.start()
        yield
        async with asyncio.timeout(limit_s):
            await begun.commit()
    except BaseException:  # a cancellation too: the connection goes back to the pool, and no transaction with it
        await _roll_back(connection, begun)
        raise


async def _keep(session: Session) -> None:
    """What asyncpg does when a session goes back to its pool, beside a rollback where one is due: there is no state."""


def _take_error(task: asyncio.Task[None]) -> None:
    """Else asyncio logs it."""
    if not task.cancelled():
        task.exception()


async def _roll_back(connection: Connection, begun: Transaction) -> None:
    try:
        async with asyncio.timeout(GIVE_UP_S):
            await begun.rollback()
    except (TimeoutError, OSError, *ASYNCPG_ERRORS):  # so the server rolls it back when the connection ends
        connection.terminate()
    except asyncio.CancelledError:  # a limit has cancelled the block, and now its caller leaves too
        connection.terminate()
        raise


async def _connect_to(dsn: str, writable: bool, **options: Any) -> Session:
    """Connect. The server itself is asked whether it takes writes: what PgBouncer says of it may be of another one."""
    session: Session = await asyncpg.connect(dsn, **options)
    _end_when_unconfirmed(session)
    try:
        if writable and await session.fetchval("show transaction_read_only") == "on":
            raise ServerReadOnly("the server takes no writes")
    except BaseException:  # a cancellation too: nothing else refers to this session
        session.terminate()
        raise
    return session


def _end_when_unconfirmed(session: Session) -> None:
    """Have the kernel end a connection whose other end is gone without a word, long before a statement's timeout.

    A server that is busy confirms what it is sent all the same.
    """
    connection = session._transport.get_extra_info("socket")  # type: ignore[attr-defined]  # there is no public way
    if connection.family == socket.AF_UNIX:
        return
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in PEER_OPTIONS.items():
        connection.setsockopt(socket.IPPROTO_TCP, option, value)


def _hosts(dsn: str) -> Sequence[dict[str, object]]:
    """asyncpg's options for each of several hosts; none for one host, or for a socket in the file system."""
    addresses = _addresses(dsn)
    hosts = [{"host": address[0], "port": address[1]} for address in addresses if isinstance(address, tuple)]
    return hosts if len(hosts) == len(addresses) > 1 else [{}]


def _addresses(dsn: str) -> "Sequence[tuple[str, int] | str]":
    """Each address as asyncpg parses it: host and port, or the path of a socket; raises what asyncpg does."""
    parse = connect_utils._parse_connect_dsn_and_args  # type: ignore[attr-defined]  # there is no public function
    addresses, _ = parse(**{**dict.fromkeys(signature(parse).parameters), "dsn": dsn})
    return list(addresses)


def _has_failed_over(error: BaseException) -> bool:
    return str(getattr(error, "sqlstate", None) or "").startswith(FAILED_OVER_SQLSTATES)


def _classified(error: Exception) -> Exception:
    return classify(error) or TransientError(describe(error, "is it PostgreSQL?"))
