"""`holdfast topics` on a Kafka that lacks some topics or has them with other settings."""

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
    """A cluster that keeps the topics that are created."""

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


async def prepare(kafka: FakeKafka, replication: int | None = None, printed: list[str] | None = None) -> int:
    """The exit code."""
    write = None if printed is None else printed.append
    dependencies = topics.Dependencies(kafka, kafka.brokers, kafka.run_checks, structlog.get_logger(), write)
    return await topics.run(dependencies, NAMES, SHARDS, replication)


async def test_a_missing_topic_is_created_with_a_partition_for_every_shard() -> None:
    """The commits of a shard go to its partition; existing topics stay as they are."""
    kafka = FakeKafka(commits=SHARDS)

    code = await prepare(kafka)

    assert code == 0
    assert [(plan.name, plan.partitions, plan.replication) for plan in kafka.made] == [("progress", SHARDS, 1)]


async def test_a_created_topic_keeps_records_for_a_week_and_on_two_brokers() -> None:
    """A restored ledger reads the commits that it lost; with three brokers a record is confirmed by two."""
    kafka = FakeKafka(brokers=5)

    await prepare(kafka)

    week_ms = str(7 * 24 * 3600 * 1000)
    planned = {
        (plan.replication, plan.settings["retention.ms"], plan.settings["min.insync.replicas"]) for plan in kafka.made
    }
    assert planned == {(3, week_ms, "2")}


async def test_the_replication_factor_can_be_given() -> None:
    """A single replica cannot have a `min.insync.replicas` of two."""
    kafka = FakeKafka(brokers=5)

    await prepare(kafka, replication=1)

    assert {(plan.replication, plan.settings["min.insync.replicas"]) for plan in kafka.made} == {(1, "1")}


async def test_no_topic_is_created_if_one_has_another_number_of_partitions() -> None:
    """The operator who corrects it finds everything as it was."""
    kafka = FakeKafka(commits=SHARDS // 2)

    code = await prepare(kafka)

    assert (code, kafka.made) == (1, [])


async def test_a_topic_with_another_setting_is_named_with_the_command_that_corrects_it() -> None:
    """It is not changed: the setting may be intended, and a shorter retention has already deleted records."""
    kafka = FakeKafka(results=[SHORT, FINE], commits=SHARDS, progress=SHARDS)
    printed: list[str] = []

    with capture_logs() as logged:
        code = await prepare(kafka, printed=printed)

    assert (code, kafka.made) == (1, [])
    assert [event["change"] for event in logged if event["event"] == "server_check_fail"] == ["kafka-configs.sh"]
    report = json.loads(printed[0])
    assert (report["in_order"], [finding["setting"] for finding in report["off"]]) == (False, [SHORT.setting])


async def test_a_kafka_that_reports_no_settings_is_success_with_a_remark() -> None:
    """Nothing is known to be wrong, so it is no failure; but the output must say that nothing was checked."""
    unreported = FINE._replace(value="?", level=Level.UNKNOWN, promise="Kafka does not report it")
    kafka = FakeKafka(results=[unreported, unreported], commits=SHARDS, progress=SHARDS)

    with capture_logs() as logged:
        code = await prepare(kafka)

    assert code == 0
    assert [(event["count"], event["why"]) for event in logged if event["event"] == "server_check_unknown"] == [
        (2, "Kafka does not report it")
    ]
