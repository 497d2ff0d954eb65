"""A compensation that has no effect is sent again for ever, and an operator is told."""

from collections.abc import Sequence

from holdfast.inventory.v1.events_pb2 import Compensation
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from bench.commits import HELD, RELEASED, FakeShard
from holdfast_runtime.kafka import COMPENSATIONS
from holdfast_runtime.retry import Outages, Retrier
from order_persister.adapters.ledger.postgres import Database
from order_persister.adapters.ledger.queries import ledger_queries
from order_persister.adapters.ledger.unpublished import Unpublished
from order_persister.domain.chain import KafkaRecord
from order_persister.domain.ports import Message
from order_persister.metrics import PublishMetrics
from order_persister.service.publisher import Publisher
from tests.ledgers import block_buyer, ledger_in, open_shards
from tests.servers import connected

MAKE_DUE = "update compensation set next_send_time = now()"


async def test_a_compensation_that_was_sent_often_is_logged_once_and_counted_until_it_is_done(database: str) -> None:
    """Redis may never have had the reservation, or no longer; nothing but a person can end such an order."""
    sent: list[Compensation] = []

    async def send(messages: Sequence[Message]) -> None:
        sent.extend(Compensation.FromString(one.value) for one in messages if one.topic == COMPENSATIONS)

    registry, store, shard = CollectorRegistry(), Database(database), FakeShard()
    unpublished = Unpublished(store, ledger_queries(), Retrier(Outages(registry)))
    publisher = Publisher(unpublished, send, PublishMetrics(registry))

    def stalled() -> float | None:
        return registry.get_sample_value("holdfast_ledger_compensations_stalled", {"shard": "0"})

    async with connected(database) as db:
        await open_shards(db, [0])
        await block_buyer(db, "bob")
        shard.open_sale(lamp=1)
        shard.moves(("r-1", HELD), buyer="bob")
        await ledger_in(store).apply([KafkaRecord(0, 0, shard.run(0))])

        with capture_logs() as logged:
            for _ in range(12):
                await db.execute(MAKE_DUE)
                await publisher.publish_due([0])
        await publisher.publish_due([0])

        assert len(sent) == 12
        told = [event for event in logged if event["event"] == "compensation_stalled"]
        assert [(event["reservation"], event["sent"], event["log_level"]) for event in told] == [("r-1", 10, "warning")]
        assert stalled() == 1

        shard.moves(("r-1", RELEASED))
        await ledger_in(store).apply([KafkaRecord(0, 1, shard.run(2))])
        await publisher.publish_due([0])

        assert stalled() == 0
    await store.close()
