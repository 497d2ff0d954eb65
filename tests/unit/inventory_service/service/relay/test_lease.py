"""What a relay believes of a shard's lease, by a clock and a Redis of the test's own."""

import asyncio
from itertools import pairwise
from typing import cast

import pytest
import structlog

from inventory_service.domain.shard_ports import Shards
from inventory_service.domain.shards import RedisUnavailable
from inventory_service.service.relay import lease
from inventory_service.service.relay.lease import (
    FIRST_YIELD_S,
    LEASE_S,
    LOWEST_PRIORITY,
    MAX_YIELD_S,
    ShardLease,
    priority_of,
)

SHARD, ME = 3, "ada"
ASKED = (priority_of(SHARD, ME), int(LEASE_S * 1000))
GAVE_WAY = (LOWEST_PRIORITY, ASKED[1])
CHANCE = 1.25  # by which a delay may be longer than it says


class Redis:
    """A Redis that answers as it is told to, and the clock that goes on meanwhile."""

    def __init__(self) -> None:
        self.now = 100.0
        self.grants = True
        self.away = False
        self.takes_s = 0.0
        self.asked: list[tuple[int, int]] = []  # rank and ms

    async def lease(self, shard: int, relay: str, rank: int, ms: int) -> bool:
        assert (shard, relay) == (SHARD, ME)
        self.asked.append((rank, ms))
        self.now += self.takes_s
        if self.away:
            raise RedisUnavailable("gone")
        return self.grants


@pytest.fixture
def redis(monkeypatch: pytest.MonkeyPatch) -> Redis:
    monkeypatch.setattr(lease, "RENEW_INTERVAL_S", 0.0)
    return Redis()


@pytest.fixture
def mine(redis: Redis) -> ShardLease:
    return ShardLease(SHARD, ME, cast(Shards, redis), lambda: redis.now, structlog.get_logger())


@pytest.mark.parametrize("turns", range(5))
async def test_whoever_waits_ends_when_cancelled_also_in_the_moment_of_the_grant(mine: ShardLease, turns: int) -> None:
    """A relay that ends over a surprise at its start would hang otherwise, in the place of being started again."""
    waiting = asyncio.create_task(mine.wait())
    await asyncio.sleep(0)
    asking = asyncio.create_task(mine.renew())
    for _ in range(turns):  # of the loop, in one of which the grant is on its way to who waits
        await asyncio.sleep(0)

    was_over = waiting.done()
    waiting.cancel()
    await asyncio.wait({waiting, asking})

    assert waiting.cancelled() or was_over


async def test_nobody_has_it_before_asking(redis: Redis, mine: ShardLease) -> None:
    """A relay that just started stands by until Redis has answered."""
    assert not mine.is_held

    await mine.renew()

    assert mine.is_held
    assert redis.asked == [ASKED]


async def test_it_is_believed_in_from_before_it_was_asked_for(redis: Redis, mine: ShardLease) -> None:
    """Redis counts from when it answers, so our belief ends first, however long the answer took."""
    redis.takes_s = 1.0
    await mine.renew()

    redis.now += LEASE_S - 1.1
    assert mine.is_held
    redis.now += 0.2
    assert not mine.is_held


async def test_an_answer_that_came_too_late_grants_nothing(redis: Redis, mine: ShardLease) -> None:
    """A relay that was halted meanwhile: another may have the shard by now."""
    redis.takes_s = LEASE_S + 1

    await mine.renew()

    assert not mine.is_held


async def test_it_is_lost_as_soon_as_that_is_known(redis: Redis, mine: ShardLease) -> None:
    """A relay of a higher rank came: two send only until the next question."""
    await mine.renew()

    redis.grants = False
    await mine.renew()

    assert not mine.is_held


async def test_a_redis_that_is_away_leaves_the_belief_as_it_was(redis: Redis, mine: ShardLease) -> None:
    """Nobody else can ask either."""
    await mine.renew()
    redis.away = True

    with pytest.raises(RedisUnavailable):
        await mine.renew()

    assert mine.is_held


async def test_who_doubts_gives_way_to_anybody_for_a_while(redis: Redis, mine: ShardLease) -> None:
    """Kafka may answer another relay; if none asks, this one goes on having the lease, and trying."""
    await mine.renew()

    mine.yield_shard()
    await mine.renew()
    redis.now += FIRST_YIELD_S * CHANCE
    await mine.renew()

    assert redis.asked == [ASKED, GAVE_WAY, ASKED]
    assert mine.is_held


async def test_who_takes_the_shard_back_in_vain_does_so_ever_more_seldom(redis: Redis, mine: ShardLease) -> None:
    """Each time the shard pauses: the other has lost it, and this one cannot send."""
    pauses: list[float] = []
    while redis.now < 10_000:
        await mine.renew()
        redis.now += 1
        if redis.asked[-1] == ASKED:
            mine.yield_shard()
            pauses.append(redis.now)

    between = [later - earlier for earlier, later in pairwise(pauses)]
    assert between[0] <= FIRST_YIELD_S * CHANCE + 2
    assert between[3] > 4 * FIRST_YIELD_S
    assert all(MAX_YIELD_S / 2 < pause <= MAX_YIELD_S * CHANCE + 2 for pause in between[-5:])


async def test_doubts_that_follow_each_other_count_as_one(redis: Redis, mine: ShardLease) -> None:
    """Kafka was away from all relays, and no shard was taken back: once it answers, shares are as before in seconds."""
    for _ in range(100):
        mine.yield_shard()
        redis.now += 1

    redis.now += FIRST_YIELD_S * CHANCE
    await mine.renew()

    assert redis.asked == [ASKED]


async def test_the_doubt_ends_when_kafka_answers(redis: Redis, mine: ShardLease) -> None:
    """And the next one is as short as the first."""
    for _ in range(5):
        mine.yield_shard()
        redis.now += 2 * MAX_YIELD_S
    mine.yield_shard()

    mine.reclaim()
    await mine.renew()
    mine.yield_shard()
    await mine.renew()
    redis.now += FIRST_YIELD_S * CHANCE
    await mine.renew()

    assert redis.asked == [ASKED, GAVE_WAY, ASKED]


async def test_it_is_let_go_of_at_the_end(redis: Redis, mine: ShardLease) -> None:
    """The others need not wait until it has run out; a Redis that is away keeps nobody from ending."""
    await mine.renew()
    redis.away = True

    await mine.release()
    await mine.release()

    assert not mine.is_held
    assert redis.asked == [ASKED, (LOWEST_PRIORITY, 0)]


async def test_what_another_has_is_not_let_go_of(redis: Redis, mine: ShardLease) -> None:
    """It is the other's."""
    redis.grants = False
    await mine.renew()

    await mine.release()

    assert redis.asked == [ASKED]


async def test_who_waits_hears_of_a_grant(mine: ShardLease) -> None:
    """The first commit after a change of relays must not wait for a second look."""
    waiting = asyncio.create_task(mine.wait())
    await asyncio.sleep(0)

    await mine.renew()

    await asyncio.wait_for(waiting, LEASE_S / 2)


def test_relays_outrank_each_other_in_some_shards_each() -> None:
    """So two of them share sixteen shards out, and a third takes some of each."""
    relays, shards = ["ada", "grace", "edsger"], range(64)

    leading = [max(relays, key=lambda relay: priority_of(shard, relay)) for shard in shards]

    assert all(leading.count(relay) > len(shards) / 8 for relay in relays)
    assert all(priority_of(shard, relay) > LOWEST_PRIORITY for shard in shards for relay in relays)
