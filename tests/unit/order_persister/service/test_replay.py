"""When a persister reads a partition again, and from where."""

import asyncio
from collections.abc import AsyncGenerator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import cast

import pytest
from prometheus_client import CollectorRegistry

from holdfast_runtime.retry import Outages, Retrier
from order_persister.domain.chain import KafkaRecord, ReadMark, digest_of
from order_persister.domain.shards import Outcome, PartitionState, ShardRow
from order_persister.service import replay
from order_persister.service.apply import LedgerWriter
from order_persister.service.publisher import Publisher
from order_persister.service.replay import RECOGNIZE_INTERVAL_S, Replayer

ROW = ShardRow(1, 5, "", 1, 5, 1, 5, "", read_offset=3, read_digest=b"", seen_epoch=0, seen_seq=0)


class FakeServers:
    """A partition, and a ledger that reads up to `readable`; each read of a record and each replay is kept."""

    def __init__(self, row: ShardRow = ROW) -> None:
        self.row = row
        self.records = [b"record %d" % offset for offset in range(10)]
        self.readable = 10
        self.looked_at: list[int] = []
        self.replayed_from: list[int] = []
        self.now_s = 0.0

    def replayer(self) -> Replayer:
        ledger, publisher = cast(LedgerWriter, self), cast(Publisher, self)
        return Replayer(self, ledger, publisher, self, Retrier(Outages(CollectorRegistry())), lambda: self.now_s)  # type: ignore[arg-type]

    async def check(self, replayer: Replayer, acknowledged: int = 10, end: int = 10) -> None:
        await replayer.check({0: PartitionState(acknowledged, acknowledged, end)})

    async def shard_rows(self, shards: Iterable[int]) -> Mapping[int, ShardRow]:
        return {0: self.row}

    async def end(self, shard: int) -> int:
        return len(self.records)

    async def record_at(self, shard: int, offset: int) -> KafkaRecord | None:
        self.looked_at.append(offset)
        return KafkaRecord(shard, offset, self.records[offset])

    async def records_from(self, shard: int, offset: int) -> AsyncGenerator[Sequence[KafkaRecord], None]:
        self.replayed_from.append(offset)
        yield [KafkaRecord(shard, number, self.records[number]) for number in range(offset, len(self.records))]

    async def apply(self, records: Sequence[KafkaRecord], publish: object) -> list[Outcome]:
        self.row = self.row._replace(read_offset=max(self.row.read_offset, self.readable))
        return []

    async def restart_reading(self, shard: int, mark: ReadMark) -> None:
        self.row = self.row._replace(read_offset=0, read_digest=b"")

    async def publish(self, outcomes: Iterable[Outcome]) -> None:
        pass

    @contextmanager
    def holding_compensations_back(self, shard: int) -> Iterator[None]:
        yield


async def test_a_row_that_has_read_less_than_the_group_reads_on_from_its_mark() -> None:
    """Once it has, there is nothing more to do."""
    servers = FakeServers()
    replayer = servers.replayer()

    await servers.check(replayer)
    await servers.check(replayer)

    assert servers.replayed_from == [3]
    assert servers.row.read_offset == 10


async def test_a_row_that_was_set_back_a_second_time_reads_again() -> None:
    """The operator may try one backup after the other."""
    servers = FakeServers()
    replayer = servers.replayer()
    await servers.check(replayer)

    servers.row = ROW
    await servers.check(replayer)

    assert servers.replayed_from == [3, 3]


async def test_what_was_read_in_vain_is_not_read_all_the_time() -> None:
    """Kafka has deleted what comes next, or a later version wrote it; other commits may be applied meanwhile."""
    servers = FakeServers()
    servers.readable = 0
    replayer = servers.replayer()
    await servers.check(replayer)
    servers.row = servers.row._replace(seq=7)
    await servers.check(replayer)

    servers.row = servers.row._replace(read_offset=5)  # the relay has had it skip what was deleted
    await servers.check(replayer)

    assert servers.replayed_from == [3, 5]


async def test_what_was_read_in_vain_is_read_again_later() -> None:
    """A later version may run by then. Each pause is twice as long as the one before."""
    servers = FakeServers()
    servers.readable = 0
    replayer = servers.replayer()

    for now_s in range(15):
        servers.now_s = now_s
        await servers.check(replayer)

    assert servers.replayed_from == [3] * 4  # at 0, 2, 6 and 14 s


async def test_a_row_that_was_set_back_during_a_replay_reads_again() -> None:
    """The replay ends short of the partition's end, for its later records came after the backup was restored."""
    servers = FakeServers()
    servers.readable = 6
    replayer = servers.replayer()
    await servers.check(replayer)
    servers.readable = 10
    await servers.check(replayer)

    assert servers.replayed_from == [3, 6]
    assert servers.row.read_offset == 10


async def test_a_frozen_row_reads_nothing_until_it_is_thawed() -> None:
    """It would take nothing."""
    servers = FakeServers(ROW._replace(frozen_reason="LEDGER_BROKEN: a test"))
    replayer = servers.replayer()
    await servers.check(replayer)
    assert servers.replayed_from == []

    servers.row = ROW
    await servers.check(replayer)

    assert servers.replayed_from == [3]


@pytest.mark.parametrize(("row_offset", "restarts"), [(10, False), (11, True)])
async def test_a_partition_that_ends_below_the_mark_was_made_anew(row_offset: int, restarts: bool) -> None:
    """Its end is asked for again, because under load it has grown since it was read."""
    servers = FakeServers(ROW._replace(read_offset=row_offset))

    await servers.check(servers.replayer(), acknowledged=9, end=9)

    assert servers.replayed_from == ([0] if restarts else [])


async def test_a_row_that_does_not_move_is_compared_with_its_topic_from_time_to_time() -> None:
    """A topic may be made anew while nothing is written to it, and have as many records again by the next check."""
    servers = FakeServers(ROW._replace(read_offset=10, read_digest=digest_of(b"record 9")))
    replayer = servers.replayer()
    await servers.check(replayer)
    await servers.check(replayer)
    assert servers.looked_at == [9]

    servers.records = [b"another %d" % offset for offset in range(10)]
    servers.now_s += RECOGNIZE_INTERVAL_S
    await servers.check(replayer)

    assert servers.replayed_from == [0]


async def test_a_row_that_reads_on_is_not_compared_with_its_topic() -> None:
    """A persister reads that topic, so the last record that was read is one of its own."""
    servers = FakeServers(ROW._replace(read_offset=9, read_digest=digest_of(b"record 8")))
    replayer = servers.replayer()
    await servers.check(replayer, acknowledged=9)

    servers.row = servers.row._replace(read_offset=10, read_digest=digest_of(b"record 9"))
    servers.now_s += RECOGNIZE_INTERVAL_S
    await servers.check(replayer)

    assert servers.looked_at == [8]


async def test_a_partition_that_cannot_be_read_holds_up_no_other_shard(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its broker may be away for hours, and the others' take-overs wait for their rows to be read."""
    monkeypatch.setattr(replay, "CHECK_S", 0.01)
    servers, never = TwoShards(), asyncio.Event()
    servers.unreadable = never
    replayer = servers.replayer()

    await servers.check_both(replayer)
    await servers.check_both(replayer)

    assert servers.replayed == {0: [3], 1: [3]}
    await replayer.close()


class TwoShards(FakeServers):
    """Two partitions; the first one's records come only once `unreadable` is set."""

    unreadable: asyncio.Event

    def __init__(self) -> None:
        super().__init__()
        self.replayed: dict[int, list[int]] = {0: [], 1: []}
        self.rows = {0: ROW, 1: ROW}

    async def check_both(self, replayer: Replayer) -> None:
        await replayer.check(dict.fromkeys((0, 1), PartitionState(10, 10, 10)))

    async def shard_rows(self, shards: Iterable[int]) -> Mapping[int, ShardRow]:
        return {shard: self.rows[shard] for shard in shards}

    async def records_from(self, shard: int, offset: int) -> AsyncGenerator[Sequence[KafkaRecord], None]:
        self.replayed[shard].append(offset)
        if shard == 0:
            await self.unreadable.wait()
        self.rows[shard] = self.rows[shard]._replace(read_offset=10)
        yield []
