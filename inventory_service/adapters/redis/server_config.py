"""Reads the settings of Redis on which the guarantees rest, and changes none."""

import time
from collections.abc import Mapping
from typing import NamedTuple

from redis.exceptions import ResponseError

from inventory_service.adapters.redis.connection import RedisConnection
from inventory_service.adapters.redis.connections import RedisConnections
from inventory_service.adapters.redis.keys import shard_keys
from inventory_service.domain.shards import RedisUnavailable
from inventory_service.server_checks.clocks import Reading
from inventory_service.server_checks.redis import SETTINGS, RedisConfig

CLOCK_READINGS = 3  # of which the fastest is the most exact
# Checks the rights for one command of each kind that the scripts run, and runs none.
_CHECK_RIGHTS = """
local key = KEYS[1]
return redis.acl_check_cmd('info', 'replication')
    and redis.acl_check_cmd('hget', key, 'f') and redis.acl_check_cmd('hset', key, 'f', 'v')
    and redis.acl_check_cmd('xadd', key, '*', 'f', 'v') and redis.acl_check_cmd('zadd', key, '1', 'm')"""


class RedisAnswer(NamedTuple):
    """The settings, and readings of the server's clock."""

    config: RedisConfig
    clock: tuple[Reading, ...]


class RedisServerConfig:
    """Reads the settings of one Redis."""

    def __init__(self, connections: RedisConnections) -> None:
        self._connections = connections

    async def ask(self) -> RedisAnswer:
        """Settings and clock; `RedisUnavailable` if Redis does not answer INFO and TIME."""
        async with self._connections.acquire() as connection:
            clock = [await _reading(connection) for _ in range(CLOCK_READINGS)]
            info = await _fields(connection, "INFO")
            config, denied = await _config(connection)
            is_node = info.get("cluster_enabled") == "1"
            cluster = await _fields(connection, "CLUSTER", "INFO") if is_node else {}
            missing_rights = "" if is_node else await _missing_rights(connection)
        return RedisAnswer(RedisConfig(info, config, denied, cluster, missing_rights), tuple(clock))


async def _config(connection: RedisConnection) -> tuple[Mapping[str, str], str]:
    """The settings, and the error reply to CONFIG GET if any: the user may lack the right, or the host disabled it."""
    settings: dict[str, str] = {}
    denied = ""
    for setting in SETTINGS:
        try:
            reply = await connection.execute("CONFIG", "GET", setting)
        except ResponseError as error:
            denied = str(error)
            continue
        assert isinstance(reply, list), f"CONFIG GET answered {reply!r}"
        settings |= {name.decode(): value.decode() for name, value in zip(reply[::2], reply[1::2], strict=True)}
    return settings, denied


async def _missing_rights(connection: RedisConnection) -> str:
    """Why this user may not run the commands in the scripts; '' if it may."""
    try:
        may = await connection.execute("EVAL", _CHECK_RIGHTS, 1, shard_keys(0).outbox)
    except ResponseError as error:
        return str(error)
    return "" if may else "this user has no permissions to run the commands in them"


async def _fields(connection: RedisConnection, *command: str) -> Mapping[str, str]:
    try:
        reply = await connection.execute(*command)
    except ResponseError as error:
        raise RedisUnavailable(str(error)) from error
    assert isinstance(reply, bytes), f"{command} answered {reply!r}"
    pairs = (line.partition(":") for line in reply.decode().splitlines() if not line.startswith("#"))
    return {name: value.strip() for name, _, value in pairs if name}


async def _reading(connection: RedisConnection) -> Reading:
    before_s = time.time()
    try:
        reply = await connection.execute("TIME")
    except ResponseError as error:
        raise RedisUnavailable(str(error)) from error
    after_s = time.time()
    assert isinstance(reply, list), f"TIME answered {reply!r}"
    seconds, microseconds = (int(part) for part in reply)
    return Reading(before_s, seconds + microseconds / 1_000_000, after_s)
