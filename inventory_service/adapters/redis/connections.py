"""A pool of connections to one Redis, or to whichever one its connector leads to.

A reply by which the Redis at the other end is not the one that a shard was opened for closes a connection: another one
may have the address.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from redis.exceptions import ResponseError

from inventory_service.adapters.redis.breaker import NO_BREAKER, BreakerOpen, NoBreaker
from inventory_service.adapters.redis.connection import NotReplicated, RedisConnection
from inventory_service.domain.shards import RedisUnavailable

RENEWAL_INTERVAL_S = 0.5  # so that not each call of a shard that does not serve connects anew
SLOW_RENEWAL_INTERVAL_S = 10.0  # where the shard was opened for this very Redis, or that is not known

# Finds the Redis that takes writes now and connects to it, for a pool with this breaker. RedisUnavailable if it cannot.
Connector = Callable[[NoBreaker], Awaitable[RedisConnection]]


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
        connector: Connector,
        size: int = 16,
        renewal: Renewal | None = None,
        breaker: NoBreaker = NO_BREAKER,
    ) -> None:
        self._connector = connector
        self._breaker = breaker
        self.renewal = renewal or Renewal()
        self._free = asyncio.Semaphore(size)
        self._idle: list[RedisConnection] = []
        self._left: list[asyncio.Task[RedisConnection]] = []  # which connect, and whose callers left

    @asynccontextmanager
    async def acquire(self, shard: int | None = None) -> AsyncIterator[RedisConnection]:
        """A connection for one block; it is reused if the block ended well, with an error reply, or by cancellation.

        It leads to the Redis that holds `shard`, which is the same for all; None: what is done is of no shard.
        """
        connection = await self._take()
        try:
            yield connection
        except (ResponseError, NotReplicated, asyncio.CancelledError):
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
        sent = self._breaker.sent()
        try:
            return await self._connector(self._breaker)
        except RedisUnavailable as error:
            self._breaker.failed(sent, str(error))
            raise
        finally:
            self._breaker.left(sent)  # a greeting says little: one that still loads its data greets too

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
