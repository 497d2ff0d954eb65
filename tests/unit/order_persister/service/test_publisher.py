"""When a persister publishes a shard's progress without a batch."""

from collections.abc import Iterable, Mapping, Sequence
from typing import cast

import pytest
from holdfast.inventory.v1.events_pb2 import LedgerProgress
from prometheus_client import CollectorRegistry

from order_persister.domain.ports import Message, UnpublishedRecords
from order_persister.domain.shards import ShardRow
from order_persister.metrics import PublishMetrics
from order_persister.service.publisher import IDLE_INTERVAL_S, Publisher

ROW = ShardRow(1, 5, "hash", 1, 5, facts_epoch=1, facts_seq=5, frozen_reason="", read_offset=7, read_digest=b"",
               seen_epoch=0, seen_seq=0)  # fmt: skip


class FakeLedger:
    """A ledger that has published all but progress."""

    row = ROW

    async def shard_rows(self, shards: Iterable[int]) -> Mapping[int, ShardRow]:
        return dict.fromkeys(shards, self.row)

    async def open_compensations(self, shards: Iterable[int]) -> Mapping[int, tuple[int, int]]:
        return {}


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
