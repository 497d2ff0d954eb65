"""Checks one Kafka topic: its replicas, its retention, and which records may be lost."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple, Protocol

from inventory_service.server_checks.results import UNKNOWN_VALUE, CheckResult, Level, ok_or_fail

SERVER = "Kafka"
DAY_MS = 24 * 60 * 60 * 1000
# A ledger that was restored from a backup needs the commits that it lacks once more.
RETENTION_MS = 7 * DAY_MS
TOPIC_SETTINGS = (
    "min.insync.replicas",
    "retention.ms",
    "retention.bytes",
    "cleanup.policy",
    "unclean.leader.election.enable",
    "max.message.bytes",
)
IN_SYNC = "copies in sync"
DENIED = "Authorization"  # part of the name of each Kafka error that says that a right is missing
_RESENT = "a lost record is sent again, so no promise depends on it"

Values = Mapping[int, str]  # the value of one setting by node id of the broker


class TopicConfig(NamedTuple):
    """What Kafka reports of a topic."""

    partitions: int
    replication: int  # of the partition that has the fewest copies
    in_sync: int  # of the partition that has the fewest copies in sync; 0: one has no leader
    nodes: frozenset[int]  # that hold a copy of any of its partitions
    settings: Mapping[str, Values]  # of `TOPIC_SETTINGS`
    denied: str  # why its settings are not reported; '' if they are


class Layout(Protocol):
    """What a topic is compared with."""

    @property
    def shards(self) -> int: ...

    @property
    def bootstrap(self) -> str: ...


class _Topic(NamedTuple):
    """One topic that is being checked."""

    name: str
    config: TopicConfig
    must_not_be_lost: bool
    max_record_bytes: int
    brokers: int
    expected: Layout

    def off(self, setting: str, value: str, reason: str, change: str) -> CheckResult:
        return CheckResult(SERVER, f"{self.name} {setting}", value, Level.FAIL, reason, change)

    def off_for_records(self, setting: str, value: str, reason: str, change: str) -> CheckResult:
        """Only a note where a lost record is sent again."""
        if self.must_not_be_lost:
            return self.off(setting, value, reason, change)
        return CheckResult(SERVER, f"{self.name} {setting}", value, Level.NOTE, _RESENT, change)

    def kept(self, setting: str, value: str, promise: str) -> CheckResult:
        return CheckResult(SERVER, f"{self.name} {setting}", value, Level.OK, promise)

    def values(self, setting: str) -> Values:
        return self.config.settings.get(setting, {})

    def set(self, setting: str, value: str) -> str:
        """The command that changes a setting of this topic, which stands above any broker's default."""
        tool = tools("kafka-configs", self.expected.bootstrap)
        return f"{tool} --alter --entity-type topics --entity-name {self.name} --add-config {setting}={value}"


def judge_topic(
    name: str, config: TopicConfig, must_not_be_lost: bool, max_record_bytes: int, brokers: int, expected: Layout
) -> Iterator[CheckResult]:
    """One result a setting; `brokers` is how many there are in the cluster."""
    topic = _Topic(name, config, must_not_be_lost, max_record_bytes, brokers, expected)
    yield _partitions(topic)
    yield _replication(topic)
    yield _in_sync(topic)
    if topic.config.denied and not any(map(topic.values, TOPIC_SETTINGS)):
        yield _not_readable(topic, "settings")
        return
    not_readable = [setting for setting in TOPIC_SETTINGS if not topic.values(setting)]
    judges = (_min_insync_replicas, _retention, _retention_bytes, _cleanup, _unclean, _largest)
    for setting, judge in zip(TOPIC_SETTINGS, judges, strict=True):
        yield _not_readable(topic, setting) if setting in not_readable else judge(topic)


def tools(tool: str, bootstrap: str) -> str:
    """The beginning of a command of Kafka's own tools."""
    return f"{tool}.sh --bootstrap-server {bootstrap}"


def shown(values: Values) -> str:
    """A setting for people: its value once if all brokers have the same, else each value with its brokers."""
    if len(set(values.values())) <= 1:
        return next(iter(values.values()), UNKNOWN_VALUE)
    nodes_of = {
        value: [str(node) for node in values if values[node] == value] for value in sorted(set(values.values()))
    }
    return "; ".join(f"{value} on broker {', '.join(nodes)}" for value, nodes in nodes_of.items())


def _partitions(topic: _Topic) -> CheckResult:
    shards, found = topic.expected.shards, topic.config.partitions
    off = "" if found == shards else f"there are {shards} shards: some have no place, and processes refuse to run"
    change = (
        f"set HOLDFAST_SHARDS={found} if that is what `holdfast init` was run with; "
        "else delete the topic and run `holdfast topics`"
    )
    return ok_or_fail(
        SERVER, f"{topic.name} partitions", str(found), off, "one for every shard, so order is kept", change
    )


def _replication(topic: _Topic) -> CheckResult:
    copies, best = topic.config.replication, min(3, topic.brokers)
    tool = tools("kafka-reassign-partitions", topic.expected.bootstrap)
    change = f"give every partition {best} copies: {tool} --execute --reassignment-json-file FILE"
    if copies < best:
        gone = "the loss of one broker " + ("stops its shards' way to the ledger" if copies == 1 else "leaves one copy")
        loses = ", and what it held is lost" if topic.must_not_be_lost and copies == 1 else ""
        return topic.off("replication", str(copies), gone + loses, change)
    kept = "any one broker may go" if copies > 1 else "one copy is all that one broker can hold"
    return topic.kept("replication", str(copies), kept)


def _in_sync(topic: _Topic) -> CheckResult:
    """The state at this moment, which is no setting."""
    copies, there, least = topic.config.replication, topic.config.in_sync, _most(topic.values("min.insync.replicas"))
    change = "see that every broker runs and keeps up"
    if copies < least:
        change = "give it more copies"
    if there == 0 or there < least:
        return topic.off(IN_SYNC, str(there), "a partition accepts no record now: its shard waits", change)
    if there < copies:
        behind = "a copy is away or behind: the next loss stops the shard's way to the ledger"
        return CheckResult(SERVER, f"{topic.name} {IN_SYNC}", str(there), Level.NOTE, behind, change)
    return topic.kept(IN_SYNC, str(there), "all of them hold everything")


def _min_insync_replicas(topic: _Topic) -> CheckResult:
    setting, values = "min.insync.replicas", topic.values("min.insync.replicas")
    copies, least, most = topic.config.replication, _least(values), _most(values)
    change = topic.set(setting, "2" if copies >= 3 else "1")
    if most == 2 >= copies and topic.brokers >= 3:
        change = "leave it, and give every partition three copies"
    if most > copies:
        return topic.off(setting, shown(values), f"more than its copies, {copies}: it takes no record at all", change)
    if most == copies > 1:
        all_needed = "as many as it has copies: while one broker is away nothing is confirmed"
        return topic.off(setting, shown(values), all_needed, change)
    if least == 1 and topic.brokers >= 3:
        one = "a record counts as confirmed when one broker has it: if that one is lost, so is the record"
        first = "" if copies >= 3 else "once it has three copies: "
        return topic.off(setting, shown(values), one, first + topic.set(setting, "2"))
    if least == 1:
        few = "a record counts as confirmed when one broker has it, and three brokers are needed for more"
        return topic.kept(setting, shown(values), few)
    return topic.kept(setting, shown(values), f"a confirmed record is on {least} brokers, and any one may go")


def _retention(topic: _Topic) -> CheckResult:
    setting, values = "retention.ms", topic.values("retention.ms")
    shortest = min((int(value) for value in values.values() if int(value) >= 0), default=RETENTION_MS)
    has_delete = any("delete" in value for value in topic.values("cleanup.policy").values())
    if shortest >= RETENTION_MS or not has_delete:
        return topic.kept(
            setting, shown(values), "a ledger restored from a backup of the last seven days finds here what it lacks"
        )
    short = f"records go after {_duration(shortest)}: a restored ledger, or a reader that was away, misses them"
    return topic.off_for_records(setting, shown(values), short, topic.set(setting, str(RETENTION_MS)))


def _retention_bytes(topic: _Topic) -> CheckResult:
    setting, values = "retention.bytes", topic.values("retention.bytes")
    if _least(values) < 0 and _most(values) < 0:
        return topic.kept(setting, shown(values), "no record goes for want of room")
    cut = "records go when there are many, however young: a restored ledger, or a reader that was away, misses them"
    return topic.off_for_records(setting, shown(values), cut, topic.set(setting, "-1"))


def _cleanup(topic: _Topic) -> CheckResult:
    setting, values = "cleanup.policy", topic.values("cleanup.policy")
    if not any("compact" in value for value in values.values()):
        return topic.kept(setting, shown(values), "every record stays, also those of one key")
    lost = "of the records of a key only the last stays: the others are lost"
    return topic.off_for_records(setting, shown(values), lost, topic.set(setting, "delete"))


def _unclean(topic: _Topic) -> CheckResult:
    setting, values = "unclean.leader.election.enable", topic.values("unclean.leader.election.enable")
    if "true" not in values.values():
        return topic.kept(setting, shown(values), "no broker leads that lacks a confirmed record")
    lost = "a broker that was behind may lead: records that were confirmed are lost"
    return topic.off_for_records(setting, shown(values), lost, topic.set(setting, "false"))


def _largest(topic: _Topic) -> CheckResult:
    setting, values = "max.message.bytes", topic.values("max.message.bytes")
    if _least(values) >= topic.max_record_bytes:
        return topic.kept(setting, shown(values), "the largest record fits")
    stuck = (
        f"a commit may need {topic.max_record_bytes} bytes: one that does not fit stops its shard's way to the ledger"
    )
    return topic.off(setting, shown(values), stuck, topic.set(setting, str(topic.max_record_bytes)))


def _not_readable(topic: _Topic, setting: str) -> CheckResult:
    why = (
        f"Kafka does not report it: {topic.config.denied}" if topic.config.denied else "this Kafka has no such setting"
    )
    change = "allow this user DESCRIBE_CONFIGS on the topic" if DENIED in topic.config.denied else ""
    return CheckResult(SERVER, f"{topic.name} {setting}", UNKNOWN_VALUE, Level.UNKNOWN, why, change)


def _least(values: Values) -> int:
    return min(_numbers(values.values()), default=0)


def _most(values: Values) -> int:
    return max(_numbers(values.values()), default=0)


def _numbers(values: Iterable[str]) -> Sequence[int]:
    return [int(value) for value in values]


def _duration(ms: int) -> str:
    """In the largest unit of which there is at least one."""
    for size, unit in ((DAY_MS, "days"), (3_600_000, "hours"), (60_000, "minutes"), (1000, "seconds")):
        if ms >= size:
            return f"{ms / size:.3g} {unit}"
    return f"{ms} ms"
