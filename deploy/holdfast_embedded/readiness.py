"""Ask the stores how they stand: whether they are blank, and what is missing until every sale can be served."""

import contextlib
import socket
from typing import Any, cast

import asyncpg
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from inventory_service.adapters.redis_keys import shard_keys

DEADLINE_S = 5.0


def is_redis_blank(redis_url: str, shards: int) -> bool:
    """Say whether none of our shards was ever opened there."""
    with redis_client(redis_url) as redis:
        return not redis.exists(*(shard_keys(shard).meta for shard in range(shards)))


async def is_ledger_blank(dsn: str) -> bool:
    """Say whether the ledger, which has its tables already, knows no shard."""
    connection = await asyncpg.connect(dsn, timeout=DEADLINE_S)
    try:
        return not await connection.fetchval("select exists (select from shard_watermark)", timeout=DEADLINE_S)
    finally:
        await connection.close(timeout=DEADLINE_S)


def find_missing(redis_url: str, listen: str, shards: int) -> str | None:
    """Return in words what is missing until calls can be answered; None if nothing is."""
    if not is_listening(listen):
        return f"nobody listens on {listen}"
    try:
        unserved = find_unserved(redis_url, shards)
    except (RedisError, OSError) as error:
        return f"Redis does not answer: {error}"
    if not unserved:
        return None
    shard, why = min(unserved.items())
    return f"{len(unserved)} of {shards} shards are not served; shard {shard} {why}"


def find_unserved(redis_url: str, shards: int) -> dict[int, str]:
    """Return what is wrong with each shard that nobody may serve: not taken over from the run before, or frozen."""
    with redis_client(redis_url) as redis:
        run_id = cast(dict[str, Any], redis.info("server"))["run_id"]
        unserved = {}
        for shard in range(shards):
            owner, claim, frozen = cast(list[str], redis.hmget(shard_keys(shard).meta, ["owner", "claim", "frozen"]))
            if frozen:
                unserved[shard] = f"is frozen: {frozen}"
            elif owner != run_id or claim:
                unserved[shard] = "waits to be taken over"
        return unserved


def is_listening(address: str) -> bool:
    """Say whether a connection to host:port is taken."""
    host, _, port = address.rpartition(":")
    with contextlib.suppress(OSError), socket.create_connection((host.strip("[]"), int(port)), timeout=DEADLINE_S):
        return True
    return False


def redis_client(url: str) -> Redis:
    """Return a client that neither waits for long nor repeats."""
    return Redis.from_url(url, decode_responses=True, retry=Retry(NoBackoff(), 0), socket_timeout=DEADLINE_S)
