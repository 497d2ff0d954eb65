"""Chooses by its URL how Redis is found: at one address, or by Sentinels."""

from holdfast_runtime.start_check import address_of
from inventory_service.adapters.redis.breaker import NO_BREAKER, NoBreaker
from inventory_service.adapters.redis.connecting import check_url, connect
from inventory_service.adapters.redis.connection import RedisConnection
from inventory_service.adapters.redis.connections import Connector, RedisConnections, Renewal
from inventory_service.adapters.redis.sentinel import (
    SentinelConnector,
    check_sentinel_url,
    is_sentinel_url,
    sentinel_url,
)


def connector_to(url: str, *, may_be_replica: bool = False) -> Connector:
    """What connects to the Redis that a URL names; RedisIsReplica where it takes no writes, unless it may be one."""
    if is_sentinel_url(url):
        return SentinelConnector(url, may_be_replica=may_be_replica)

    async def connect_there(breaker: NoBreaker) -> RedisConnection:
        return await connect(url, may_be_replica=may_be_replica, breaker=breaker)

    return connect_there


def connections_to(
    url: str,
    size: int = 16,
    renewal: Renewal | None = None,
    *,
    may_be_replica: bool = False,
    breaker: NoBreaker = NO_BREAKER,
) -> RedisConnections:
    """A pool of connections to the Redis that a URL names."""
    return RedisConnections(connector_to(url, may_be_replica=may_be_replica), size, renewal, breaker)


def check_redis_url(url: str) -> None:
    """ValueError, in one sentence without a password, if a part of the URL is wrong or would be ignored."""
    (check_sentinel_url if is_sentinel_url(url) else check_url)(url)


def server_named(url: str) -> str:
    """What the URL names, without users and passwords."""
    if is_sentinel_url(url):
        return f"Redis {sentinel_url(url).name} of the Sentinels at {address_of(url)}"
    return f"Redis at {address_of(url)}"
