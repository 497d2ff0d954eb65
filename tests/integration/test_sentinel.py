"""Redis behind Sentinels: which one is connected to, and what a start and the doctor say."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from redis.asyncio import Redis

from inventory_service.adapters.redis.connectors import connections_to
from inventory_service.domain.shards import RedisUnavailable
from inventory_service.server_checks.results import CheckResult, Level
from inventory_service.settings import Settings
from inventory_service.wiring.server_checks import check_redis
from tests.inventory_server import run_process
from tests.sentinels import DOWN_AFTER_MS, FAILS_OVER_S, NAME, SENTINELS, WatchedRedis, watched_redis
from tests.waiting import eventually

pytestmark = pytest.mark.timeout(600)


@pytest.fixture
async def watched(tmp_path: Path) -> AsyncIterator[WatchedRedis]:
    """A primary, two replicas and three Sentinels."""
    async with watched_redis(tmp_path) as watched:
        yield watched


def level_of(results: list[CheckResult], setting: str) -> tuple[Level, str]:
    """The level and the value of one."""
    (found,) = [result for result in results if result.setting == setting]
    return found.level, found.value


async def test_connections_follow_a_failover_and_the_doctor_sees_it(watched: WatchedRedis) -> None:
    """The primary and one Sentinel are killed at the same moment."""
    connections, settings = connections_to(watched.url, size=1), Settings(redis_url=watched.url, shards=1)

    async def port() -> str:
        async with connections.acquire() as connection:
            return str(await connection.execute("CONFIG", "GET", "port"))

    async def other_port() -> bool:
        """The connections lead to another Redis, which may write."""
        try:
            return str(first.port) not in await port()
        except RedisUnavailable:
            return False

    first = watched.redis[0]
    assert str(first.port) in await port()
    before = list(await check_redis(settings))
    first.kill()
    watched.sentinels[0].kill()

    await eventually(other_port, FAILS_OVER_S)
    second = await watched.primary_after(first)

    async def agree() -> bool:
        """The Sentinels that are left name the second one."""
        after = list(await check_redis(settings))
        assert level_of(after, "sentinels") == (Level.NOTE, f"{SENTINELS - 1} of {SENTINELS} answer")
        assert level_of(after, "primary") == (Level.OK, f"127.0.0.1:{second.port}")
        return True

    await eventually(agree, FAILS_OVER_S)
    assert str(second.port) in await port()
    assert level_of(before, "sentinels") == (Level.OK, f"{SENTINELS} of {SENTINELS} answer")
    assert level_of(before, "primary") == (Level.OK, f"127.0.0.1:{first.port}")
    await connections.close()


async def test_the_doctor_holds_the_lag_of_replicas_against_the_sentinels_time(watched: WatchedRedis) -> None:
    """A primary that was cut off must have stopped before a replica can be promoted; and waits need replicas."""
    lag_s = str(DOWN_AFTER_MS // 1000)
    async with Redis.from_url(watched.redis[0].address) as primary:
        await primary.config_set("min-replicas-to-write", "1")
        await primary.config_set("min-replicas-max-lag", lag_s)

    results = await check_redis(Settings(redis_url=watched.url, redis_failover_s=60, redis_wait=3, shards=1))

    (lag,) = [result for result in results if result.setting == "min-replicas-to-write"]
    assert lag.level is Level.FAIL
    assert f"after {lag_s} s (Sentinel's down-after-milliseconds)" in lag.promise
    assert level_of(list(results), "HOLDFAST_REDIS_WAIT")[0] is Level.FAIL


async def test_what_is_wrong_with_a_url_of_sentinels_is_one_line(watched: WatchedRedis, database: str) -> None:
    """A start ends with exit code 2, and no line has a password."""
    sentinel, redis = watched.sentinels[0].address, watched.redis[0].address.removeprefix("redis://").removesuffix("/0")
    cases = {
        f"redis+sentinel://{sentinel}/other": "knows no primary other",
        f"redis+sentinel://{redis}/{NAME}": "it is no Sentinel",
        f"redis://{sentinel}": "of a Sentinel, the URL starts with redis+sentinel://",
        f"redis+sentinel://ann:s3cret@{sentinel}/{NAME}": "invalid username-password pair",
        f"redis+sentinel://{sentinel}/{NAME}?sentinel_password=s3cret": "AUTH",
        "redis+sentinel://127.0.0.1:1/any": "127.0.0.1:1",
    }
    settings = {"HOLDFAST_POSTGRES_DSN": database, "HOLDFAST_START_WAIT_S": "3"}

    ended = await asyncio.gather(*(run_process("serve", HOLDFAST_REDIS_URL=url, **settings) for url in cases))

    for expected, (code, lines) in zip(cases.values(), ended, strict=True):
        assert (code, len(lines)) == (2, 1), lines
        assert lines[0].startswith("HOLDFAST_REDIS_URL: ")
        assert expected in lines[0]
        assert "s3cret" not in lines[0]
