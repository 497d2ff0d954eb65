"""Make the topics, or check that those that exist have a partition for every shard. Safe to run again."""

from collections.abc import Sequence

from structlog.typing import FilteringBoundLogger

from inventory_service.domain.shard_ports import TopicAdmin
from inventory_service.domain.shards import TopicPlan, Unreachable

DAY_MS = 24 * 60 * 60 * 1000
# Kafka must still hold what a ledger that was set back to a backup has to read again.
RETENTION_MS = 7 * DAY_MS


async def run(admin: TopicAdmin, names: Sequence[str], shards: int, replication: int, log: FilteringBoundLogger) -> int:
    """The exit code: 0 if all topics are as they must be, 1 if one is not, 2 if Kafka could not be asked."""
    try:
        found = await admin.partitions()
        wrong = [name for name in names if found.get(name, shards) != shards]
        for name in wrong:
            log.error("topic", name=name, partitions=found[name], wanted=shards, todo="set HOLDFAST_SHARDS to match")
        if wrong:
            return 1
        for name in names:
            if name not in found:
                await admin.create(_plan(name, shards, replication))
            log.info("topic", name=name, partitions=shards, made=name not in found)
        return 0
    except Unreachable as error:
        log.error("cannot_ask", server=error.server, why=str(error), todo="start it, or set HOLDFAST_KAFKA_BROKERS")
        return 2


def _plan(name: str, shards: int, replication: int) -> TopicPlan:
    """An acknowledged record is on two brokers at least, wherever there are three."""
    settings = {
        "retention.ms": str(RETENTION_MS),
        "min.insync.replicas": "2" if replication >= 3 else "1",
    }
    return TopicPlan(name, shards, replication, settings)
