"""What a persister publishes from a real ledger, which may lose its last commits by a fail-over or a restore."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

import pytest
from holdfast.inventory.v1.events_pb2 import Compensation
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from bench.commits import HELD, RELEASED
from holdfast_runtime.kafka import COMPENSATIONS, ORDERS, SALES
from holdfast_runtime.retry import Outages, Retrier
from order_persister.adapters.ledger import unpublished
from order_persister.adapters.ledger.postgres import Database
from order_persister.adapters.ledger.queries import ledger_queries
from order_persister.adapters.ledger.unpublished import Unpublished
from order_persister.domain.ports import Message
from order_persister.metrics import PublishMetrics
from order_persister.service.publisher import Publisher
from tests.integration.one_shard_ledger import OneShardLedger
from tests.ledgers import block_buyer

MAKE_DUE = "update compensation set next_send_time = now()"
# To before the shard's second commit, which made a sale.
LOSE_COMMIT = ("delete from sale where sale_id = 'lost'", "delete from journal where seq = 2")
UNKNOWN_FIELD = b"\xfa\x7f\x00"  # an empty field of number 2047


@dataclass
class Published:
    """A publisher of the ledger, and what it has sent."""

    publisher: Publisher
    registry: CollectorRegistry
    sent: list[Message] = field(default_factory=list)

    def to(self, topic: str) -> list[Message]:
        return [message for message in self.sent if message.topic == topic]

    def stalled(self) -> float | None:
        return self.registry.get_sample_value("holdfast_ledger_compensations_stalled", {"shard": "0"})


@pytest.fixture
async def published(one_shard: OneShardLedger, database: str) -> AsyncIterator[Published]:
    """A publisher of the ledger of one shard."""
    store, registry, sent = Database(database), CollectorRegistry(), list[Message]()

    async def send(messages: Sequence[Message]) -> None:
        sent.extend(messages)

    unpublished = Unpublished(store, ledger_queries(), Retrier(Outages(registry)))
    yield Published(Publisher(unpublished, send, PublishMetrics(registry)), registry, sent)
    await store.close()


async def test_facts_of_commits_that_the_ledger_loses_and_applies_again_are_sent(
    one_shard: OneShardLedger, published: Published
) -> None:
    """A persister that has applied a commit may publish from a replica, or from a backup, that never had it."""
    kept = await one_shard.apply_new()
    await published.publisher.publish([kept])
    lost = one_shard.shard.open_sale("lost")
    outcome = await one_shard.apply_new()
    for statement in LOSE_COMMIT:
        await one_shard.db.execute(statement)
    await one_shard.db.execute("update shard_watermark set seq = 1, hash = $1", kept.row.hash)
    published.sent.clear()

    await published.publisher.publish([outcome])
    assert published.to(SALES) == []
    await published.publisher.publish([await one_shard.apply_commits(lost)])

    assert [message.key for message in published.to(SALES)] == [b"default/lost"]


async def test_a_compensation_that_was_sent_often_is_logged_once_and_counted_until_it_is_done(
    one_shard: OneShardLedger, published: Published
) -> None:
    """Redis may never have had the reservation, or no longer; nothing but a person can end such an order."""
    await block_buyer(one_shard.db, "bob")
    one_shard.shard.moves(("r-1", HELD), buyer="bob")
    outcome = await one_shard.apply_new()

    for _ in range(2):
        await published.publisher.publish([outcome])  # which sends nothing again
        await one_shard.db.execute(MAKE_DUE)
    with capture_logs() as logged:
        for _ in range(11):
            await one_shard.db.execute(MAKE_DUE)
            await published.publisher.publish_due([0])
    await published.publisher.publish_due([0])

    assert len(published.to(COMPENSATIONS)) == 12
    told = [event for event in logged if event["event"] == "compensation_stalled"]
    assert [(event["reservation"], event["sent"], event["log_level"]) for event in told] == [("r-1", 10, "warning")]
    assert published.stalled() == 1

    one_shard.shard.moves(("r-1", RELEASED))
    await one_shard.apply_new()
    await published.publisher.publish_due([0])

    assert published.stalled() == 0


async def test_facts_of_what_a_later_version_has_applied_wait_for_it(
    one_shard: OneShardLedger, published: Published
) -> None:
    """Facts without what this version does not know would be sent once, and never again as they are."""
    await one_shard.apply_new()
    change = one_shard.shard.open_sale("second")
    await one_shard.apply_new()
    await one_shard.db.execute("update journal set payload = $1 where seq = 2", change.payload + UNKNOWN_FIELD)

    with capture_logs() as logged:
        for _ in range(2):
            await published.publisher.publish_due([0])

    assert [message.key for message in published.to(SALES)] == [b"default/lamp-sale"]
    assert await one_shard.db.fetchval("select facts_seq from shard_watermark") == 1
    assert [event["after"] for event in logged if event["event"] == "facts_unknown"] == ["1-1"]


async def test_an_order_that_a_later_version_refused_is_left_to_it_and_stops_nothing(
    one_shard: OneShardLedger, published: Published, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not sent, nor counted as such, and the next one is; its end is booked, and its reason kept."""
    await block_buyer(one_shard.db, "bob")
    one_shard.shard.moves(("r-1", HELD), buyer="bob")
    await one_shard.apply_new()
    await one_shard.db.execute("update dead_letter set reason = 'OF_A_LATER_VERSION'")
    one_shard.shard.moves(("r-2", HELD), buyer="bob")
    await one_shard.apply_new()
    monkeypatch.setattr(unpublished, "MAX_COMPENSATIONS", 1)

    await published.publisher.publish_due([0])
    sent = await one_shard.db.fetch("select sent_count from compensation order by created_seq")
    one_shard.shard.moves(("r-1", RELEASED))
    await one_shard.apply_new()

    assert [Compensation.FromString(message.value).reservation_id for message in published.to(COMPENSATIONS)] == ["r-2"]
    assert [row["sent_count"] for row in sent] == [0, 1]
    assert published.to(ORDERS) == []
    assert await one_shard.reservation("r-1") == ("RELEASED", "REFUSED", "OF_A_LATER_VERSION")
    assert (await one_shard.dead_letters())[0] == ("r-1", "OF_A_LATER_VERSION", "SETTLED", "RELEASED")
