"""Creates missing topics, then checks the settings of all; an existing topic is never changed. Safe to repeat."""

import json
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import NamedTuple

from structlog.typing import FilteringBoundLogger

from holdfast_runtime.retry import Backoff
from inventory_service.domain.shard_ports import TopicAdmin
from inventory_service.domain.shards import ServerUnavailable, TopicSpec, partitions_remedy
from inventory_service.server_checks.kafka import min_in_sync, recommended_replication
from inventory_service.server_checks.results import CheckResult, Level
from inventory_service.server_checks.topics import IN_SYNC, RETENTION_MS

CREATION_S = 20.0  # busy brokers take seconds to report a new topic, which until then fails its checks


class Dependencies(NamedTuple):
    """What creates and checks topics, and the outputs."""

    admin: TopicAdmin
    brokers: Callable[[], Awaitable[int]]  # their number
    run_checks: Callable[[], Awaitable[Sequence[CheckResult]]]  # of Kafka and of all topics
    log: FilteringBoundLogger
    write: Callable[[str], None] | None = None  # gets the result as JSON


@dataclass
class TopicsResult:
    """The result, as `--json` prints it."""

    partitions: int
    made: list[str] = field(default_factory=list)
    found: list[str] = field(default_factory=list)
    misshapen: dict[str, int] = field(default_factory=dict)  # topics with another number of partitions
    off: list[CheckResult] = field(default_factory=list)  # failed checks
    error: str = ""  # set if Kafka did not answer

    @property
    def exit_code(self) -> int:
        """0 if all topics are as required, 1 if one is not, 2 if Kafka did not answer."""
        return 2 if self.error else int(bool(self.misshapen or self.off))


async def run(dependencies: Dependencies, names: Sequence[str], shards: int, replication: int | None = None) -> int:
    """The exit code. `replication` None: the number recommended for the number of brokers."""
    result = TopicsResult(shards)
    try:
        await _create_missing(result, dependencies, names, replication)
        if not result.misshapen:
            _log_checks(result, await _run_checks(result, dependencies), dependencies.log)
    except ServerUnavailable as error:
        result.error = f"{error.server} does not answer: {error}"
        remedy = "start it, or set HOLDFAST_KAFKA_BROKERS"
        dependencies.log.error("server_unavailable", server=error.server, why=str(error), remedy=remedy)
    if dependencies.write is not None:
        fields = {**asdict(result), "off": [check._asdict() for check in result.off]}
        dependencies.write(json.dumps({"in_order": result.exit_code == 0, **fields}))
    return result.exit_code


async def _create_missing(
    result: TopicsResult, dependencies: Dependencies, names: Sequence[str], replication: int | None
) -> None:
    """Create what is missing, but nothing while a topic has another number of partitions, which comes first."""
    existing = await dependencies.admin.partitions()
    result.found = [name for name in names if name in existing]
    result.misshapen = {name: existing[name] for name in result.found if existing[name] != result.partitions}
    for name, partitions in result.misshapen.items():
        numbers = {"partitions": partitions, "expected": result.partitions}
        dependencies.log.error("topic_mismatch", name=name, **numbers, remedy=partitions_remedy(partitions))
    if result.misshapen:
        return
    copies = replication or recommended_replication(await dependencies.brokers())
    for name in names:
        if name not in existing:
            await dependencies.admin.create(topic_spec(name, result.partitions, copies))
            result.made.append(name)
        event = "topic_exists" if name in existing else "topic_created"
        dependencies.log.info(event, name=name, partitions=result.partitions)


async def _run_checks(result: TopicsResult, dependencies: Dependencies) -> Sequence[CheckResult]:
    """Check all topics; repeat while a new one fails, because brokers learn of it, and copy it, one after the other."""
    created = {*result.made, *(f"{name} {IN_SYNC}" for name in result.made)}
    delay, deadline = Backoff(first_s=0.1, longest_s=1.0), time.monotonic() + CREATION_S
    while True:
        checks = await dependencies.run_checks()
        is_pending = any(check.setting in created and check.level is not Level.OK for check in checks)
        if not is_pending or time.monotonic() > deadline:
            return checks
        await delay.wait()


def _log_checks(result: TopicsResult, checks: Sequence[CheckResult], log: FilteringBoundLogger) -> None:
    """Log each failed check with the command that changes the setting, and the number of unknown ones."""
    result.off = [check for check in checks if check.level is Level.FAIL]
    for server, setting, value, _, why, change in result.off:
        log.error("server_check_fail", server=server, setting=setting, value=value, why=why, change=change)
    unknown = [check for check in checks if check.level is Level.UNKNOWN]
    if unknown:
        remedy = "see `holdfast doctor`"
        log.warning("server_check_unknown", count=len(unknown), why=unknown[0].promise, remedy=remedy)


def topic_spec(name: str, shards: int, replication: int) -> TopicSpec:
    """With three brokers or more a confirmed record is on two at least; it is kept unchanged for a week."""
    settings = {
        "retention.ms": str(RETENTION_MS),
        "retention.bytes": "-1",
        "cleanup.policy": "delete",
        "min.insync.replicas": str(min_in_sync(replication)),
        "unclean.leader.election.enable": "false",
    }
    return TopicSpec(name, shards, replication, settings)
