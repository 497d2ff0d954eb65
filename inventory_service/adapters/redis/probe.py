"""Probes whether Redis accepts a connection with the settings given, and whether it serves."""

from collections.abc import Sequence

from redis.exceptions import AuthenticationError, BusyLoadingError, RedisError, ResponseError
from redis.exceptions import ConnectionError as RedisConnectionError

from holdfast_runtime.connection_errors import (
    Cause,
    ConnectionRejected,
    ServerNotReady,
    TransientError,
    classify,
    describe,
)
from inventory_service.adapters.redis.breaker import NO_BREAKER
from inventory_service.adapters.redis.connecting import RedisIsReplica
from inventory_service.adapters.redis.connection import RedisConnection
from inventory_service.adapters.redis.connections import Connector
from inventory_service.adapters.redis.connectors import connector_to
from inventory_service.adapters.redis.keys import shard_keys
from inventory_service.adapters.redis.replica_wait import ReplicaWait
from inventory_service.adapters.redis.sentinel import NoPrimary, UnknownPrimary
from inventory_service.domain.shards import RedisUnavailable


async def probe_redis(url: str, wait: ReplicaWait | None = None, *, may_be_replica: bool = False) -> None:
    """Return if Redis answers, even that it is still loading; `ConnectionRejected` or `TransientError` if not.

    With `wait`, `ConnectionRejected` as well if Redis does not know its commands, or this user may not run them.
    """
    try:
        connection = await connector_to(url, may_be_replica=may_be_replica)(NO_BREAKER)
    except RedisUnavailable as error:
        if any(isinstance(each.__cause__, BusyLoadingError) for each in _problems(error)):
            return
        raise _classified(error, url) from error
    try:
        if wait is not None:
            await _try_out(connection, wait)
    finally:
        await connection.close()


async def _try_out(connection: RedisConnection, wait: ReplicaWait) -> None:
    """Run its commands, for no replica and the shortest time."""
    try:
        for command in wait.trial:
            await connection.execute(*command)
    except ResponseError as error:
        raise ConnectionRejected(Cause.COMMAND, f"{wait.command} fails: {error}") from error
    except RedisUnavailable as error:
        raise TransientError(str(error)) from error


async def probe_serving(connector: Connector) -> None:
    """Return if Redis answers PING and reads the state of a shard; RedisUnavailable if not. It waits for 2 + 5 s."""
    connection = await connector(NO_BREAKER)
    try:
        for command in (("PING",), ("HGET", shard_keys(0).meta, "epoch")):
            await connection.execute(*command)
    except RedisError as error:
        raise RedisUnavailable(str(error)) from error
    finally:
        await connection.close()


def _problems(error: RedisUnavailable) -> Sequence[RedisUnavailable]:
    return error.problems if isinstance(error, NoPrimary) else [error]


def _classified(error: RedisUnavailable, url: str) -> Exception:
    """It is permanent if it is so at every Sentinel, and Redis is not ready if one of them leads to a replica."""
    each = [_one_classified(problem, url) for problem in _problems(error)]
    if not isinstance(error, NoPrimary):
        return each[0]
    if all(isinstance(one, ConnectionRejected) for one in each):
        return ConnectionRejected(Cause.ADDRESS, str(error))
    is_there = any(isinstance(one, ServerNotReady) for one in each)
    return ServerNotReady(str(error)) if is_there else TransientError(str(error))


def _one_classified(error: RedisUnavailable, url: str) -> Exception:
    """An error reply concerns the user, the password or the database, since no other command was sent."""
    if isinstance(error, RedisIsReplica):
        return ServerNotReady(str(error))
    if isinstance(error, UnknownPrimary):
        return ConnectionRejected(Cause.ADDRESS, str(error))
    cause = error.__cause__
    if isinstance(cause, AuthenticationError | ResponseError):
        return ConnectionRejected(Cause.USER, str(error))
    if type(cause) is RedisConnectionError and str(cause) == "Invalid Database":
        return ConnectionRejected(Cause.ADDRESS, "it has no database with that number")
    how = "with TLS, as rediss:// says" if url.startswith("rediss") else "without TLS, as redis:// says"
    return classify(error) or TransientError(describe(error, f"is it a Redis, {how}?"))
