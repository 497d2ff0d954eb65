"""The lease in Redis, and relays that divide the shards by it, run without it, or hold it wrongly."""

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
from inventory_service.service.relay.lease import RENEW_INTERVAL_S, priority_of
from tests.integration.relay_doubles import Gauges
from tests.integration.shard_processes import SHARDS, ShardProcesses
from tests.integration.shard_steps import journal_of, sent_to_kafka, serves_anew
from tests.shared_kafka import Kafka
from tests.waiting import eventually

LEASE_MS = 60_000  # no test waits so long
LOW, HIGH, HIGHEST = 1, 2, 2**32
CLOSED_PORT = "127.0.0.1:9"


async def test_one_relay_holds_the_lease_until_it_expires(processes: ShardProcesses) -> None:
    """The holder keeps it by renewing; a relay of the same rank waits until it expires."""
    assert await processes.shards.lease(0, "ada", HIGH, LEASE_MS)
    assert not await processes.shards.lease(0, "grace", HIGH, LEASE_MS)
    assert await processes.shards.lease(0, "ada", HIGH, LEASE_MS)
    assert not await processes.shards.lease(0, "grace", HIGH, LEASE_MS)

    assert await processes.shards.lease(0, "ada", HIGH, 300)
    await eventually(lambda: processes.shards.lease(0, "grace", LOW, LEASE_MS))

    assert not await processes.shards.lease(0, "ada", LOW, LEASE_MS)


async def test_a_higher_priority_takes_the_lease(processes: ShardProcesses) -> None:
    """That is how a relay that joins gets its share of the shards."""
    await processes.shards.lease(0, "ada", LOW, LEASE_MS)

    assert await processes.shards.lease(0, "grace", HIGH, LEASE_MS)

    assert not await processes.shards.lease(0, "ada", LOW, LEASE_MS)


async def test_only_the_holder_releases_the_lease(processes: ShardProcesses) -> None:
    """A late release by a relay that has lost it does not end the holder's lease."""
    await processes.shards.lease(0, "ada", HIGH, LEASE_MS)

    await processes.shards.lease(0, "grace", LOW, 0)
    assert not await processes.shards.lease(0, "grace", LOW, LEASE_MS)

    await processes.shards.lease(0, "ada", LOW, 0)
    assert await processes.shards.lease(0, "grace", LOW, LEASE_MS)


async def test_a_lease_set_by_a_clock_that_ran_ahead_can_be_taken(processes: ShardProcesses) -> None:
    """Redis fails over to a machine whose clock is an hour behind: no relay waits for an hour."""
    await processes.shards.lease(0, "ada", HIGH, 3_600_000)

    assert await processes.shards.lease(0, "grace", LOW, LEASE_MS)


async def test_a_lease_request_leaves_a_blank_shard_blank(valkey: str, database: str, kafka: Kafka) -> None:
    """There is nothing to send, and a new key would look like a shard."""
    processes = ShardProcesses(valkey, database, kafka)

    assert not await processes.shards.lease(0, "ada", HIGH, LEASE_MS)

    async with Redis.from_url(valkey) as redis:
        assert await redis.keys() == []
    await processes.close()


async def test_a_shard_that_does_not_serve_can_be_leased(processes: ShardProcesses) -> None:
    """A take-over waits until the outbox of the shard has been sent."""
    await processes.shards.begin_takeover(0, "token", processes.epoch, also_serving=True)
    await processes.shards.freeze(0, processes.epoch, "HASH_DIFFERS: a test")

    assert await processes.shards.lease(0, "ada", HIGH, LEASE_MS)


@pytest.mark.usefixtures("long_lease")
async def test_a_relay_without_the_lease_sends_nothing(processes: ShardProcesses) -> None:
    """The holder sends the commits, and they need not be sent twice; once it is gone, the other relay sends them."""
    await processes.commit(count=5)
    async with processes.persister.running():
        async with leased_to_another(processes), processes.relaying():
            await eventually(lambda: processes.gauges.times > 6 * SHARDS)  # it had the time to send
            assert await sent_to_kafka(processes) == []
            assert not processes.gauges.shown[0].sends
        async with processes.relaying():
            await eventually(processes.is_drained)


@pytest.mark.usefixtures("long_lease")
async def test_commits_read_before_the_lease_was_lost_are_not_sent(
    processes: ShardProcesses, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A read waits for commits, and meanwhile another relay may have got the lease: that one sends them."""
    read, returned = asyncio.Event(), asyncio.Event()
    read_after = processes.outbox.read_after

    async def read_slowly(shard: int, cursor: CommitId, wait_ms: int) -> Sequence[Commit]:
        commits = await read_after(shard, cursor, wait_ms)
        if commits:
            read.set()
            await eventually(lambda: not processes.gauges.shown[0].sends)
            returned.set()
        return commits

    monkeypatch.setattr(processes.outbox, "read_after", read_slowly)
    async with processes.relaying():
        await eventually(lambda: 0 in processes.gauges.shown and processes.gauges.shown[0].sends)
        await processes.commit()
        await eventually(read.is_set)
        async with leased_to_another(processes):
            await eventually(returned.is_set)
            updates = processes.gauges.times
            await eventually(lambda: processes.gauges.times > updates + 2 * SHARDS)  # it had the time to send

            assert await sent_to_kafka(processes) == []


async def test_a_second_relay_sends_once_the_lease_of_a_dead_one_expires(processes: ShardProcesses) -> None:
    """It did not release its lease, which has to expire first."""
    await processes.shards.lease(0, "the-one-that-died", HIGHEST, int(lease.LEASE_S * 1000))
    async with processes.at_work():
        await processes.commit(count=5)

        await eventually(processes.is_drained)


@pytest.mark.usefixtures("long_lease")
async def test_two_relays_share_the_shards(processes: ShardProcesses) -> None:
    """The one that joins outranks the other and gets the shard; no commit is sent twice once the lease has moved."""
    first, second = sorted(["ada", "grace"], key=lambda name: priority_of(0, name))
    joined = Gauges()
    # No stall timeout: neither resends where the ledger is slow to apply.
    async with processes.persister.running(), processes.relaying(first, stall_timeout_s=60):
        await processes.commit(count=5)
        await eventually(processes.is_drained)
        await eventually(lambda: processes.gauges.shown[0].sends)

        async with processes.relaying(second, joined, stall_timeout_s=60):
            await eventually(
                lambda: 0 in joined.shown and not processes.gauges.shown[0].sends and joined.shown[0].sends
            )
            after = (await processes.commit(count=20)).seq - 20
            await eventually(processes.is_drained)

        await processes.commit(count=5)
        await eventually(processes.is_drained)  # the first continues after the other has ended

    times = Counter(commit.seq for commit in await sent_to_kafka(processes))
    assert {times[seq] for seq in range(after + 1, after + 21)} == {1}
    assert await journal_of(processes) == [(processes.epoch, seq) for seq in range(1, after + 26)]


async def test_commits_sent_by_two_relays_are_applied_once(processes: ShardProcesses) -> None:
    """Each sends everything, and the ledger applies each commit once."""
    processes.shards = GrantsEveryLease(processes.connections)

    async def is_sent_by_both() -> bool:
        times = Counter(commit.seq for commit in await sent_to_kafka(processes))
        return all(times[seq] > 1 for seq in range(1, 31))

    async with processes.relaying(), processes.relaying():
        await processes.commit(count=30)
        await eventually(is_sent_by_both)
        async with processes.persister.running():
            await eventually(processes.is_drained)

    assert await journal_of(processes) == [(processes.epoch, seq) for seq in range(1, 31)]


async def test_a_relay_without_kafka_yields_its_shards(processes: ShardProcesses) -> None:
    """It reaches Redis, and would otherwise renew its lease for ever while the relay with Kafka waits."""
    healthy, cut_off = sorted(["ada", "grace"], key=lambda name: priority_of(0, name))
    kafka, processes.kafka = processes.kafka, Kafka(CLOSED_PORT)
    async with processes.relaying(cut_off):
        processes.kafka = kafka
        async with processes.persister.running(), processes.relaying(healthy, Gauges()):
            await processes.commit(count=5)

            await eventually(processes.is_drained)


@pytest.mark.usefixtures("long_lease")
async def test_a_relay_whose_kafka_is_back_keeps_its_shards(
    processes: ShardProcesses, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It takes its shards back with the first commits that Kafka confirms, before the time of its yield is over."""
    lower, higher = sorted(["ada", "grace"], key=lambda name: priority_of(0, name))
    monkeypatch.setattr(lease, "FIRST_YIELD_S", 600.0)
    joined = Gauges()
    async with processes.persister.running(), processes.relaying(higher) as dependencies:
        fail_next_publish(dependencies.commits, monkeypatch)
        await processes.commit(count=5)
        await eventually(processes.is_drained)

        async with processes.relaying(lower, joined):
            await eventually(lambda: joined.times > 6 * SHARDS)  # it had the time to ask
            assert not joined.shown[0].sends

    assert "Kafka" in processes.waited_for


@pytest.mark.usefixtures("long_lease")
async def test_the_lease_holder_is_shown_as_sender_throughout_a_take_over(processes: ShardProcesses) -> None:
    """Its window begins anew with the new epoch; it holds the lease all the time, and only it can show the backlog."""
    gauges = SenderHistory()
    async with processes.persister.running(), processes.relaying(gauges=gauges):
        await processes.commit()
        await eventually(processes.is_drained)
        await eventually(lambda: True in gauges.sends)

        await processes.shards.freeze(0, processes.epoch, "HASH_DIFFERS: a test")
        await eventually(lambda: serves_anew(processes))
        updates = len(gauges.sends)
        await eventually(lambda: len(gauges.sends) > updates + 2)

    assert all(gauges.sends[gauges.sends.index(True) :])


class SenderHistory(Gauges):
    """Records of each update whether the relay was shown as the sender of the first shard."""

    def __init__(self) -> None:
        super().__init__()
        self.sends: list[bool] = []

    def show(self, shard: int, backlog: Backlog) -> None:
        super().show(shard, backlog)
        if shard == 0:
            self.sends.append(backlog.sends)


class GrantsEveryLease(RedisShards):
    """Gives the lease to every relay that asks."""

    async def lease(self, shard: int, relay: str, rank: int, ms: int) -> bool:
        await super().lease(shard, relay, rank, ms)
        return True


def fail_next_publish(commits: CommitTopic, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the next publish fail."""
    publish = commits.publish

    async def fail(_shard: int, _commits: Sequence[Commit]) -> None:
        monkeypatch.setattr(commits, "publish", publish)
        raise KafkaUnavailable("cut off")

    monkeypatch.setattr(commits, "publish", fail)


@asynccontextmanager
async def leased_to_another(processes: ShardProcesses) -> AsyncIterator[None]:
    """Hold the first shard's lease for a relay that does nothing."""
    lease_ms = int(lease.LEASE_S * 1000)

    async def keep_renewing() -> None:
        while True:
            await asyncio.sleep(RENEW_INTERVAL_S / 10)
            await processes.shards.lease(0, "idle", HIGHEST, lease_ms)

    await processes.shards.lease(0, "idle", HIGHEST, lease_ms)
    renewing = asyncio.create_task(keep_renewing())
    try:
        yield
    finally:
        renewing.cancel()
        await asyncio.gather(renewing, return_exceptions=True)
        await processes.shards.lease(0, "idle", LOW, 0)
