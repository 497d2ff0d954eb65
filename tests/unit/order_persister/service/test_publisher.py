"""When a persister publishes a shard's progress without a batch."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import cast

import pytest
from holdfast.inventory.v1.events_pb2 import Compensation, LedgerProgress
from prometheus_client import CollectorRegistry

from holdfast_runtime.kafka import COMPENSATIONS, ORDERS, PROGRESS, SALES
from order_persister.domain.facts import Fact, NextFacts
from order_persister.domain.ports import Message, UnpublishedRecords
from order_persister.domain.shards import Outcome, ShardRow
from order_persister.metrics import PublishMetrics
from order_persister.service.publisher import IDLE_INTERVAL_S, Publisher
from tests.waiting import LONG_S

ROW = ShardRow(1, 5, "hash", 1, 5, facts_epoch=1, facts_seq=5, frozen_reason="", read_offset=7, read_digest=b"",
               seen_epoch=0, seen_seq=0)  # fmt: skip


class FakeLedger:
    """A ledger of one shard, by default with all published but progress."""

    row = ROW
    facts = NextFacts([], [], (1, 4), (1, 5))
    due: Sequence[Compensation] = ()

    def __init__(self) -> None:
        self.asked_for_new: list[bool] = []

    async def shard_rows(self, shards: Iterable[int]) -> Mapping[int, ShardRow]:
        return dict.fromkeys(shards, self.row)

    async def next_facts(self, shard: int, applied: object = ()) -> NextFacts | None:
        return self.facts if self.row.facts_position < self.row.position else None

    async def record_published(self, shard: int, facts: NextFacts) -> bool:
        is_mark = self.row.facts_position == facts.mark
        if is_mark:
            self.row = self.row._replace(facts_epoch=facts.last[0], facts_seq=facts.last[1])
        return is_mark

    async def due_compensations(self, shard: int, only_new: bool) -> Sequence[Compensation]:
        self.asked_for_new.append(only_new)
        return self.due

    async def open_compensations(self, shards: Iterable[int]) -> Mapping[int, tuple[int, int]]:
        return {shard: (len(self.due), 0) for shard in shards if self.due}


@pytest.mark.parametrize("unconfirmed", [ORDERS, SALES])
async def test_the_facts_mark_rises_once_both_topics_have_confirmed(unconfirmed: str) -> None:
    """What one of them lacks is sent again, to both: facts carry their position."""
    ledger, sent, down = FakeLedger(), list[tuple[str, bytes]](), [unconfirmed]
    ledger.row = ROW._replace(facts_seq=4)
    ledger.facts = ledger.facts._replace(orders=[Fact(b"order", b"1")], sales=[Fact(b"sale", b"2")])

    async def send(messages: Sequence[Message]) -> None:
        if messages[0].topic in down:
            raise ConnectionError
        sent.extend((one.topic, one.value) for one in messages if one.topic != PROGRESS)

    publishes = Publisher(cast(UnpublishedRecords, ledger), send, PublishMetrics(CollectorRegistry()))
    with pytest.raises(ConnectionError):
        await publishes.publish_due([0])
    assert ledger.row.facts_seq == 4

    down.clear()
    sent.clear()
    await publishes.publish_due([0])

    assert sorted(sent) == [(ORDERS, b"1"), (SALES, b"2")]
    assert ledger.row.facts_seq == 5


async def test_facts_are_sent_once_a_call_while_the_mark_does_not_rise() -> None:
    """The ledger was set back between the reading and the sending; what it has now is read at the next call."""
    ledger, sent = FakeLedger(), list[str]()
    ledger.row = ROW._replace(facts_seq=2)
    ledger.facts = ledger.facts._replace(orders=[Fact(b"order", b"1")])

    async def send(messages: Sequence[Message]) -> None:
        sent.extend(one.topic for one in messages)

    await Publisher(cast(UnpublishedRecords, ledger), send, PublishMetrics(CollectorRegistry())).publish_due([0])

    assert sent == [PROGRESS, ORDERS]
    assert ledger.row.facts_seq == 2


async def test_a_batch_sends_new_compensations_and_each_second_sends_some_that_are_due() -> None:
    """While there are very many, some are always due, and no commit would be applied while all of them are sent."""
    ledger, sent = FakeLedger(), list[str]()
    ledger.due = [Compensation()]

    async def send(messages: Sequence[Message]) -> None:
        await asyncio.sleep(0)
        sent.extend(one.topic for one in messages if one.topic != PROGRESS)

    publishes = Publisher(cast(UnpublishedRecords, ledger), send, PublishMetrics(CollectorRegistry()))
    await asyncio.wait_for(publishes.publish([Outcome(0, ROW, has_refused=True)]), LONG_S)
    await asyncio.wait_for(publishes.publish_due([0]), LONG_S)

    assert ledger.asked_for_new == [True, False]
    assert sent == [COMPENSATIONS, COMPENSATIONS]


async def test_progress_is_published_once_a_change_and_else_every_ten_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    """A relay may have missed the last report; what a take-over has changed is reported soon."""
    now, ledger, sent = [100.0], FakeLedger(), list[tuple[float, int]]()
    monkeypatch.setattr("order_persister.service.publisher.time.monotonic", lambda: now[0])

    async def send(messages: Sequence[Message]) -> None:
        sent.extend((now[0], LedgerProgress.FromString(one.value).epoch) for one in messages)

    publishes = Publisher(cast(UnpublishedRecords, ledger), send, PublishMetrics(CollectorRegistry()))

    for passed_s in range(25):
        now[0] = 100.0 + passed_s
        if passed_s == 3:
            ledger.row = ROW._replace(epoch=2, seq=0, facts_epoch=2, facts_seq=0)
        if passed_s == 5:
            ledger.row = ledger.row._replace(read_offset=9)  # which no relay needs to be told
        await publishes.publish_due([0])

    assert sent == [(100, 1), (103, 2), (103 + IDLE_INTERVAL_S, 2), (103 + 2 * IDLE_INTERVAL_S, 2)]
