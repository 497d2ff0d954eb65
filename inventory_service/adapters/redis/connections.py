"""Connections to one Redis: each knows the Redis process at its other end, and sends no command twice.

redis-py's client repeats a command that got no reply, up to ten times, and its pool reuses a connection even if the
reply to its last command is still to come. A script that changes stock must not run twice, so this package uses
redis-py's connections alone, and a connection is closed unless its last reply was read to the end.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import hiredis
from redis.asyncio.connection import AbstractConnection, Connection, SSLConnection, parse_url
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, BusyLoadingError, RedisError, ResponseError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from inventory_service.domain.shards import RedisUnavailable

CONNECT_S = 2.0
REPLY_TIMEOUT_S = 5.0  # a script call takes milliseconds: a Redis that needs longer is stuck, and the caller repeats

Argument = str | bytes | int


class OutcomeUnknown(RedisUnavailable):
    """The command was sent and no reply came: it may have been carried out."""


class RedisConnection:
    """One connection. `run_id` names the Redis process at its other end."""

    def __init__(self, connection: AbstractConnection, run_id: str) -> None:
        self._connection = connection
        self.run_id = run_id

    async def execute(self, *command: Argument, timeout_s: float = REPLY_TIMEOUT_S) -> object:
        """Send one command and return its reply; OutcomeUnknown if none came, ResponseError if it was an error."""
        try:
            async with asyncio.timeout(timeout_s):
                # redis-py's own packing takes a quarter of the time of a call with many requests.
                packed = hiredis.pack_command(command)  # type: ignore[arg-type]  # its stub allows one argument only
                await self._connection.send_packed_command([packed])
                return await self._connection.read_response()
        except (
            BusyLoadingError,
            AuthenticationError,
        ) as error:  # error replies, which redis-py raises as lost connections
            raise RedisUnavailable(f"{error.status_code}: {error}") from error
        except (RedisConnectionError, RedisTimeoutError, TimeoutError) as error:
            raise OutcomeUnknown(str(error) or "no reply in time") from error

    async def is_usable(self) -> bool:
        """Whether the connection is open and has nothing to read, as it must be between two calls."""
        try:
            return self._connection.is_connected and not await self._connection.can_read()
        except RedisError:
            return False

    async def close(self) -> None:
        """Close it, without waiting for Redis."""
        await self._connection.disconnect(nowait=True)


async def connect(url: str) -> RedisConnection:
    """Connect and ask for the `run_id`; RedisUnavailable if either fails."""
    connection = _unconnected(url)
    try:
        async with asyncio.timeout(CONNECT_S):
            await connection.connect()  # type: ignore[no-untyped-call]
            await connection.send_command("INFO", "server")
            info = await connection.read_response()
    except (RedisError, OSError, TimeoutError) as error:
        await connection.disconnect(nowait=True)
        raise RedisUnavailable(str(error) or "no connection in time") from error
    except BaseException:  # a cancellation too: nothing else refers to this socket
        await connection.disconnect(nowait=True)
        raise
    return RedisConnection(connection, _run_id_from(info))


def check_url(url: str) -> None:
    """ValueError, in one sentence without the password, if redis-py cannot parse the URL or ignores a part of it."""
    try:
        parts = urlsplit(url)
        if parts.port == 0:
            raise ValueError
    except ValueError:
        raise ValueError("must have a port from 1 to 65535, or none") from None
    if parts.scheme == "unix" and not parts.path:
        raise ValueError("must name the socket's path after unix://")
    if parts.scheme != "unix" and not re.fullmatch(r"/?\d*", parts.path):
        raise ValueError("must end in the number of a database, such as /0, or in nothing")
    try:
        connection = _unconnected(url)
        if isinstance(connection, SSLConnection):
            connection.ssl_context.get()
    except TypeError as error:  # an argument that redis-py's connection does not take, or that `_unconnected` sets
        raise ValueError(f"has an option that cannot be set here: {str(error).split(chr(39))[-2]}") from None
    except RedisError as error:
        raise ValueError(f"has an invalid option: {error}") from None
    except OSError as error:
        raise ValueError(f"names a certificate or key that cannot be used: {_why(error)}") from None


def _why(error: OSError) -> str:
    """What is wrong with a file; for one that is no PEM the only message is OpenSSL's."""
    return str(getattr(error, "reason", "") or error.strerror or error)


def _unconnected(url: str) -> AbstractConnection:
    options: dict[str, Any] = dict(parse_url(url))
    kind: Callable[..., AbstractConnection] = options.pop("connection_class", Connection)
    if kind is SSLConnection:  # without one OpenSSL prompts for the password of an encrypted key on the terminal
        options.setdefault("ssl_password", "")
    no_retry = Retry(NoBackoff(), 0)
    return kind(**options, protocol=2, driver_info=None, retry=no_retry, socket_timeout=None)


def _run_id_from(info: bytes) -> str:
    for line in info.decode().splitlines():
        name, _, value = line.partition(":")
        if name in ("run_id", "server_run_id"):
            return value
    raise RedisUnavailable("INFO names no run_id")


class RedisConnections:
    """A pool of at most `size` connections; callers that wait for one get it in the order in which they asked."""

    def __init__(self, url: str, size: int = 16) -> None:
        self._url = url
        self._free = asyncio.Semaphore(size)
        self._idle: list[RedisConnection] = []

    @asynccontextmanager
    async def acquire(self) -> AsyncIterator[RedisConnection]:
        """A connection for one block; it is reused only if the block ended well or with an error that Redis replied."""
        async with self._free:
            connection = await self._usable()
            try:
                yield connection
            except ResponseError:
                self._idle.append(connection)
                raise
            except (
                BaseException
            ):  # a cancellation too: its reply may still come, and would be read as that of the next command
                await connection.close()
                raise
            self._idle.append(connection)

    async def _usable(self) -> RedisConnection:
        while self._idle:
            connection = self._idle.pop()
            if await connection.is_usable():
                return connection
            await connection.close()
        return await connect(self._url)

    async def close(self) -> None:
        """Close the idle connections; the others end with the process."""
        while self._idle:
            await self._idle.pop().close()
