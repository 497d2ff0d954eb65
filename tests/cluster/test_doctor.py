"""The doctor's checks of a cluster of three brokers whose settings break promises."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from confluent_kafka.admin import (
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)
from holdfast_embedded.broker import TOPICS

from inventory_service.server_checks.results import CheckResult, Level
from inventory_service.settings import Settings
from inventory_service.wiring import server_checks
from tests.inventory_server import run_process
from tests.persister_process import persisters
from tests.real.apache_kafka import Listener
from tests.real.kafka_cluster import NODES, KafkaCluster
from tests.waiting import eventually

pytestmark = pytest.mark.timeout(300)
SHARDS = 4
CHECKS_S = 120.0  # each check asks three brokers on one machine, and gives up after some seconds
COMMITS, PROGRESS, COMPENSATIONS, FACTS, SALES = (
    "holdfast.commits.v1",
    "holdfast.ledger-progress.v1",
    "holdfast.compensations.v1",
    "holdfast.orders.v1",
    "holdfast.sales.v1",
)
# Each of these alone breaks a promise; every topic has them, for it has no settings of its own.
BROKEN = {
    "min.insync.replicas": "1",
    "log.retention.ms": "3600000",
    "log.retention.bytes": "1000000",
    "unclean.leader.election.enable": "true",
    "message.max.bytes": "1048588",
    "offsets.topic.replication.factor": "1",
    "group.min.session.timeout.ms": "20000",
    "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
    "allow.everyone.if.no.acl.found": "true",
    "super.users": "User:ANONYMOUS",  # the brokers themselves, whose listener has no authentication
}
LOGIN = 'org.apache.kafka.common.security.plain.PlainLoginModule required user_clerk="secret";'
LISTENER = Listener("SASL_PLAINTEXT", {"sasl.enabled.mechanisms": "PLAIN", "plain.sasl.jaas.config": LOGIN})
CREDENTIALS = {
    "HOLDFAST_KAFKA_SECURITY": "SASL_PLAINTEXT",
    "HOLDFAST_KAFKA_USERNAME": "clerk",
    "HOLDFAST_KAFKA_PASSWORD": "secret",
}
SETTINGS_OF_EVERY_TOPIC = ["min.insync.replicas"]
SETTINGS_OF_RECORD_TOPICS = ["retention.ms", "retention.bytes", "unclean.leader.election.enable"]


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaCluster]:
    """Three brokers with broken settings, and topics with three copies that were made by hand."""
    cluster = KafkaCluster(tmp_path_factory.mktemp("kafka"), listener=LISTENER, settings=BROKEN)
    try:
        cluster.start()
        cluster.admin.create_topics(TOPICS, SHARDS, NODES, **{"max.message.bytes": "1048588"})
        yield cluster
    finally:
        cluster.end()


async def run_checks(cluster: KafkaCluster) -> Sequence[CheckResult]:
    """The results of the Kafka checks."""
    settings = Settings(
        kafka_brokers=cluster.address,
        kafka_security="SASL_PLAINTEXT",
        kafka_username="clerk",
        kafka_password="secret",
        shards=SHARDS,
    )
    return await server_checks.check_kafka(settings)


def settings_at(findings: Sequence[CheckResult], level: Level) -> list[str]:
    """The settings with this level."""
    return [finding.setting for finding in findings if finding.level is level]


async def test_every_default_of_the_brokers_that_breaks_a_promise_is_reported(broken: KafkaCluster) -> None:
    """A topic without settings of its own has its brokers'."""
    wanted = ["group.min/max.session.timeout.ms", "__consumer_offsets replication"]
    for topic in TOPICS:
        wanted += [f"{topic} {setting}" for setting in SETTINGS_OF_EVERY_TOPIC]
    for topic in (COMMITS, FACTS, SALES):
        wanted += [f"{topic} {setting}" for setting in SETTINGS_OF_RECORD_TOPICS]
    wanted += [f"{COMMITS} max.message.bytes"]

    async def reports_all() -> bool:
        """The broker has the metadata of the topics by now."""
        findings = await run_checks(broken)
        assert sorted(settings_at(findings, Level.FAIL)) == sorted(wanted)
        return f"{PROGRESS} retention.ms" in settings_at(findings, Level.NOTE)

    await eventually(reports_all, CHECKS_S)


async def test_the_commands_that_it_names_correct_the_settings(broken: KafkaCluster) -> None:
    """`holdfast topics` changes no topic and exits with 1; after the commands that it prints every check passes."""
    settings = {"HOLDFAST_KAFKA_BROKERS": broken.address, "HOLDFAST_SHARDS": str(SHARDS), **CREDENTIALS}
    count = len(TOPICS) + len((COMMITS, FACTS, SALES)) * len(SETTINGS_OF_RECORD_TOPICS) + 1

    async def names_all() -> list[tuple[str, str, str]]:
        """Every broker has answered it in time."""
        code, output = await run_process("topics", **settings, HOLDFAST_LOG_FORMAT="json")
        advice = re.findall(r"--entity-name (\S+) --add-config ([a-z.]+)=([^\s\"]+)", "\n".join(output))
        assert (code, len(advice)) == (1, count), output
        return advice

    for topic, setting, value in await eventually(names_all, CHECKS_S):
        broken.admin.set_topic(topic, {setting: value})
    await eventually(lambda: _no_topic_setting_fails(broken), CHECKS_S)


async def _no_topic_setting_fails(cluster: KafkaCluster) -> bool:
    """No check fails because of a topic's setting."""
    off = settings_at(await run_checks(cluster), Level.FAIL)
    return not [setting for setting in off if setting.startswith(TOPICS)]


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("min.insync.replicas", "3"),
        ("min.insync.replicas", "1"),
        ("retention.ms", "60000"),
        ("cleanup.policy", "compact"),
        ("cleanup.policy", "compact,delete"),
        ("unclean.leader.election.enable", "true"),
    ],
)
async def test_a_topics_setting_overrides_the_brokers(broken: KafkaCluster, setting: str, value: str) -> None:
    """The check fails with that value, and passes after the change that it names."""
    broken.admin.set_topic(FACTS, {setting: value})
    found = await eventually(lambda: _failed_check(broken, f"{FACTS} {setting}", value), CHECKS_S)

    broken.admin.set_topic(FACTS, {setting: found.change.rpartition("=")[2]})
    await eventually(lambda: _is_ok(broken, f"{FACTS} {setting}"), CHECKS_S)


async def _failed_check(cluster: KafkaCluster, setting: str, value: str) -> CheckResult | None:
    """The check fails with this value; a broker whose metadata is older shows another."""
    found = [finding for finding in await run_checks(cluster) if finding.setting == setting]
    assert [(finding.level, finding.value) for finding in found] == [(Level.FAIL, value)]
    return found[0]


async def _is_ok(cluster: KafkaCluster, setting: str) -> bool:
    """The check passes."""
    return setting in settings_at(await run_checks(cluster), Level.OK)


async def test_settings_that_the_user_may_not_read_are_unknown(broken: KafkaCluster) -> None:
    """Without the right to describe the topic's settings, the result is unknown and names the error."""
    rules = [
        AclBinding(ResourceType.TOPIC, COMPENSATIONS, ResourcePatternType.LITERAL, "User:clerk", "*", right, verdict)
        for right, verdict in (
            (AclOperation.DESCRIBE_CONFIGS, AclPermissionType.DENY),
            (AclOperation.ALL, AclPermissionType.ALLOW),
        )
    ]
    operator = AdminClient({"bootstrap.servers": broken.brokers[1].inner_address})
    for made in operator.create_acls(rules).values():
        made.result(20)

    async def settings_are_unknown() -> CheckResult:
        """The broker applies the ACL by now, and denies these settings."""
        unknown = [finding for finding in await run_checks(broken) if finding.level is Level.UNKNOWN]
        assert [finding.setting for finding in unknown] == [f"{COMPENSATIONS} settings"]
        return unknown[0]

    found = await eventually(settings_are_unknown, CHECKS_S)
    assert "TopicAuthorizationFailed" in found.promise


async def test_no_process_starts_on_a_topic_with_another_number_of_partitions(
    broken: KafkaCluster, database: str, tmp_path: Path
) -> None:
    """For each topic: some shard would have no partition."""
    settings = {"HOLDFAST_KAFKA_BROKERS": broken.address, "HOLDFAST_SHARDS": str(SHARDS + 1), **CREDENTIALS}
    for process, topic in (("relay", COMMITS), ("compensate", COMPENSATIONS)):
        code, output = await run_process(process, **settings)
        assert (code, topic in output[-1]) == (2, True), output

    broken.admin.delete_topics([FACTS])
    broken.admin.create_topics([FACTS], SHARDS + 1, NODES)
    with persisters(tmp_path) as start:
        persister = start(broken.address, database, HOLDFAST_SHARDS=str(SHARDS), **CREDENTIALS)
        assert persister.exit_code() == 2
        assert f"HOLDFAST_SHARDS is {SHARDS}, and {FACTS} has {SHARDS + 1} partitions" in persister.lines()[-1]
