"""What `holdfast topics` makes of a Kafka that lacks some topics or has them otherwise."""

import json
from collections.abc import Mapping, Sequence

import structlog
from structlog.testing import capture_logs

from inventory_service.domain.shards import TopicSpec
from inventory_service.server_checks.results import CheckResult, Level
from inventory_service.service import topics

NAMES, SHARDS = ("commits", "progress"), 16
SHORT = CheckResult(
    "Kafka", "commits retention.ms", "1000", Level.FAIL, "records go after 1 second", "kafka-configs.sh"
)
FINE = CheckResult("Kafka", "commits retention.bytes", "-1", Level.OK, "no record goes for want of room")


class FakeKafka:
    """A list of topics that keeps what it is told to make."""

    def __init__(self, brokers: int = 1, results: Sequence[CheckResult] = (), **found: int) -> None:
        self.found = found
        self.made: list[TopicSpec] = []
        self._brokers = brokers
        self._findings = results

    async def partitions(self) -> Mapping[str, int]:
        return self.found

    async def create(self, spec: TopicSpec) -> None:
        self.made.append(spec)

    async def brokers(self) -> int:
        return self._brokers

    async def run_checks(self) -> Sequence[CheckResult]:
        return self._findings


async def prepare(kafka: FakeKafka, replication: int | None = None, told: list[str] | None = None) -> int:
    """The exit code."""
    tell = None if told is None else told.append
    parts = topics.Dependencies(kafka, kafka.brokers, kafka.run_checks, structlog.get_logger(), tell)
    return await topics.run(parts, NAMES, SHARDS, replication)


async def test_what_is_missing_is_made_with_a_partition_for_every_shard() -> None:
    """A shard without its partition could not tell the ledger anything; what exists is left alone."""
    kafka = FakeKafka(commits=SHARDS)

    code = await prepare(kafka)

    assert code == 0
    assert [(plan.name, plan.partitions, plan.replication) for plan in kafka.made] == [("progress", SHARDS, 1)]


async def test_a_record_outlives_a_backup_interval_and_a_broker() -> None:
    """A restored ledger reads again what it lost; where there are three brokers, a record lies on two of them."""
    kafka = FakeKafka(brokers=5)

    await prepare(kafka)

    week_ms = str(7 * 24 * 3600 * 1000)
    planned = {
        (plan.replication, plan.settings["retention.ms"], plan.settings["min.insync.replicas"]) for plan in kafka.made
    }
    assert planned == {(3, week_ms, "2")}


async def test_copies_are_as_many_as_was_asked_for() -> None:
    """Whoever names a number knows their cluster; one copy cannot have two that confirm."""
    kafka = FakeKafka(brokers=5)

    await prepare(kafka, replication=1)

    assert {(plan.replication, plan.settings["min.insync.replicas"]) for plan in kafka.made} == {(1, "1")}


async def test_nothing_is_made_beside_a_topic_of_another_layout() -> None:
    """Whoever has to mend it finds everything as it was."""
    kafka = FakeKafka(commits=SHARDS // 2)

    code = await prepare(kafka)

    assert (code, kafka.made) == (1, [])


async def test_a_topic_that_is_set_otherwise_is_named_with_the_command_that_mends_it() -> None:
    """It is not changed: somebody may have had a reason, and a retention that shrank has lost its records already."""
    kafka = FakeKafka(results=[SHORT, FINE], commits=SHARDS, progress=SHARDS)
    told: list[str] = []

    with capture_logs() as said:
        code = await prepare(kafka, told=told)

    assert (code, kafka.made) == (1, [])
    assert [event["change"] for event in said if event["event"] == "server_check_fail"] == ["kafka-configs.sh"]
    report = json.loads(told[0])
    assert (report["in_order"], [finding["setting"] for finding in report["off"]]) == (False, [SHORT.setting])


async def test_a_kafka_that_tells_no_settings_is_said_to_tell_none() -> None:
    """Nothing is known to be wrong, so that it is no failure; but nobody may think that all was looked at."""
    untold = FINE._replace(value="?", level=Level.UNKNOWN, promise="Kafka does not tell")
    kafka = FakeKafka(results=[untold, untold], commits=SHARDS, progress=SHARDS)

    with capture_logs() as said:
        code = await prepare(kafka)

    assert code == 0
    assert [(event["count"], event["why"]) for event in said if event["event"] == "server_check_unknown"] == [
        (2, "Kafka does not tell")
    ]
