"""Publishes commits to Kafka; the ledger ignores duplicates."""

import asyncio
from collections.abc import Sequence

from aiokafka import AIOKafkaProducer

from holdfast_runtime.kafka import COMMITS, LARGEST_RECORD, KafkaConfig, stop
from inventory_service.adapters.kafka.clients import REQUEST_TIMEOUT_MS, kafka_errors, start
from inventory_service.adapters.kafka.runs import runs_from_commits
from inventory_service.domain.shards import Commit, KafkaUnavailable

PUBLISH_TIMEOUT_S = 15.0


class KafkaCommits:
    """Publishes runs of commits; each is confirmed by every in-sync replica before `publish` returns.

    A producer that failed is replaced, because an idempotent one may have lost its sequence numbers for good.
    """

    def __init__(self, config: KafkaConfig, idempotent: bool = True) -> None:
        self._config = config
        self._idempotent = idempotent
        self._producer: AIOKafkaProducer | None = None
        self._starting = asyncio.Lock()

    async def publish(self, shard: int, commits: Sequence[Commit]) -> None:
        producer, key = await self._started(), str(shard).encode()
        try:
            with kafka_errors():
                async with asyncio.timeout(PUBLISH_TIMEOUT_S):
                    sent = [
                        await producer.send(self._config.named(COMMITS), run.value, key=key, partition=shard)
                        for run in runs_from_commits(shard, commits)
                    ]
                    await asyncio.gather(*sent)
        except KafkaUnavailable:
            await self._discard(producer)
            raise

    async def close(self) -> None:
        if self._producer is not None:
            await self._discard(self._producer)

    async def _started(self) -> AIOKafkaProducer:
        async with self._starting:
            if self._producer is None:
                producer = AIOKafkaProducer(
                    **self._config.options(),
                    acks="all",
                    enable_idempotence=self._idempotent,
                    linger_ms=0,
                    max_request_size=LARGEST_RECORD,
                    request_timeout_ms=REQUEST_TIMEOUT_MS,
                )
                await start(producer)
                self._producer = producer
            return self._producer

    async def _discard(self, producer: AIOKafkaProducer) -> None:
        if self._producer is producer:
            self._producer = None
            await stop(producer)
