"""What `holdfast topics` makes of a Kafka that lacks some topics or has them otherwise."""

from collections.abc import Mapping

import structlog

from inventory_service.domain.shards import TopicPlan
from inventory_service.entrypoints.commands import topics

NAMES, SHARDS = ("commits", "progress"), 16


class FakeKafka:
    """A list of topics that keeps what it is told to make."""

    def __init__(self, **found: int) -> None:
        self.found = found
        self.made: list[TopicPlan] = []

    async def partitions(self) -> Mapping[str, int]:
        return self.found

    async def create(self, plan: TopicPlan) -> None:
        self.made.append(plan)


async def prepare(kafka: FakeKafka, replication: int = 1) -> int:
    """The exit code."""
    return await topics.run(kafka, NAMES, SHARDS, replication, structlog.get_logger())


async def test_what_is_missing_is_made_with_a_partition_for_every_shard() -> None:
    """A shard without its partition could not tell the ledger anything; what exists is left alone."""
    kafka = FakeKafka(commits=SHARDS)

    code = await prepare(kafka)

    assert code == 0
    assert [(plan.name, plan.partitions, plan.replication) for plan in kafka.made] == [("progress", SHARDS, 1)]


async def test_a_record_outlives_a_backup_interval_and_a_broker() -> None:
    """A restored ledger reads again what it lost; where there are three brokers, a record lies on two of them."""
    kafka = FakeKafka()

    await prepare(kafka, replication=3)

    week_ms = str(7 * 24 * 3600 * 1000)
    assert {(plan.settings["retention.ms"], plan.settings["min.insync.replicas"]) for plan in kafka.made} == {
        (week_ms, "2")
    }


async def test_nothing_is_made_beside_a_topic_of_another_layout() -> None:
    """Whoever has to mend it finds everything as it was."""
    kafka = FakeKafka(commits=SHARDS // 2)

    code = await prepare(kafka)

    assert (code, kafka.made) == (1, [])
