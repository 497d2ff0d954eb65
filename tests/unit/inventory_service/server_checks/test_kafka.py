"""What is said of each setting of Kafka: of the cluster, of its brokers, and of every topic of ours."""

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
WANTED = Expected(REQUIRED_TOPICS, shards=4, session_timeout_s=10, bootstrap="localhost:9092")
BROKERS = (1, 2, 3)
GOOD = {
    "min.insync.replicas": "2",
    "retention.ms": str(RETENTION_MS),
    "retention.bytes": "-1",
    "cleanup.policy": "delete",
    "unclean.leader.election.enable": "false",
    "max.message.bytes": str(LARGEST),
}
OF_BROKERS = {
    "auto.create.topics.enable": "false",
    "group.min.session.timeout.ms": "6000",
    "group.max.session.timeout.ms": "1800000",
    "offsets.topic.replication.factor": "3",
}


def everywhere(settings: Mapping[str, str], brokers: Sequence[int] = BROKERS) -> dict[str, Mapping[int, str]]:
    """Every broker says the same."""
    return {setting: dict.fromkeys(brokers, value) for setting, value in settings.items()}


def a_topic(brokers: Sequence[int] = BROKERS, **changed: Any) -> TopicConfig:
    """A topic as it should be, but for this."""
    copies = len(brokers)
    good = TopicConfig(4, copies, copies, frozenset(brokers), everywhere(GOOD, brokers), "")
    return good._replace(**changed)


def judge(commits: TopicConfig | None, progress: TopicConfig | None = None, **changed: Any) -> list[CheckResult]:
    """What is said of a cluster as it should be, but for this."""
    topics = {"commits": commits, "progress": progress or a_topic(), OFFSETS: a_topic()}
    there = {name: topic for name, topic in topics.items() if topic is not None}
    facts = KafkaClusterConfig(BROKERS, (4, 0), there, everywhere(OF_BROKERS), "", {})
    return judge_kafka(facts._replace(**changed), WANTED)


def set_to(setting: str, value: str) -> TopicConfig:
    """A topic with one setting otherwise, on every broker."""
    return a_topic(settings=everywhere(GOOD | {setting: value}))


def of(results: Sequence[CheckResult], standing: Level) -> list[str]:
    """The settings that stand so."""
    return [finding.setting for finding in results if finding.level is standing]


def test_a_cluster_as_it_should_be_keeps_every_promise() -> None:
    """Three brokers, and topics as `holdfast topics` makes them."""
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
def test_a_topic_of_records_that_may_lose_or_refuse_one_is_off(setting: str, value: str) -> None:
    """The line holds the whole command that mends it."""
    results = judge(set_to(setting, value))

    assert f"commits {setting}" in of(results, Level.FAIL)
    (found,) = [finding for finding in results if finding.setting == f"commits {setting}"]
    command = "kafka-configs.sh --bootstrap-server localhost:9092 --alter --entity-type topics --entity-name commits"
    assert found.change == f"{command} --add-config {setting}={GOOD[setting]}"


@pytest.mark.parametrize(
    ("setting", "value"),
    [("retention.ms", "-1"), ("retention.ms", str(2 * RETENTION_MS)), ("cleanup.policy", "")],
)
def test_a_topic_that_keeps_more_than_is_needed_is_kept(setting: str, value: str) -> None:
    """For ever is long enough, and so is a topic that nobody cleans."""
    assert of(judge(set_to(setting, value)), Level.FAIL) == []


@pytest.mark.parametrize(
    ("setting", "value"),
    [("retention.ms", "3600000"), ("cleanup.policy", "compact"), ("unclean.leader.election.enable", "true")],
)
def test_what_is_said_again_and_again_may_be_lost(setting: str, value: str) -> None:
    """A report of progress has its like a moment later: it is worth a note, and no promise is off."""
    results = judge(a_topic(), set_to(setting, value))

    assert of(results, Level.NOTE) == [f"progress {setting}"]
    assert exit_code(results) == 0


def test_one_broker_that_is_set_otherwise_is_named() -> None:
    """The leader's own file holds, so that a topic is as safe as the worst of its brokers."""
    odd = everywhere(GOOD) | {"min.insync.replicas": {1: "2", 2: "1", 3: "2"}}
    results = judge(a_topic(settings=odd))

    (found,) = [finding for finding in results if finding.setting == "commits min.insync.replicas"]
    assert (found.level, found.value) == (Level.FAIL, "1 on broker 2; 2 on broker 1, 3")


def test_another_number_of_partitions_is_off() -> None:
    """And the line says both ways out."""
    (found,) = [finding for finding in judge(a_topic(partitions=8)) if finding.setting == "commits partitions"]

    assert found.level is Level.FAIL
    assert "HOLDFAST_SHARDS=8" in found.change
    assert "holdfast topics" in found.change


@pytest.mark.parametrize(("copies", "in_sync"), [(1, 1), (2, 2)])
def test_fewer_copies_than_three_of_three_brokers_are_off(copies: int, in_sync: int) -> None:
    """One of the four partitions is enough to be counted: the fewest copies are told."""
    topic = a_topic(replication=copies, in_sync=in_sync)

    assert "commits replication" in of(judge(topic), Level.FAIL)


@pytest.mark.parametrize(("in_sync", "standing"), [(0, Level.FAIL), (1, Level.FAIL), (2, Level.NOTE)])
def test_copies_that_are_behind_are_told(in_sync: int, standing: Level) -> None:
    """With fewer than must confirm nothing is taken; with one less it still is."""
    assert "commits copies in sync" in of(judge(a_topic(in_sync=in_sync)), standing)


def test_a_broker_that_is_down_counts_among_those_there_are() -> None:
    """Else two brokers of three would be taken for a cluster of two, of which less is asked."""
    results = judge(a_topic(in_sync=2), brokers=(1, 3))

    assert "brokers" in of(results, Level.NOTE)
    assert "commits replication" in of(results, Level.OK)
    assert "commits min.insync.replicas" in of(results, Level.OK)


def test_so_few_brokers_that_nothing_is_confirmed_are_off() -> None:
    """Two copies must confirm where three brokers are, and one alone cannot."""
    results = judge(a_topic(), unreachable={2: "no connection", 3: "no connection"})

    (found,) = [finding for finding in results if finding.setting == "brokers"]
    assert (found.level, found.value) == (Level.FAIL, "1 of 3")
    assert "broker 3: no connection" in found.promise


@pytest.mark.parametrize(("copies", "in_sync"), [(1, 1), (2, 2)])
def test_nobody_is_told_to_confirm_less_where_copies_are_missing(copies: int, in_sync: int) -> None:
    """That would only move the trouble: with three copies the two that confirm are right."""
    results = judge(a_topic(replication=copies, in_sync=in_sync))

    (found,) = [finding for finding in results if finding.setting == "commits min.insync.replicas"]
    assert (found.level, found.change) == (Level.FAIL, "leave it, and give every partition three copies")


def test_one_broker_is_a_note_and_not_off() -> None:
    """It cannot be set better; what goes with it is said."""
    alone = a_topic((1,), settings=everywhere(GOOD | {"min.insync.replicas": "1"}, (1,)))
    results = judge(
        alone, alone, brokers=(1,), topics={"commits": alone, "progress": alone, OFFSETS: alone},
        settings=everywhere(OF_BROKERS | {"offsets.topic.replication.factor": "1"}, (1,)),
    )  # fmt: skip

    assert of(results, Level.NOTE) == ["brokers"]
    assert of(results, Level.FAIL) == []


def test_a_topic_that_is_missing_is_off() -> None:
    """Nothing that the scripts wrote could go to the ledger."""
    assert of(judge(None), Level.FAIL) == ["commits"]


def test_settings_that_nobody_may_ask_for_are_unknown() -> None:
    """They are not guessed, and the line says which right is missing."""
    results = judge(a_topic(settings={}, denied="TopicAuthorizationFailed"))

    assert of(results, Level.UNKNOWN) == ["commits settings"]
    assert exit_code(results, strict=True) == 2


def test_a_setting_that_one_kafka_does_not_know_is_unknown() -> None:
    """The other_roles are judged all the same."""
    told = {setting: values for setting, values in everywhere(GOOD).items() if setting != "retention.bytes"}

    assert of(judge(a_topic(settings=told)), Level.UNKNOWN) == ["commits retention.bytes"]


@pytest.mark.parametrize(("bound", "value"), [("min", "15000"), ("max", "5000")])
def test_a_session_that_groups_refuse_is_off(bound: str, value: str) -> None:
    """No persister would ever get a partition."""
    settings = everywhere(OF_BROKERS | {f"group.{bound}.session.timeout.ms": value})

    assert of(judge(a_topic(), settings=settings), Level.FAIL) == ["group.min/max.session.timeout.ms"]


@pytest.mark.parametrize("is_made", [True, False])
def test_groups_that_keep_their_place_on_one_broker_are_off(is_made: bool) -> None:
    """Before Kafka made their topic, what it will be made with counts."""
    topics = {"commits": a_topic(), "progress": a_topic()}
    offsets = {OFFSETS: a_topic(replication=1)} if is_made else {}
    settings = everywhere(OF_BROKERS | {"offsets.topic.replication.factor": "1"})

    results = judge(a_topic(), topics=topics | offsets, settings=settings)

    assert of(results, Level.FAIL) == [f"{OFFSETS} replication"]


def test_topics_that_make_themselves_are_a_note() -> None:
    """They would be made with the brokers' own settings, which each of our topics is held against anyway."""
    settings = everywhere(OF_BROKERS | {"auto.create.topics.enable": "true"})

    assert of(judge(a_topic(), settings=settings), Level.NOTE) == ["auto.create.topics.enable"]


@pytest.mark.parametrize(("release", "standing"), [((2, 8), Level.FAIL), (None, Level.UNKNOWN)])
def test_a_release_that_is_old_or_strange_is_told(release: tuple[int, int] | None, standing: Level) -> None:
    """What does not speak as Apache Kafka does may be anything."""
    assert of(judge(a_topic(), min_release=release), standing) == ["release"]
