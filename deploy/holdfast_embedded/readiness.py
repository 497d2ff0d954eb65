"""Ask what is missing until the calls of every sale can be answered."""

import contextlib
import socket
from typing import Any, cast

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

DEADLINE_S = 5.0
# The one key that the stack knows, for it shares no code with the services: who may serve a shard.
META = "holdfast:{{{shard}}}:meta"


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
    """Return what is wrong with each shard that nobody may serve: blank, frozen, or of an earlier run of Redis."""
    with redis_client(redis_url) as redis:
        run_id = cast(dict[str, Any], redis.info("server"))["run_id"]
        unserved = {}
        for shard in range(shards):
            fields = redis.hmget(META.format(shard=shard), ["owner", "takeover_token", "frozen"])
            owner, takeover_token, frozen = cast(list[str | None], fields)
            if frozen:
                unserved[shard] = f"is frozen: {frozen}"
            elif owner is None:
                unserved[shard] = "is blank"
            elif owner != run_id or takeover_token:
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
