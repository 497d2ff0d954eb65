"""One connection to Redis, which sends no command twice.

redis-py's client repeats a command that got no reply, up to ten times, and its pool reuses a connection even if the
reply to its last command is still to come. A script that changes stock must not run twice, so this package uses
redis-py's connections alone, and a connection is used again only once its last reply was read to the end.
"""

import asyncio
import time

import hiredis
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import AuthenticationError, BusyLoadingError, RedisError, ResponseError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from inventory_service.adapters.redis.breaker import NoBreaker
from inventory_service.adapters.redis.replica_wait import ReplicaWait
from inventory_service.domain.shards import RedisUnavailable

# First words of error replies by which Redis serves nothing at the moment, a probe neither.
NOT_NOW = frozenset({"BUSY", "LOADING", "MASTERDOWN", "CLUSTERDOWN", "MISCONF"})
REPLY_TIMEOUT_S = 5.0  # a script call takes milliseconds: a Redis that needs longer is stuck, and the caller repeats

Argument = str | bytes | int


class OutcomeUnknown(RedisUnavailable):
    """The command was sent and no reply came: it may have been carried out."""


class NotReplicated(OutcomeUnknown):
    """Redis has carried the command out, and too few replicas have told that they have what it wrote."""

    def __init__(self, why: str, reply: object) -> None:
        super().__init__(why)
        self.reply = reply


class RedisConnection:
    """One connection. `begun` is the moment, by the monotonic clock, at which connecting began."""

    def __init__(self, connection: AbstractConnection, begun: float, breaker: NoBreaker) -> None:
        self._connection = connection
        self.begun = begun
        self._breaker = breaker
        self._due = 0  # replies to the last command that were not read, if it was given up
        self._late_until: float | None = None  # until then those to a command that was given up may come; monotonic

    async def execute(
        self, *command: Argument, timeout_s: float = REPLY_TIMEOUT_S, wait: ReplicaWait | None = None
    ) -> object:
        """Send one command and return its reply; OutcomeUnknown if none came, ResponseError if it was an error.

        With `wait` it is sent together with the command, and NotReplicated is raised if it was in vain.
        """
        if not self._connection.is_connected:  # redis-py would connect anew, to whichever Redis has the address now
            raise RedisUnavailable("the connection is closed")
        sent = self._breaker.sent()
        try:
            async with asyncio.timeout(timeout_s):
                # redis-py's own packing takes a quarter of the time of a call with many requests.
                packed = hiredis.pack_command(command)  # type: ignore[arg-type]  # its stub allows one argument only
                if wait is not None:
                    return await self._execute_and_wait(packed, wait, sent)
                self._due = 1
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

    async def _execute_and_wait(self, packed: bytes, wait: ReplicaWait, sent: int) -> object:
        """Also where the reply to the command is an error, those to the wait are read, or the next command got them."""
        self._due = 1 + wait.REPLIES
        await self._connection.send_packed_command([packed + wait.packed])
        reply = await self._next_reply()
        if not isinstance(reply, Exception):
            self._breaker.answered(sent)  # Redis was not late, whatever the replicas are
        others = [await self._next_reply() for _ in range(wait.REPLIES)]
        if isinstance(reply, Exception):
            raise reply
        if why := wait.missing(others):
            raise NotReplicated(why, reply)
        return reply

    async def _next_reply(self) -> object:
        """The next reply that is due; an error reply is returned as well."""
        try:
            reply: object = await self._connection.read_response(disconnect_on_error=False)
        except (ResponseError, BusyLoadingError, AuthenticationError) as error:
            reply = error
        self._due -= 1
        return reply

    @property
    def is_late(self) -> bool:
        """Whether the caller of its last command left before the reply was read."""
        return self._late_until is not None

    async def is_usable(self) -> bool:
        """Whether the connection is open and has nothing to read, as it must be between two calls.

        Late replies are waited for and dropped.
        """
        try:
            if self._late_until is not None:
                await self._drop_replies(self._late_until - time.monotonic())
                self._late_until = None
            return self._connection.is_connected and not await self._connection.can_read()
        except (RedisError, TimeoutError):
            return False

    async def _drop_replies(self, timeout_s: float) -> None:
        async with asyncio.timeout(timeout_s):
            while self._due:
                await self._next_reply()

    async def close(self) -> None:
        """Close it, without waiting for Redis."""
        await self._connection.disconnect(nowait=True)


def code_of(error: ResponseError) -> str:
    """The first word of an error reply."""
    return str(error.status_code or str(error).partition(" ")[0])
