"""Wires the persister: the ledger, Kafka and the steps between them, as one Faust app."""

import faust
from prometheus_client import CollectorRegistry

from order_persister.adapters.kafka.access import kafka_access
from order_persister.adapters.kafka.agent import (
    COMMITS_TOPIC,
    GROUP,
    add_agent,
    assigned_partitions,
    assigned_shards,
    new_app,
    repeat,
)
from order_persister.adapters.kafka.metadata import disable_topic_auto_creation
from order_persister.adapters.kafka.partitions import Partitions
from order_persister.adapters.kafka.producer import Sender
from order_persister.adapters.kafka.topic_reset import restart_if_topic_was_reset
from order_persister.adapters.ledger.postgres import Database
from order_persister.adapters.ledger.queries import load_queries
from order_persister.adapters.ledger.transaction import PostgresLedger
from order_persister.adapters.ledger.unpublished import Unpublished
from order_persister.metrics import LedgerMetrics, PublishMetrics
from order_persister.patience import Patience
from order_persister.service.apply import LedgerWriter
from order_persister.service.publisher import Publisher
from order_persister.service.replay import Replayer
from order_persister.settings import Settings

# Publishing does not wait for the next batch.
PUBLISH_INTERVAL_S = 1.0
REPLAY_INTERVAL_S = 2.0
RESET_CHECK_INTERVAL_S = 2.0


def build_app(settings: Settings, registry: CollectorRegistry, patience: Patience) -> faust.App:
    """The app, wired; nothing connects before it starts, and what connects is closed when it ends."""
    disable_topic_auto_creation()
    access = kafka_access(settings)
    app = new_app(access, settings)
    database, queries = Database(settings.postgres_dsn), load_queries()
    sender = Sender(access, patience)
    app.async_exit_stack.push_async_callback(database.close)
    app.async_exit_stack.push_async_callback(sender.close)

    ledger = LedgerWriter(PostgresLedger(database, queries), LedgerMetrics(registry), patience)
    unpublished = Unpublished(database, queries, patience)
    publisher = Publisher(unpublished, sender.send, PublishMetrics(registry))
    replayer = Replayer(Partitions(access, COMMITS_TOPIC, GROUP), ledger, publisher.publish, unpublished, patience)

    async def restart_if_reset() -> None:
        await restart_if_topic_was_reset(app, assigned_partitions(app))

    add_agent(app, ledger, replayer, publisher)
    repeat(app, PUBLISH_INTERVAL_S, lambda: publisher.publish_due(assigned_shards(app)))
    repeat(app, REPLAY_INTERVAL_S, lambda: replayer.replay_where_ledger_went_back(assigned_shards(app)))
    repeat(app, RESET_CHECK_INTERVAL_S, lambda: patience.wait_out("kafka", restart_if_reset))
    return app
