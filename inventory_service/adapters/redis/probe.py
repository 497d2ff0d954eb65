"""Probes whether Redis accepts a connection with the settings given, and whether it serves."""

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
from inventory_service.adapters.redis.connections import RedisIsReplica, connect
from inventory_service.adapters.redis.keys import shard_keys
from inventory_service.domain.shards import RedisUnavailable


async def probe_redis(url: str, *, may_be_replica: bool = False) -> None:
    """Return if Redis answers, even that it is still loading; `ConnectionRejected` or `TransientError` if not."""
    try:
        connection = await connect(url, may_be_replica=may_be_replica)
    except RedisIsReplica as error:
        raise ServerNotReady(str(error)) from error
    except RedisUnavailable as error:
        if isinstance(error.__cause__, BusyLoadingError):
            return
        raise _classified(error, url) from error
    await connection.close()


async def probe_serving(url: str) -> None:
    """Return if Redis answers PING and reads the state of a shard; RedisUnavailable if not. It waits for 2 + 5 s."""
    connection = await connect(url)
    try:
        for command in (("PING",), ("HGET", shard_keys(0).meta, "epoch")):
            await connection.execute(*command)
    except RedisError as error:
        raise RedisUnavailable(str(error)) from error
    finally:
        await connection.close()


def _classified(error: RedisUnavailable, url: str) -> Exception:
    """An error reply concerns the user, the password or the database, since no other command was sent."""
    cause = error.__cause__
    if isinstance(cause, AuthenticationError | ResponseError):
        return ConnectionRejected(Cause.USER, str(cause))
    if type(cause) is RedisConnectionError and str(cause) == "Invalid Database":
        return ConnectionRejected(Cause.ADDRESS, "it has no database with that number")
    how = "with TLS, as rediss:// says" if url.startswith("rediss:") else "without TLS, as redis:// says"
    return classify(error) or TransientError(describe(error, f"is it a Redis, {how}?"))
