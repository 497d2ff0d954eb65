"""Asks Redis for the settings on which the promises rest, and changes none."""

import time
from collections.abc import Mapping
from typing import NamedTuple

from redis.exceptions import ResponseError

from inventory_service.adapters.redis.connections import RedisConnection, RedisConnections
from inventory_service.adapters.redis.keys import shard_keys
from inventory_service.domain.shards import RedisUnavailable
from inventory_service.server_checks.clocks import Reading
from inventory_service.server_checks.redis import SETTINGS, RedisConfig

LOOKS = 3  # at the clock; the quickest tells most
# Asks for one command of each kind that the scripts run, and runs none.
_MAY_WORK = """
local key = KEYS[1]
return redis.acl_check_cmd('hget', key, 'f') and redis.acl_check_cmd('hset', key, 'f', 'v')
    and redis.acl_check_cmd('xadd', key, '*', 'f', 'v') and redis.acl_check_cmd('zadd', key, '1', 'm')"""


class RedisAnswer(NamedTuple):
    """All that was asked at once."""

    facts: RedisConfig
    clock: tuple[Reading, ...]


class RedisServerConfig:
    """Asks one Redis."""

    def __init__(self, connections: RedisConnections) -> None:
        self._connections = connections

    async def ask(self) -> RedisAnswer:
        """What it says; RedisUnavailable if it does not even say what it is."""
        async with self._connections.acquire() as connection:
            clock = [await _reading(connection) for _ in range(LOOKS)]
            info = await _lines(connection, "INFO")
            config, denied = await _config(connection)
            is_node = info.get("cluster_enabled") == "1"
            cluster = await _lines(connection, "CLUSTER", "INFO") if is_node else {}
            refused = "" if is_node else await _refused(connection)
        return RedisAnswer(RedisConfig(info, config, denied, cluster, refused), tuple(clock))


async def _config(connection: RedisConnection) -> tuple[Mapping[str, str], str]:
    """What it told, and Redis' own words where it did not: a user may lack the right, or the host took it away."""
    told: dict[str, str] = {}
    denied = ""
    for setting in SETTINGS:
        try:
            reply = await connection.ask("CONFIG", "GET", setting)
        except ResponseError as error:
            denied = str(error)
            continue
        assert isinstance(reply, list), f"CONFIG GET answered {reply!r}"
        told |= {name.decode(): value.decode() for name, value in zip(reply[::2], reply[1::2], strict=True)}
    return told, denied


async def _refused(connection: RedisConnection) -> str:
    """Why this user may not do what the scripts do; '' if he may."""
    try:
        may = await connection.ask("EVAL", _MAY_WORK, 1, shard_keys(0).outbox)
    except ResponseError as error:
        return str(error)
    return "" if may else "this user has no permissions to run the commands in them"


async def _lines(connection: RedisConnection, *command: str) -> Mapping[str, str]:
    try:
        reply = await connection.ask(*command)
    except ResponseError as error:
        raise RedisUnavailable(str(error)) from error
    assert isinstance(reply, bytes), f"{command} answered {reply!r}"
    pairs = (line.partition(":") for line in reply.decode().splitlines() if not line.startswith("#"))
    return {name: value.strip() for name, _, value in pairs if name}


async def _reading(connection: RedisConnection) -> Reading:
    before_s = time.time()
    try:
        reply = await connection.ask("TIME")
    except ResponseError as error:
        raise RedisUnavailable(str(error)) from error
    after_s = time.time()
    assert isinstance(reply, list), f"TIME answered {reply!r}"
    seconds, microseconds = (int(part) for part in reply)
    return Reading(before_s, seconds + microseconds / 1_000_000, after_s)
