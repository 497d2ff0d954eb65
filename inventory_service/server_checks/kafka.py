"""Checks Kafka as a whole: the number of brokers, their release and their settings."""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from inventory_service.server_checks.results import UNKNOWN_VALUE, CheckResult, Level, ok_or_fail
from inventory_service.server_checks.topics import DENIED, SERVER, TopicConfig, Values, judge_topic, shown, tools

MIN_VERSION = (3, 0)
OFFSETS = "__consumer_offsets"
RECOMMENDED_BROKERS = 3
BROKER_SETTINGS = (
    "auto.create.topics.enable",
    "group.min.session.timeout.ms",
    "group.max.session.timeout.ms",
    "offsets.topic.replication.factor",
)


class RequiredTopic(NamedTuple):
    """A topic that Holdfast uses."""

    topic: str
    must_not_be_lost: bool  # a record that Kafka loses is not sent again
    max_record_bytes: int  # 0: its records are small


class KafkaClusterConfig(NamedTuple):
    """What the brokers of a cluster report."""

    brokers: Sequence[int]  # node ids of those that are up
    min_release: tuple[int, int] | None  # a lower bound of the oldest broker's release; None: unknown
    topics: Mapping[str, TopicConfig]  # Holdfast's and the consumer offsets', as far as they exist
    settings: Mapping[str, Values]  # of `BROKER_SETTINGS`, by node id
    denied: str  # why no broker reports its settings; '' if one does
    unreachable: Mapping[int, str]  # brokers that did not answer, and why


class Expected(NamedTuple):
    """What Holdfast expects of the cluster."""

    topics_needed: Sequence[RequiredTopic]
    shards: int
    session_timeout_s: int
    bootstrap: str  # for the commands that change something


def judge_kafka(config: KafkaClusterConfig, expected: Expected) -> list[CheckResult]:
    """The cluster first, then every topic setting by setting."""
    size = cluster_size(config)
    found = [
        _brokers(config, size),
        _release(config),
        *_broker_settings(config, expected),
        _offsets(config, size, expected),
    ]
    for required in expected.topics_needed:
        topic = config.topics.get(required.topic)
        if topic is None:
            found.append(_missing(required))
        else:
            found += judge_topic(
                required.topic, topic, required.must_not_be_lost, required.max_record_bytes, size, expected
            )
    return found


def cluster_size(config: KafkaClusterConfig) -> int:
    """Brokers that are up or hold a replica of a topic: one that is down at the moment counts as well."""
    return len({*config.brokers, *(node for topic in config.topics.values() for node in topic.nodes)})


def recommended_replication(brokers: int) -> int:
    """Replicas of each partition: as many as help and as the cluster has brokers for."""
    return max(1, min(brokers, RECOMMENDED_BROKERS))


def min_in_sync(replication: int) -> int:
    """How many replicas confirm a record: two where there are three, so that any one broker may fail."""
    return 2 if replication >= RECOMMENDED_BROKERS else 1


def _brokers(config: KafkaClusterConfig, size: int) -> CheckResult:
    there = len(config.brokers) - len(config.unreachable)
    value = f"{there} of {size}"
    if there < size:
        why = "; ".join(f"broker {node}: {reason}" for node, reason in config.unreachable.items())
        level, away = Level.NOTE, "records have a copy less while one is away"
        if there < min_in_sync(size):
            level, away = Level.FAIL, "no record is confirmed while so many are away"
        shown_why = f" ({why})" if why else ""
        return CheckResult(SERVER, "brokers", value, level, away + shown_why, "start those that are away")
    if size < RECOMMENDED_BROKERS:
        alone = (
            "the ledger stands still while a broker is away, and a disk that is lost takes records of `orders` with it"
        )
        return CheckResult(SERVER, "brokers", value, Level.NOTE, alone, f"run {RECOMMENDED_BROKERS} brokers or more")
    return CheckResult(SERVER, "brokers", value, Level.OK, "any one of them may fail")


def _release(config: KafkaClusterConfig) -> CheckResult:
    if config.min_release is None:
        strange = "it does not answer as Apache Kafka does, so its guarantees are unknown"
        return CheckResult(SERVER, "release", UNKNOWN_VALUE, Level.UNKNOWN, strange)
    off = "no promise was tested on one this old" if config.min_release < MIN_VERSION else ""
    value = "{}.{} or later".format(*config.min_release) if config.min_release >= MIN_VERSION else "before 3.0"
    return ok_or_fail(SERVER, "release", value, off, "it has what the promises are made of", "install Kafka 4")


def _broker_settings(config: KafkaClusterConfig, expected: Expected) -> Iterator[CheckResult]:
    if config.denied:
        why = f"the brokers do not report them: {config.denied}"
        change = "allow this user DESCRIBE_CONFIGS on the cluster" if DENIED in config.denied else ""
        yield CheckResult(SERVER, "settings of brokers", UNKNOWN_VALUE, Level.UNKNOWN, why, change)
        return
    yield _auto_create(config)
    yield _session(config, expected)


def _auto_create(config: KafkaClusterConfig) -> CheckResult:
    setting = "auto.create.topics.enable"
    values = config.settings.get(setting, {})
    if "true" not in values.values():
        return CheckResult(SERVER, setting, shown(values), Level.OK, "topics are created by `holdfast topics` alone")
    made = "a deleted topic may be created again with the brokers' default partitions and settings"
    return CheckResult(
        SERVER, setting, shown(values), Level.NOTE, made, "set it to false in every broker's server.properties"
    )


def _session(config: KafkaClusterConfig, expected: Expected) -> CheckResult:
    """A group rejects a member whose session timeout is outside of these bounds, for ever."""
    least, most = (config.settings.get(f"group.{end}.session.timeout.ms", {}) for end in ("min", "max"))
    session_ms = expected.session_timeout_s * 1000
    too_short = any(session_ms < int(value) for value in least.values())
    too_long = any(session_ms > int(value) for value in most.values())
    off = "no persister and no compensator can join its group: nothing reaches the ledger"
    bounds = f"{shown(least)} to {shown(most)}"
    return ok_or_fail(
        SERVER,
        "group.min/max.session.timeout.ms",
        bounds,
        off if too_short or too_long else "",
        f"sessions of HOLDFAST_KAFKA_SESSION_TIMEOUT_S = {expected.session_timeout_s} are accepted",
        f"set HOLDFAST_KAFKA_SESSION_TIMEOUT_S within {bounds} milliseconds, or the brokers' bounds around it",
    )


def _offsets(config: KafkaClusterConfig, size: int, expected: Expected) -> CheckResult:
    """Consumer groups keep their offsets in a topic of Kafka's own, and stop while a partition of it is down."""
    setting, topic = f"{OFFSETS} replication", config.topics.get(OFFSETS)
    if topic is not None:
        copies, value = topic.replication, str(topic.replication)
    else:
        values = config.settings.get("offsets.topic.replication.factor", {})
        copies, value = min(map(int, values.values()), default=0), f"{shown(values)} once it is made"
    if not copies:
        return CheckResult(
            SERVER, setting, UNKNOWN_VALUE, Level.UNKNOWN, "it does not exist yet, and no broker reports its default"
        )
    off = "the loss of one broker stops the persisters: their group's offsets are on that broker alone"
    change = f"give it three copies: {tools('kafka-reassign-partitions', expected.bootstrap)}"
    if topic is None:
        change = "set offsets.topic.replication.factor=3 in every broker's server.properties"
    is_off = copies < min(size, 2)
    return ok_or_fail(
        SERVER,
        setting,
        value,
        off if is_off else "",
        "groups keep their offsets when a broker fails, if there is another",
        change,
    )


def _missing(required: RequiredTopic) -> CheckResult:
    lost = "no record can be sent to it, so the ledger stops"
    change = "run `holdfast topics`, or allow this user DESCRIBE on it"
    return CheckResult(SERVER, required.topic, "not visible", Level.FAIL, lost, change)
