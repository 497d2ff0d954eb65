"""The check of each setting of Kafka: of the cluster, of its brokers, and of every topic of Holdfast."""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from inventory_service.server_checks.kafka import OFFSETS, Expected, KafkaClusterConfig, RequiredTopic, judge_kafka
from inventory_service.server_checks.results import CheckResult, Level, exit_code
from inventory_service.server_checks.topics import RETENTION_MS, TopicConfig

LARGEST = 8_000_000
REQUIRED_TOPICS = (
    RequiredTopic("commits", must_not_be_lost=True, max_record_bytes=LARGEST),
    RequiredTopic("progress", must_not_be_lost=False, max_record_bytes=0),
)
EXPECTED = Expected(REQUIRED_TOPICS, shards=4, session_timeout_s=10, bootstrap="localhost:9092")
BROKERS = (1, 2, 3)
TOPIC_SETTINGS_OK = {
    "min.insync.replicas": "2",
    "retention.ms": str(RETENTION_MS),
    "retention.bytes": "-1",
    "cleanup.policy": "delete",
    "unclean.leader.election.enable": "false",
    "max.message.bytes": str(LARGEST),
}
BROKER_SETTINGS_OK = {
    "auto.create.topics.enable": "false",
    "group.min.session.timeout.ms": "6000",
    "group.max.session.timeout.ms": "1800000",
    "offsets.topic.replication.factor": "3",
}


def everywhere(settings: Mapping[str, str], brokers: Sequence[int] = BROKERS) -> dict[str, Mapping[int, str]]:
    """The same settings on every broker."""
    return {setting: dict.fromkeys(brokers, value) for setting, value in settings.items()}


def a_topic(brokers: Sequence[int] = BROKERS, **changed: Any) -> TopicConfig:
    """A topic with recommended settings except those given."""
    copies = len(brokers)
    good = TopicConfig(4, copies, copies, frozenset(brokers), everywhere(TOPIC_SETTINGS_OK, brokers), "")
    return good._replace(**changed)


def judge(commits: TopicConfig | None, progress: TopicConfig | None = None, **changed: Any) -> list[CheckResult]:
    """The results for a cluster with recommended settings except those given."""
    topics = {"commits": commits, "progress": progress or a_topic(), OFFSETS: a_topic()}
    there = {name: topic for name, topic in topics.items() if topic is not None}
    facts = KafkaClusterConfig(BROKERS, (4, 0), there, everywhere(BROKER_SETTINGS_OK), "", {})
    return judge_kafka(facts._replace(**changed), EXPECTED)


def set_to(setting: str, value: str) -> TopicConfig:
    """A topic with one changed setting, on every broker."""
    return a_topic(settings=everywhere(TOPIC_SETTINGS_OK | {setting: value}))


def of(results: Sequence[CheckResult], level: Level) -> list[str]:
    """The settings whose result has this level."""
    return [finding.setting for finding in results if finding.level is level]


def test_recommended_settings_keep_every_promise() -> None:
    """Three brokers, and topics as `holdfast topics` makes them, have no finding."""
    results = judge(a_topic())

    assert of(results, Level.OK) == [finding.setting for finding in results]
    assert len(results) == 5 + 2 * 9
    assert exit_code(results) == 0


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("min.insync.replicas", "1"),
        ("min.insync.replicas", "3"),
        ("min.insync.replicas", "4"),
        ("retention.ms", "3600000"),
        ("retention.bytes", "1000000"),
        ("cleanup.policy", "compact"),
        ("cleanup.policy", "compact,delete"),
        ("unclean.leader.election.enable", "true"),
        ("max.message.bytes", "1048588"),
    ],
)
def test_a_setting_by_which_a_topic_may_lose_or_reject_a_record_is_off(setting: str, value: str) -> None:
    """The line has the whole command that corrects it."""
    results = judge(set_to(setting, value))

    assert f"commits {setting}" in of(results, Level.FAIL)
    (found,) = [finding for finding in results if finding.setting == f"commits {setting}"]
    command = "kafka-configs.sh --bootstrap-server localhost:9092 --alter --entity-type topics --entity-name commits"
    assert found.change == f"{command} --add-config {setting}={TOPIC_SETTINGS_OK[setting]}"


@pytest.mark.parametrize(
    ("setting", "value"),
    [("retention.ms", "-1"), ("retention.ms", str(2 * RETENTION_MS)), ("cleanup.policy", "")],
)
def test_a_topic_that_keeps_more_than_is_needed_is_kept(setting: str, value: str) -> None:
    """No time limit is long enough, and so is a cleanup policy that never deletes."""
    assert of(judge(set_to(setting, value)), Level.FAIL) == []


@pytest.mark.parametrize(
    ("setting", "value"),
    [("retention.ms", "3600000"), ("cleanup.policy", "compact"), ("unclean.leader.election.enable", "true")],
)
def test_a_topic_of_repeated_records_may_lose_one(setting: str, value: str) -> None:
    """Progress is published again a moment later, so such a setting is a note, and no promise is off."""
    results = judge(a_topic(), set_to(setting, value))

    assert of(results, Level.NOTE) == [f"progress {setting}"]
    assert exit_code(results) == 0


def test_one_broker_with_another_setting_is_named() -> None:
    """The leader's setting has effect, so a topic is as safe as the worst of its brokers."""
    odd = everywhere(TOPIC_SETTINGS_OK) | {"min.insync.replicas": {1: "2", 2: "1", 3: "2"}}
    results = judge(a_topic(settings=odd))

    (found,) = [finding for finding in results if finding.setting == "commits min.insync.replicas"]
    assert (found.level, found.value) == (Level.FAIL, "1 on broker 2; 2 on broker 1, 3")


def test_another_number_of_partitions_is_off() -> None:
    """The line has both ways to correct it."""
    (found,) = [finding for finding in judge(a_topic(partitions=8)) if finding.setting == "commits partitions"]

    assert found.level is Level.FAIL
    assert "HOLDFAST_SHARDS=8" in found.change
    assert "holdfast topics" in found.change


@pytest.mark.parametrize(("copies", "in_sync"), [(1, 1), (2, 2)])
def test_fewer_copies_than_three_of_three_brokers_are_off(copies: int, in_sync: int) -> None:
    """The line has the fewest copies that any of the partitions has."""
    topic = a_topic(replication=copies, in_sync=in_sync)

    assert "commits replication" in of(judge(topic), Level.FAIL)


@pytest.mark.parametrize(("in_sync", "level"), [(0, Level.FAIL), (1, Level.FAIL), (2, Level.NOTE)])
def test_copies_that_are_behind_are_reported(in_sync: int, level: Level) -> None:
    """With fewer in sync than must confirm a partition accepts nothing; with one copy less it does."""
    assert "commits copies in sync" in of(judge(a_topic(in_sync=in_sync)), level)


def test_a_broker_that_is_down_counts_in_the_size_of_the_cluster() -> None:
    """Otherwise two of three brokers would be judged as a cluster of two, for which fewer copies are enough."""
    results = judge(a_topic(in_sync=2), brokers=(1, 3))

    assert "brokers" in of(results, Level.NOTE)
    assert "commits replication" in of(results, Level.OK)
    assert "commits min.insync.replicas" in of(results, Level.OK)


def test_too_few_brokers_to_confirm_a_record_are_off() -> None:
    """Two copies must confirm where three brokers are, and one alone cannot."""
    results = judge(a_topic(), unreachable={2: "no connection", 3: "no connection"})

    (found,) = [finding for finding in results if finding.setting == "brokers"]
    assert (found.level, found.value) == (Level.FAIL, "1 of 3")
    assert "broker 3: no connection" in found.promise


@pytest.mark.parametrize(("copies", "in_sync"), [(1, 1), (2, 2)])
def test_missing_copies_do_not_suggest_a_lower_min_insync_replicas(copies: int, in_sync: int) -> None:
    """Two must confirm once there are three copies again."""
    results = judge(a_topic(replication=copies, in_sync=in_sync))

    (found,) = [finding for finding in results if finding.setting == "commits min.insync.replicas"]
    assert (found.level, found.change) == (Level.FAIL, "leave it, and give every partition three copies")


def test_one_broker_is_a_note_and_not_off() -> None:
    """No setting would help; the line has the consequences."""
    alone = a_topic((1,), settings=everywhere(TOPIC_SETTINGS_OK | {"min.insync.replicas": "1"}, (1,)))
    results = judge(
        alone, alone, brokers=(1,), topics={"commits": alone, "progress": alone, OFFSETS: alone},
        settings=everywhere(BROKER_SETTINGS_OK | {"offsets.topic.replication.factor": "1"}, (1,)),
    )  # fmt: skip

    assert of(results, Level.NOTE) == ["brokers"]
    assert of(results, Level.FAIL) == []


def test_a_topic_that_is_missing_is_off() -> None:
    """No commit could reach the ledger."""
    assert of(judge(None), Level.FAIL) == ["commits"]


def test_settings_without_the_right_to_read_them_are_unknown() -> None:
    """The line has the right that is missing."""
    results = judge(a_topic(settings={}, denied="TopicAuthorizationFailed"))

    assert of(results, Level.UNKNOWN) == ["commits settings"]
    assert exit_code(results, strict=True) == 2


def test_a_setting_that_one_kafka_does_not_know_is_unknown() -> None:
    """The other settings are judged all the same."""
    reported = {
        setting: values for setting, values in everywhere(TOPIC_SETTINGS_OK).items() if setting != "retention.bytes"
    }

    assert of(judge(a_topic(settings=reported)), Level.UNKNOWN) == ["commits retention.bytes"]


@pytest.mark.parametrize(("bound", "value"), [("min", "15000"), ("max", "5000")])
def test_a_session_timeout_that_groups_reject_is_off(bound: str, value: str) -> None:
    """No persister could join its group."""
    settings = everywhere(BROKER_SETTINGS_OK | {f"group.{bound}.session.timeout.ms": value})

    assert of(judge(a_topic(), settings=settings), Level.FAIL) == ["group.min/max.session.timeout.ms"]


@pytest.mark.parametrize("is_made", [True, False])
def test_consumer_offsets_on_one_broker_are_off(is_made: bool) -> None:
    """Before Kafka has created their topic, the default for its replication counts."""
    topics = {"commits": a_topic(), "progress": a_topic()}
    offsets = {OFFSETS: a_topic(replication=1)} if is_made else {}
    settings = everywhere(BROKER_SETTINGS_OK | {"offsets.topic.replication.factor": "1"})

    results = judge(a_topic(), topics=topics | offsets, settings=settings)

    assert of(results, Level.FAIL) == [f"{OFFSETS} replication"]


def test_automatic_creation_of_topics_is_a_note() -> None:
    """Such a topic has the brokers' defaults, and every topic of Holdfast is checked anyway."""
    settings = everywhere(BROKER_SETTINGS_OK | {"auto.create.topics.enable": "true"})

    assert of(judge(a_topic(), settings=settings), Level.NOTE) == ["auto.create.topics.enable"]


@pytest.mark.parametrize(("release", "level"), [((2, 8), Level.FAIL), (None, Level.UNKNOWN)])
def test_an_old_or_unknown_release_is_reported(release: tuple[int, int] | None, level: Level) -> None:
    """The guarantees of another implementation of the protocol are unknown."""
    assert of(judge(a_topic(), min_release=release), level) == ["release"]
