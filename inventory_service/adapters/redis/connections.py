"""Connections to one Redis, which send no command twice.

redis-py's client repeats a command that got no reply, up to ten times, and its pool reuses a connection even if the
reply to its last command is still to come. A script that changes stock must not run twice, so this package uses
redis-py's connections alone, and a connection is used again only once its last reply was read to the end. A reply by
which the Redis at the other end is not the one that a shard was opened for closes it: another one may have the address.
"""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any
from urllib.parse import urlsplit

import hiredis
from redis.asyncio.connection import AbstractConnection, Connection, SSLConnection, parse_url
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, BusyLoadingError, RedisError, ResponseError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from inventory_service.adapters.redis.breaker import BreakerOpen, NoBreaker
from inventory_service.domain.shards import RedisUnavailable

CONNECT_S = 2.0
RENEWAL_INTERVAL_S = 0.5  # so that not each call of a shard that does not serve connects anew
SLOW_RENEWAL_INTERVAL_S = 10.0  # where the shard was opened for this very Redis, or that is not known
# First words of error replies by which Redis serves nothing at the moment, a probe neither.
NOT_NOW = frozenset({"BUSY", "LOADING", "MASTERDOWN", "CLUSTERDOWN", "MISCONF"})
REPLY_TIMEOUT_S = 5.0  # a script call takes milliseconds: a Redis that needs longer is stuck, and the caller repeats

NO_BREAKER = NoBreaker()

Argument = str | bytes | int


class OutcomeUnknown(RedisUnavailable):
    """The command was sent and no reply came: it may have been carried out."""


class RedisIsReplica(RedisUnavailable):
    """It takes no writes and its data may be old. It may be promoted, or the address may lead to its primary later."""


class RedisConnection:
    """One connection. `begun` is the moment, by the monotonic clock, at which connecting began."""

    def __init__(self, connection: AbstractConnection, begun: float, breaker: NoBreaker) -> None:
        self._connection = connection
        self.begun = begun
        self._breaker = breaker
        self._late_until: float | None = None  # until then the reply to a command that was given up may come; monotonic

    async def execute(self, *command: Argument, timeout_s: float = REPLY_TIMEOUT_S) -> object:
        """Send one command and return its reply; OutcomeUnknown if none came, ResponseError if it was an error."""
        if not self._connection.is_connected:  # redis-py would connect anew, to whichever Redis has the address now
            raise RedisUnavailable("the connection is closed")
        sent = self._breaker.sent()
        try:
            async with asyncio.timeout(timeout_s):
                # redis-py's own packing takes a quarter of the time of a call with many requests.
                packed = hiredis.pack_command(command)  # type: ignore[arg-type]  # its stub allows one argument only
                await self._connection.send_packed_command([packed])
                reply = await self._connection.read_response(disconnect_on_error=False)
            self._breaker.answered(sent)
            return reply
        # These two are error replies, which redis-py raises as lost connections.
        except (BusyLoadingError, AuthenticationError) as error:
            self._breaker.failed(sent, str(error))
            raise RedisUnavailable(f"{error.status_code}: {error}") from error
        except ResponseError as error:
            if code_of(error) in NOT_NOW:
                self._breaker.failed(sent, str(error))
            else:
                self._breaker.answered(sent)
            raise
        except (RedisConnectionError, RedisTimeoutError, TimeoutError) as error:
            self._breaker.failed(sent, str(error) or "no reply in time")
            await self.close()
            raise OutcomeUnknown(str(error) or "no reply in time") from error
        except asyncio.CancelledError:
            self._late_until = time.monotonic() + REPLY_TIMEOUT_S
            raise
        finally:
            self._breaker.left(sent)

    @property
    def is_late(self) -> bool:
        """Whether the caller of its last command left before the reply was read."""
        return self._late_until is not None

    async def is_usable(self) -> bool:
        """Whether the connection is open and has nothing to read, as it must be between two calls.

        A late reply is waited for and dropped.
        """
        try:
            if self._late_until is not None:
                await self._drop_reply(self._late_until - time.monotonic())
                self._late_until = None
            return self._connection.is_connected and not await self._connection.can_read()
        except (RedisError, TimeoutError):
            return False

    async def _drop_reply(self, timeout_s: float) -> None:
        with suppress(ResponseError):
            async with asyncio.timeout(timeout_s):
                await self._connection.read_response(disconnect_on_error=False)

    async def close(self) -> None:
        """Close it, without waiting for Redis."""
        await self._connection.disconnect(nowait=True)


def code_of(error: ResponseError) -> str:
    """The first word of an error reply."""
    return str(error.status_code or str(error).partition(" ")[0])


async def connect(url: str, *, may_be_replica: bool = False, breaker: NoBreaker = NO_BREAKER) -> RedisConnection:
    """Connect and wait for a first reply; RedisUnavailable if either fails. So no call is sent to a stuck Redis.

    RedisIsReplica unless it may be one.
    """
    connection, begun = _unconnected(url), time.monotonic()
    sent = breaker.sent()
    try:
        return RedisConnection(await _greeted(connection, may_be_replica), begun, breaker)
    except (RedisError, OSError, TimeoutError, RedisIsReplica) as error:
        why = str(error) or "no connection in time"
        breaker.failed(sent, why)
        await connection.disconnect(nowait=True)
        raise error if isinstance(error, RedisIsReplica) else RedisUnavailable(why) from error
    except BaseException:  # a cancellation too: nothing else refers to this socket
        await connection.disconnect(nowait=True)
        raise
    finally:
        breaker.left(sent)  # a greeting says little: one that still loads its data greets too


async def _greeted(connection: AbstractConnection, may_be_replica: bool) -> AbstractConnection:
    async with asyncio.timeout(CONNECT_S):
        await connection.connect()  # type: ignore[no-untyped-call]
        await connection.send_command("INFO", "replication")  # the scripts need the right to run it, too
        primary = _primary_in(await connection.read_response())
    if primary and not may_be_replica:
        raise RedisIsReplica(f"it is a replica of {primary} and takes no writes")
    return connection


def _primary_in(info: bytes) -> str:
    """The address of its primary in a replica's INFO; '' of a primary."""
    fields = dict(line.split(":", 1) for line in info.decode().splitlines() if ":" in line)
    return "" if fields.get("role") == "master" else f"{fields.get('master_host')}:{fields.get('master_port')}"


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


class Renewal:
    """From when on connections are used. Pools of one process that lead to the same Redis share one."""

    def __init__(self) -> None:
        self._since = 0.0

    def demand(self, interval_s: float = RENEWAL_INTERVAL_S) -> None:
        """Have every connection that exists closed instead of used again, unless that was done in the last interval."""
        now = time.monotonic()
        if now - self._since >= interval_s:
            self._since = now

    def covers(self, connection: RedisConnection) -> bool:
        """Whether a connection may be used again."""
        return connection.begun > self._since


class RedisConnections:
    """A pool of at most `size` connections; callers that wait for one get it in the order in which they asked.

    A caller may be cancelled at any moment: a command that was not sent by then is not sent. The reply to one that was
    sent is dropped by the next caller, who also goes on to wait for a connection that was being made: a slow Redis must
    not be connected to anew for each caller that leaves.
    """

    def __init__(
        self,
        url: str,
        size: int = 16,
        renewal: Renewal | None = None,
        *,
        may_be_replica: bool = False,
        breaker: NoBreaker = NO_BREAKER,
    ) -> None:
        self._url = url
        self._may_be_replica = may_be_replica
        self._breaker = breaker
        self.renewal = renewal or Renewal()
        self._free = asyncio.Semaphore(size)
        self._idle: list[RedisConnection] = []
        self._left: list[asyncio.Task[RedisConnection]] = []  # which connect, and whose callers left

    @asynccontextmanager
    async def acquire(self) -> AsyncIterator[RedisConnection]:
        """A connection for one block; it is reused if the block ended well, with an error reply, or by cancellation."""
        connection = await self._take()
        try:
            yield connection
        except (ResponseError, asyncio.CancelledError):
            await self._put_back(connection)
            raise
        except BaseException:  # whatever it is, a reply may be due that the next command would get
            await connection.close()
            raise
        else:
            await self._put_back(connection)
        finally:
            self._free.release()

    async def _take(self) -> RedisConnection:
        self._breaker.check()
        if not self._free.locked():
            await self._free.acquire()
        else:
            async with self._breaker.while_closed():
                await self._free.acquire()
        try:
            return await self._usable()
        except BaseException:  # a cancellation too: the next one waits
            self._free.release()
            raise

    async def _put_back(self, connection: RedisConnection) -> None:
        if self.renewal.covers(connection):
            self._idle.append(connection)
        else:
            await connection.close()

    async def _usable(self) -> RedisConnection:
        while self._idle:
            connection = self._next_idle()
            try:
                is_usable = self.renewal.covers(connection) and await self._is_usable(connection)
            except (asyncio.CancelledError, BreakerOpen):
                self._idle.append(connection)
                raise
            if is_usable:
                return connection
            await connection.close()
        return await self._connect()

    async def _is_usable(self, connection: RedisConnection) -> bool:
        if not connection.is_late:
            return await connection.is_usable()
        async with self._breaker.while_closed():
            return await connection.is_usable()

    async def _connect(self) -> RedisConnection:
        connecting = self._left.pop() if self._left else asyncio.create_task(self._connect_once())
        try:
            async with self._breaker.while_closed():
                return await asyncio.shield(connecting)
        except (asyncio.CancelledError, BreakerOpen):
            self._left.append(connecting)
            connecting.add_done_callback(self._keep)
            raise

    async def _connect_once(self) -> RedisConnection:
        return await connect(self._url, may_be_replica=self._may_be_replica, breaker=self._breaker)

    def _keep(self, connecting: "asyncio.Task[RedisConnection]") -> None:
        """Keep a connection that was made after its caller left, unless another one waited for it."""
        if connecting in self._left:
            self._left.remove(connecting)
            if not connecting.cancelled() and not connecting.exception():
                self._idle.append(connecting.result())

    def _next_idle(self) -> RedisConnection:
        """The last one without a late reply; if all of them have one, the one that has waited for the longest."""
        for at in reversed(range(len(self._idle))):
            if not self._idle[at].is_late:
                return self._idle.pop(at)
        return self._idle.pop(0)

    async def close(self) -> None:
        """Close the idle connections, and make no more; the others end with the process."""
        for connecting in self._left:
            connecting.cancel()
        while self._idle:
            await self._idle.pop().close()
