"""Consumers that are kept for single records, after aiokafka has stopped fetching for them."""

import pytest
from aiokafka.consumer.fetcher import Fetcher

from holdfast_runtime.connection_errors import TransientError
from holdfast_runtime.kafka import COMMITS
from inventory_service.adapters.kafka import commit_offsets
from inventory_service.adapters.kafka.commit_offsets import KafkaCommitOffsets
from inventory_service.adapters.kafka.commits import KafkaCommits
from inventory_service.domain.shards import Commit, KafkaUnavailable
from order_persister.adapters.kafka import partitions
from order_persister.adapters.kafka.partitions import Partitions
from tests.shared_kafka import Kafka

COMMIT = Commit(1, 1, b"payload", "a" * 40)


async def test_a_kept_consumer_that_has_stopped_fetching_is_replaced(
    kafka: Kafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error that aiokafka does not expect ends its fetching; no take-over and no replay would ever end."""
    commits = KafkaCommits(kafka.config)
    await commits.publish(0, [COMMIT])
    await commits.close()
    of_relay, of_persister = KafkaCommitOffsets(kafka.config), Partitions(kafka.config, kafka.named(COMMITS))
    digest = await of_relay.digest_at(0, 0)
    record = await of_persister.record_at(0, 0)

    async def fail(*_: object) -> bool:
        raise LookupError("a bug")

    with monkeypatch.context() as broken:
        broken.setattr(Fetcher, "_proc_fetch_request", fail)
        for module in (commit_offsets, partitions):
            broken.setattr(module, "REQUEST_TIMEOUT_MS", 500)
        with pytest.raises(KafkaUnavailable):
            await of_relay.digest_at(0, 0)
        with pytest.raises(TransientError):
            await of_persister.record_at(0, 0)

    assert await of_relay.digest_at(0, 0) == digest
    assert await of_persister.record_at(0, 0) == record
    await of_relay.close()
    await of_persister.close()
