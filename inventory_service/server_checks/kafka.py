"""Judge Kafka as a whole: how many brokers there are, what they speak, and what they are set to."""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from inventory_service.server_checks.results import UNKNOWN_VALUE, CheckResult, Level, judged
from inventory_service.server_checks.topics import REFUSED, SERVER, TopicConfig, Values, judge_topic, shown, tools

OLDEST = (3, 0)
OFFSETS = "__consumer_offsets"
ENOUGH_BROKERS = 3
ASKED_OF_BROKERS = (
    "auto.create.topics.enable",
    "group.min.session.timeout.ms",
    "group.max.session.timeout.ms",
    "offsets.topic.replication.factor",
)


class Need(NamedTuple):
    """What a topic of ours is for."""

    topic: str
    is_record: bool  # what Kafka loses of it nobody sends again
    largest_record: int  # in bytes; 0: its records are small


class KafkaConfig(NamedTuple):
    """What the brokers of a cluster said of it."""

    brokers: Sequence[int]  # node ids of those that are there
    oldest_release: tuple[int, int] | None  # what the least of them is at the least; None: it cannot be told
    topics: Mapping[str, TopicConfig]  # ours and the offsets', as far as they exist
    settings: Mapping[str, Values]  # of `ASKED_OF_BROKERS`, by node id
    denied: str  # why no broker tells its settings; '' if one does
    silent: Mapping[int, str]  # brokers that did not answer, and why


class Wanted(NamedTuple):
    """What we want of it."""

    needs: Sequence[Need]
    shards: int
    session_timeout_s: int
    bootstrap: str  # for the commands that change something


def judge_kafka(facts: KafkaConfig, wanted: Wanted) -> list[CheckResult]:
    """The cluster first, then every topic of ours setting by setting."""
    size = cluster_size(facts)
    found = [_brokers(facts, size), _release(facts), *_broker_settings(facts, wanted), _offsets(facts, size, wanted)]
    for need in wanted.needs:
        topic = facts.topics.get(need.topic)
        if topic is None:
            found.append(_missing(need))
        else:
            found += judge_topic(need.topic, topic, need.is_record, need.largest_record, size, wanted)
    return found


def cluster_size(facts: KafkaConfig) -> int:
    """Brokers that are there or that hold a copy of something of ours: one that is down just now counts as well."""
    return len({*facts.brokers, *(node for topic in facts.topics.values() for node in topic.nodes)})


def best_replication(brokers: int) -> int:
    """Copies of each partition, as many as do any good and can be had."""
    return max(1, min(brokers, ENOUGH_BROKERS))


def least_in_sync(replication: int) -> int:
    """How many copies confirm a record: two where there are three, so that any one broker may go."""
    return 2 if replication >= ENOUGH_BROKERS else 1


def _brokers(facts: KafkaConfig, size: int) -> CheckResult:
    there = len(facts.brokers) - len(facts.silent)
    value = f"{there} of {size}"
    if there < size:
        why = "; ".join(f"broker {node}: {reason}" for node, reason in facts.silent.items())
        level, away = Level.NOTE, "records have a copy less while one is away"
        if there < least_in_sync(size):
            level, away = Level.FAIL, "no record is confirmed while so many are away"
        shown_why = f" ({why})" if why else ""
        return CheckResult(SERVER, "brokers", value, level, away + shown_why, "start those that are away")
    if size < ENOUGH_BROKERS:
        alone = "the ledger stands still while a broker is away, and a disk that is lost takes facts with it"
        return CheckResult(SERVER, "brokers", value, Level.NOTE, alone, f"run {ENOUGH_BROKERS} brokers or more")
    return CheckResult(SERVER, "brokers", value, Level.OK, "any one of them may go")


def _release(facts: KafkaConfig) -> CheckResult:
    if facts.oldest_release is None:
        strange = "it does not speak as Apache Kafka does: nothing is known of what it promises"
        return CheckResult(SERVER, "release", UNKNOWN_VALUE, Level.UNKNOWN, strange)
    off = "no promise was tested on one this old" if facts.oldest_release < OLDEST else ""
    value = "{}.{} or later".format(*facts.oldest_release) if facts.oldest_release >= OLDEST else "before 3.0"
    return judged(SERVER, "release", value, off, "it has what the promises are made of", "install Kafka 4")


def _broker_settings(facts: KafkaConfig, wanted: Wanted) -> Iterator[CheckResult]:
    if facts.denied:
        why = f"the brokers do not tell: {facts.denied}"
        change = "allow this user DESCRIBE_CONFIGS on the cluster" if REFUSED in facts.denied else ""
        yield CheckResult(SERVER, "settings of brokers", UNKNOWN_VALUE, Level.UNKNOWN, why, change)
        return
    yield _auto_create(facts)
    yield _session(facts, wanted)


def _auto_create(facts: KafkaConfig) -> CheckResult:
    setting = "auto.create.topics.enable"
    values = facts.settings.get(setting, {})
    if "true" not in values.values():
        return CheckResult(SERVER, setting, shown(values), Level.OK, "`holdfast topics` alone makes topics of ours")
    made = "a topic of ours that is deleted may come back with the brokers' own partitions and settings"
    return CheckResult(
        SERVER, setting, shown(values), Level.NOTE, made, "set it to false in every broker's server.properties"
    )


def _session(facts: KafkaConfig, wanted: Wanted) -> CheckResult:
    """A group refuses a member whose session is shorter or longer than that, for ever."""
    least, most = (facts.settings.get(f"group.{end}.session.timeout.ms", {}) for end in ("min", "max"))
    ours_ms = wanted.session_timeout_s * 1000
    too_short = any(ours_ms < int(value) for value in least.values())
    too_long = any(ours_ms > int(value) for value in most.values())
    off = "no persister and no compensator is let into its group: nothing reaches the ledger"
    bounds = f"{shown(least)} to {shown(most)}"
    return judged(
        SERVER,
        "group.min/max.session.timeout.ms",
        bounds,
        off if too_short or too_long else "",
        f"sessions of HOLDFAST_KAFKA_SESSION_TIMEOUT_S = {wanted.session_timeout_s} are let in",
        f"set HOLDFAST_KAFKA_SESSION_TIMEOUT_S within {bounds} milliseconds, or the brokers' bounds around it",
    )


def _offsets(facts: KafkaConfig, size: int, wanted: Wanted) -> CheckResult:
    """Groups keep their place in a topic of Kafka's own, and stand still while a part of it is away."""
    setting, topic = f"{OFFSETS} replication", facts.topics.get(OFFSETS)
    if topic is not None:
        copies, value = topic.replication, str(topic.replication)
    else:
        values = facts.settings.get("offsets.topic.replication.factor", {})
        copies, value = min(map(int, values.values()), default=0), f"{shown(values)} once it is made"
    if not copies:
        return CheckResult(SERVER, setting, UNKNOWN_VALUE, Level.UNKNOWN, "it is not made yet, and no broker tells")
    off = "the loss of one broker stops persisters: their group keeps its place on that one alone"
    change = f"give it three copies: {tools('kafka-reassign-partitions', wanted.bootstrap)}"
    if topic is None:
        change = "set offsets.topic.replication.factor=3 in every broker's server.properties"
    is_off = copies < min(size, 2)
    return judged(
        SERVER,
        setting,
        value,
        off if is_off else "",
        "groups keep their place though a broker goes, if there is another",
        change,
    )


def _missing(need: Need) -> CheckResult:
    lost = "nothing can be sent to it: the ledger stands still"
    change = "run `holdfast topics`, or allow this user DESCRIBE on it"
    return CheckResult(SERVER, need.topic, "not to be seen", Level.FAIL, lost, change)
