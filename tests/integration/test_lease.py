"""The lease in Redis, and relays that share shards out by it, do without it, or are wrong about it."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest
from redis.asyncio import Redis

from inventory_service.adapters.redis.shards import RedisShards
from inventory_service.domain.backlog import Backlog
from inventory_service.domain.shard_ports import CommitTopic
from inventory_service.domain.shards import Commit, CommitId, KafkaUnavailable
from inventory_service.service.relay import lease
from inventory_service.service.relay.lease import ASK_S, priority_of
from tests.integration.house import SHARDS, Gauges, House, journal_of, sent_to_kafka, serves_at
from tests.shared_kafka import Kafka
from tests.waiting import eventually

LEASE_MS = 60_000  # no test waits so long
LOW, HIGH, HIGHEST = 1, 2, 2**32
NOBODY_LISTENS = "127.0.0.1:9"


async def test_one_relay_has_it_until_it_runs_out(house: House) -> None:
    """Whoever has it keeps it by asking again; a relay of the same rank waits until nobody does."""
    assert await house.shards.lease(0, "ada", HIGH, LEASE_MS)
    assert not await house.shards.lease(0, "grace", HIGH, LEASE_MS)
    assert await house.shards.lease(0, "ada", HIGH, LEASE_MS)
    assert not await house.shards.lease(0, "grace", HIGH, LEASE_MS)

    assert await house.shards.lease(0, "ada", HIGH, 300)
    await eventually(lambda: house.shards.lease(0, "grace", LOW, LEASE_MS))

    assert not await house.shards.lease(0, "ada", LOW, LEASE_MS)


async def test_the_higher_rank_has_it_for_the_asking(house: House) -> None:
    """That is how a relay that joins gets its share of the shards."""
    await house.shards.lease(0, "ada", LOW, LEASE_MS)

    assert await house.shards.lease(0, "grace", HIGH, LEASE_MS)

    assert not await house.shards.lease(0, "ada", LOW, LEASE_MS)


async def test_only_who_has_it_lets_go_of_it(house: House) -> None:
    """Late words of a relay that has lost it take nothing from the one that has it."""
    await house.shards.lease(0, "ada", HIGH, LEASE_MS)

    await house.shards.lease(0, "grace", LOW, 0)
    assert not await house.shards.lease(0, "grace", LOW, LEASE_MS)

    await house.shards.lease(0, "ada", LOW, 0)
    assert await house.shards.lease(0, "grace", LOW, LEASE_MS)


async def test_a_lease_by_a_clock_that_ran_ahead_stops_nobody(house: House) -> None:
    """Redis fails over to a machine whose clock is an hour behind: nobody waits for an hour."""
    await house.shards.lease(0, "ada", HIGH, 3_600_000)

    assert await house.shards.lease(0, "grace", LOW, LEASE_MS)


async def test_a_blank_shard_stays_blank(valkey: str, database: str, kafka: Kafka) -> None:
    """There is nothing to send, and a key that appears would look like a shard."""
    house = House(valkey, database, kafka)

    assert not await house.shards.lease(0, "ada", HIGH, LEASE_MS)

    async with Redis.from_url(valkey) as redis:
        assert await redis.keys() == []
    await house.close()


async def test_a_shard_that_serves_nobody_is_leased_all_the_same(house: House) -> None:
    """A take-over waits until the outbox of the claimed shard has been sent."""
    await house.shards.claim(0, "token", 1, ledger_frozen=True)
    await house.shards.freeze(0, 1, "HASH_DIFFERS: a test")

    assert await house.shards.lease(0, "ada", HIGH, LEASE_MS)


@pytest.mark.usefixtures("lasting_lease")
async def test_who_stands_by_sends_nothing(house: House) -> None:
    """Another relay has the shard, and nobody need send its commits twice; once that one is gone, they are sent."""
    await house.commit(count=5)
    async with house.persister.running():
        async with leased_to_another(house), house.relaying():
            await eventually(lambda: house.gauges.times > 6 * SHARDS)  # it had the time to send
            assert await sent_to_kafka(house) == []
            assert not house.gauges.shown[0].sends
        async with house.relaying():
            await eventually(house.is_drained)


@pytest.mark.usefixtures("lasting_lease")
async def test_what_was_read_before_the_shard_was_lost_is_not_sent(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reading waits for commits, and meanwhile another relay may have come: it sends them."""
    read, returned = asyncio.Event(), asyncio.Event()
    read_after = house.outbox.read_after

    async def read_slowly(shard: int, cursor: CommitId, wait_ms: int) -> Sequence[Commit]:
        commits = await read_after(shard, cursor, wait_ms)
        if commits:
            read.set()
            await eventually(lambda: not house.gauges.shown[0].sends)
            returned.set()
        return commits

    monkeypatch.setattr(house.outbox, "read_after", read_slowly)
    async with house.relaying():
        await eventually(lambda: 0 in house.gauges.shown and house.gauges.shown[0].sends)
        await house.commit()
        await eventually(read.is_set)
        async with leased_to_another(house):
            await eventually(returned.is_set)
            looks = house.gauges.times
            await eventually(lambda: house.gauges.times > looks + 2 * SHARDS)  # it had the time to send

            assert await sent_to_kafka(house) == []


async def test_another_goes_on_where_a_relay_has_died(house: House) -> None:
    """It said nothing at its end, so its lease has to run out first."""
    await house.shards.lease(0, "the-one-that-died", HIGHEST, int(lease.LEASE_S * 1000))
    async with house.at_work():
        await house.commit(count=5)

        await eventually(house.is_drained)


@pytest.mark.usefixtures("lasting_lease")
async def test_two_relays_share_the_sending_out(house: House) -> None:
    """The one that joins outranks the other and gets the shard; no commit is sent twice once both know of it."""
    first, second = sorted(["ada", "grace"], key=lambda name: priority_of(0, name))
    joined = Gauges()
    # Neither goes back by itself, as it would where the ledger is slow to take what it was sent.
    async with house.persister.running(), house.relaying(first, stall_timeout_s=60):
        await house.commit(count=5)
        await eventually(house.is_drained)
        await eventually(lambda: house.gauges.shown[0].sends)

        async with house.relaying(second, joined, stall_timeout_s=60):
            await eventually(lambda: 0 in joined.shown and not house.gauges.shown[0].sends and joined.shown[0].sends)
            after = (await house.commit(count=20)).seq - 20
            await eventually(house.is_drained)

        await house.commit(count=5)
        await eventually(house.is_drained)  # the first goes on where the other has ended

    times = Counter(commit.seq for commit in await sent_to_kafka(house))
    assert {times[seq] for seq in range(after + 1, after + 21)} == {1}
    assert await journal_of(house) == [(1, seq) for seq in range(1, after + 26)]


async def test_two_relays_that_both_believe_to_have_it_harm_nothing(house: House) -> None:
    """Each sends everything, and the ledger takes each commit once."""
    house.shards = Flattering(house.connections)

    async def is_sent_by_both() -> bool:
        times = Counter(commit.seq for commit in await sent_to_kafka(house))
        return all(times[seq] > 1 for seq in range(1, 31))

    async with house.relaying(), house.relaying():
        await house.commit(count=30)
        await eventually(is_sent_by_both)
        async with house.persister.running():
            await eventually(house.is_drained)

    assert await journal_of(house) == [(1, seq) for seq in range(1, 31)]


async def test_a_relay_that_kafka_does_not_answer_gives_way(house: House) -> None:
    """It reaches Redis and would have the shard for ever, and the other one, to which Kafka speaks, would look on."""
    healthy, cut_off = sorted(["ada", "grace"], key=lambda name: priority_of(0, name))
    kafka, house.kafka = house.kafka, Kafka(NOBODY_LISTENS)
    async with house.relaying(cut_off):
        house.kafka = kafka
        async with house.persister.running(), house.relaying(healthy, Gauges()):
            await house.commit(count=5)

            await eventually(house.is_drained)


@pytest.mark.usefixtures("lasting_lease")
async def test_a_relay_that_kafka_answers_again_keeps_its_share(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its doubt ends with the first commits that Kafka confirms, however long it would have gone on."""
    lower, higher = sorted(["ada", "grace"], key=lambda name: priority_of(0, name))
    monkeypatch.setattr(lease, "FIRST_YIELD_S", 600.0)
    joined = Gauges()
    async with house.persister.running(), house.relaying(higher) as parts:
        failing_once(parts.commits, monkeypatch)
        await house.commit(count=5)
        await eventually(house.is_drained)

        async with house.relaying(lower, joined):
            await eventually(lambda: joined.times > 6 * SHARDS)  # it had the time to ask
            assert not joined.shown[0].sends

    assert "Kafka" in house.waited


@pytest.mark.usefixtures("lasting_lease")
async def test_who_has_it_is_shown_as_the_sender_through_a_take_over(house: House) -> None:
    """Its window begins anew with the new epoch; it has the shard all the time, and shows what it alone knows."""
    gauges = Remembering()
    async with house.persister.running(), house.relaying(gauges=gauges):
        await house.commit()
        await eventually(house.is_drained)
        await eventually(lambda: True in gauges.sends)

        await house.shards.freeze(0, 1, "HASH_DIFFERS: a test")
        await eventually(lambda: serves_at(house, 2))
        looks = len(gauges.sends)
        await eventually(lambda: len(gauges.sends) > looks + 2)

    assert all(gauges.sends[gauges.sends.index(True) :])


class Remembering(Gauges):
    """Remembers of each look whether the relay was shown as the sender of the first shard."""

    def __init__(self) -> None:
        super().__init__()
        self.sends: list[bool] = []

    def show(self, shard: int, backlog: Backlog) -> None:
        super().show(shard, backlog)
        if shard == 0:
            self.sends.append(backlog.sends)


class Flattering(RedisShards):
    """Gives the lease to everybody who asks."""

    async def lease(self, shard: int, relay: str, rank: int, ms: int) -> bool:
        await super().lease(shard, relay, rank, ms)
        return True


def failing_once(commits: CommitTopic, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let Kafka not answer the next time."""
    publish = commits.publish

    async def fail(_shard: int, _commits: Sequence[Commit]) -> None:
        monkeypatch.setattr(commits, "publish", publish)
        raise KafkaUnavailable("cut off")

    monkeypatch.setattr(commits, "publish", fail)


@asynccontextmanager
async def leased_to_another(house: House) -> AsyncIterator[None]:
    """Keep the first shard's lease for a relay that does nothing; it has it before anything else happens."""
    lease_ms = int(lease.LEASE_S * 1000)

    async def go_on_asking() -> None:
        while True:
            await asyncio.sleep(ASK_S / 10)
            await house.shards.lease(0, "idle", HIGHEST, lease_ms)

    await house.shards.lease(0, "idle", HIGHEST, lease_ms)
    asking = asyncio.create_task(go_on_asking())
    try:
        yield
    finally:
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        await house.shards.lease(0, "idle", LOW, 0)
