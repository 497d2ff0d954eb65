"""A shard's lease as a relay sees it, with a clock and a Redis that the test controls."""

import asyncio
from itertools import pairwise
from typing import cast

import pytest
import structlog

from inventory_service.domain.shard_ports import Shards
from inventory_service.domain.shards import RedisUnavailable
from inventory_service.service.relay.lease import (
    FIRST_YIELD_S,
    LEASE_S,
    LOWEST_PRIORITY,
    MAX_YIELD_S,
    ShardLease,
    priority_of,
)

SHARD, ME = 3, "ada"
OWN_REQUEST = (priority_of(SHARD, ME), int(LEASE_S * 1000))
YIELDING_REQUEST = (LOWEST_PRIORITY, OWN_REQUEST[1])
JITTER = 1.25  # a delay may be longer by this factor


class FakeRedis:
    """A Redis that answers as the test sets it, and a clock that advances meanwhile."""

    def __init__(self) -> None:
        self.now = 100.0
        self.grants = True
        self.away = False
        self.takes_s = 0.0
        self.asked: list[tuple[int, int]] = []  # priority and ms

    async def lease(self, shard: int, relay: str, priority: int, ms: int) -> bool:
        assert (shard, relay) == (SHARD, ME)
        self.asked.append((priority, ms))
        self.now += self.takes_s
        if self.away:
            raise RedisUnavailable("gone")
        return self.grants


@pytest.fixture
def redis(monkeypatch: pytest.MonkeyPatch) -> FakeRedis:
    monkeypatch.setattr("inventory_service.service.relay.lease.RENEW_INTERVAL_S", 0.0)
    return FakeRedis()


@pytest.fixture
def lease(redis: FakeRedis) -> ShardLease:
    return ShardLease(SHARD, ME, cast(Shards, redis), lambda: redis.now, structlog.get_logger())


@pytest.mark.parametrize("turns", range(5))
async def test_waiting_for_the_lease_can_be_cancelled_at_the_moment_of_the_grant(lease: ShardLease, turns: int) -> None:
    """Otherwise a relay that fails with an unhandled exception at its start would hang instead of being restarted."""
    waiting = asyncio.create_task(lease.wait())
    await asyncio.sleep(0)
    asking = asyncio.create_task(lease.renew())
    for _ in range(turns):  # of the loop, in one of which the grant reaches the waiting task
        await asyncio.sleep(0)

    was_over = waiting.done()
    waiting.cancel()
    await asyncio.wait({waiting, asking})

    assert waiting.cancelled() or was_over


async def test_a_new_relay_does_not_hold_the_lease(redis: FakeRedis, lease: ShardLease) -> None:
    """A relay that just started stands by until Redis has answered."""
    assert not lease.is_held

    await lease.renew()

    assert lease.is_held
    assert redis.asked == [OWN_REQUEST]


async def test_the_lease_counts_from_before_the_request(redis: FakeRedis, lease: ShardLease) -> None:
    """Redis counts from its answer, so the relay's lease ends first, however long the answer took."""
    redis.takes_s = 1.0
    await lease.renew()

    redis.now += LEASE_S - 1.1
    assert lease.is_held
    redis.now += 0.2
    assert not lease.is_held


async def test_an_answer_that_came_too_late_grants_nothing(redis: FakeRedis, lease: ShardLease) -> None:
    """A relay that was halted meanwhile: another may have the shard by now."""
    redis.takes_s = LEASE_S + 1

    await lease.renew()

    assert not lease.is_held


async def test_the_lease_is_lost_with_the_first_answer_that_denies_it(redis: FakeRedis, lease: ShardLease) -> None:
    """A relay of a higher priority has it now: two publish only until the next renewal."""
    await lease.renew()

    redis.grants = False
    await lease.renew()

    assert not lease.is_held


async def test_an_unavailable_redis_does_not_end_the_lease(redis: FakeRedis, lease: ShardLease) -> None:
    """No other relay can get the lease either."""
    await lease.renew()
    redis.away = True

    with pytest.raises(RedisUnavailable):
        await lease.renew()

    assert lease.is_held


async def test_a_relay_that_yields_asks_with_the_lowest_priority_for_a_while(
    redis: FakeRedis, lease: ShardLease
) -> None:
    """Another relay may reach Kafka; if none asks, this one keeps the lease and goes on trying."""
    await lease.renew()

    lease.yield_shard()
    await lease.renew()
    redis.now += FIRST_YIELD_S * JITTER
    await lease.renew()

    assert redis.asked == [OWN_REQUEST, YIELDING_REQUEST, OWN_REQUEST]
    assert lease.is_held


async def test_a_relay_that_reclaims_in_vain_yields_longer_each_time(redis: FakeRedis, lease: ShardLease) -> None:
    """Each attempt pauses the shard: the other relay has lost the lease, and this one cannot publish."""
    pauses: list[float] = []
    while redis.now < 10_000:
        await lease.renew()
        redis.now += 1
        if redis.asked[-1] == OWN_REQUEST:
            lease.yield_shard()
            pauses.append(redis.now)

    between = [later - earlier for earlier, later in pairwise(pauses)]
    assert between[0] <= FIRST_YIELD_S * JITTER + 2
    assert between[3] > 4 * FIRST_YIELD_S
    assert all(MAX_YIELD_S / 2 < pause <= MAX_YIELD_S * JITTER + 2 for pause in between[-5:])


async def test_yields_in_a_row_count_as_one(redis: FakeRedis, lease: ShardLease) -> None:
    """No relay reached Kafka and none reclaimed the shard, so seconds after Kafka's return shares are as before."""
    for _ in range(100):
        lease.yield_shard()
        redis.now += 1

    redis.now += FIRST_YIELD_S * JITTER
    await lease.renew()

    assert redis.asked == [OWN_REQUEST]


async def test_a_yield_ends_when_kafka_answers(redis: FakeRedis, lease: ShardLease) -> None:
    """The next yield is as short as the first."""
    for _ in range(5):
        lease.yield_shard()
        redis.now += 2 * MAX_YIELD_S
    lease.yield_shard()

    lease.reclaim()
    await lease.renew()
    lease.yield_shard()
    await lease.renew()
    redis.now += FIRST_YIELD_S * JITTER
    await lease.renew()

    assert redis.asked == [OWN_REQUEST, YIELDING_REQUEST, OWN_REQUEST]


async def test_the_lease_is_released_at_the_end(redis: FakeRedis, lease: ShardLease) -> None:
    """Other relays need not wait until it runs out; an unavailable Redis does not delay the end of the process."""
    await lease.renew()
    redis.away = True

    await lease.release()
    await lease.release()

    assert not lease.is_held
    assert redis.asked == [OWN_REQUEST, (LOWEST_PRIORITY, 0)]


async def test_the_lease_of_another_relay_is_not_released(redis: FakeRedis, lease: ShardLease) -> None:
    """A relay that does not hold the lease sends no release."""
    redis.grants = False
    await lease.renew()

    await lease.release()

    assert redis.asked == [OWN_REQUEST]


async def test_waiting_ends_with_the_grant(lease: ShardLease) -> None:
    """The first commit after a change of relays must not wait for the next renewal."""
    waiting = asyncio.create_task(lease.wait())
    await asyncio.sleep(0)

    await lease.renew()

    await asyncio.wait_for(waiting, LEASE_S / 2)


def test_each_relay_has_the_highest_priority_in_some_shards() -> None:
    """So two relays share sixteen shards, and a third one takes some of each."""
    relays, shards = ["ada", "grace", "edsger"], range(64)

    leading = [max(relays, key=lambda relay: priority_of(shard, relay)) for shard in shards]

    assert all(leading.count(relay) > len(shards) / 8 for relay in relays)
    assert all(priority_of(shard, relay) > LOWEST_PRIORITY for shard in shards for relay in relays)
