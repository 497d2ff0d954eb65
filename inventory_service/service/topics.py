"""Make the topics, then check every setting of all of them. What exists is never changed. Safe to run again."""

import json
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import NamedTuple

from structlog.typing import FilteringBoundLogger

from inventory_service.domain.shard_ports import TopicAdmin
from inventory_service.domain.shards import ServerUnavailable, TopicSpec
from inventory_service.entrypoints.patience import GrowingDelay
from inventory_service.server_checks.kafka import best_replication, least_in_sync
from inventory_service.server_checks.results import CheckResult, Level
from inventory_service.server_checks.topics import IN_SYNC, RETENTION_MS

BIRTH_S = 20.0  # brokers that do much else take seconds, and whoever is told "off" too early mends what is whole


class Parts(NamedTuple):
    """Everything that makes and checks topics."""

    admin: TopicAdmin
    brokers: Callable[[], Awaitable[int]]  # how many there are
    run_checks: Callable[[], Awaitable[Sequence[CheckResult]]]  # of Kafka and of all our topics
    log: FilteringBoundLogger
    tell: Callable[[str], None] | None = None  # gets the report as JSON, if anybody wants it


@dataclass
class TopicsResult:
    """What came of it."""

    partitions: int
    made: list[str] = field(default_factory=list)
    found: list[str] = field(default_factory=list)
    misshapen: dict[str, int] = field(default_factory=dict)  # topics with another number of partitions
    off: list[CheckResult] = field(default_factory=list)
    error: str = ""  # why Kafka could not be asked

    @property
    def exit_code(self) -> int:
        """0 if all topics are as they must be, 1 if one is not, 2 if Kafka could not be asked."""
        return 2 if self.error else int(bool(self.misshapen or self.off))


async def run(parts: Parts, names: Sequence[str], shards: int, replication: int | None = None) -> int:
    """The exit code. `replication` None: as many copies as do any good with the brokers that there are."""
    report = TopicsResult(shards)
    try:
        await _make(report, parts, names, replication)
        if not report.misshapen:
            _check(report, await _examine(report, parts), parts.log)
    except ServerUnavailable as error:
        report.error = f"{error.server} does not answer: {error}"
        todo = "start it, or set HOLDFAST_KAFKA_BROKERS"
        parts.log.error("cannot_ask", server=error.server, why=str(error), todo=todo)
    if parts.tell is not None:
        facts = {**asdict(report), "off": [result._asdict() for result in report.off]}
        parts.tell(json.dumps({"in_order": report.exit_code == 0, **facts}))
    return report.exit_code


async def _make(report: TopicsResult, parts: Parts, names: Sequence[str], replication: int | None) -> None:
    """Make what is missing, unless a topic has another layout: whoever has to mend that finds everything as it was."""
    there = await parts.admin.partitions()
    report.found = [name for name in names if name in there]
    report.misshapen = {name: there[name] for name in report.found if there[name] != report.partitions}
    for name, partitions in report.misshapen.items():
        todo = (
            f"set HOLDFAST_SHARDS={partitions} if that is what `holdfast init` was run with; "
            "else delete the topic and run `holdfast topics`"
        )
        parts.log.error("topic", name=name, partitions=partitions, wanted=report.partitions, todo=todo)
    if report.misshapen:
        return
    copies = replication or best_replication(await parts.brokers())
    for name in names:
        if name not in there:
            await parts.admin.create(_plan(name, report.partitions, copies))
            report.made.append(name)
        parts.log.info("topic", name=name, partitions=report.partitions, made=name not in there)


async def _examine(report: TopicsResult, parts: Parts) -> Sequence[CheckResult]:
    """Brokers hear of a new topic one after the other, and its copies come one after the other: they are waited for."""
    unborn = {*report.made, *(f"{name} {IN_SYNC}" for name in report.made)}
    delay, deadline = GrowingDelay(first_s=0.1, longest_s=1.0), time.monotonic() + BIRTH_S
    while True:
        results = await parts.run_checks()
        waits = any(result.setting in unborn and result.level is not Level.OK for result in results)
        if not waits or time.monotonic() > deadline:
            return results
        await delay.wait()


def _check(report: TopicsResult, results: Sequence[CheckResult], log: FilteringBoundLogger) -> None:
    """Say what is off, each with the command that mends it; and what is not known, once."""
    report.off = [result for result in results if result.level is Level.FAIL]
    for result in report.off:
        log.error("off", setting=result.setting, value=result.value, why=result.promise, todo=result.change)
    unknown = [result for result in results if result.level is Level.UNKNOWN]
    if unknown:
        log.warning("unknown", settings=len(unknown), why=unknown[0].promise, todo="see `holdfast doctor`")


def _plan(name: str, shards: int, replication: int) -> TopicSpec:
    """A confirmed record is on two brokers at least wherever there are three, and stays as it came for a week."""
    settings = {
        "retention.ms": str(RETENTION_MS),
        "retention.bytes": "-1",
        "cleanup.policy": "delete",
        "min.insync.replicas": str(least_in_sync(replication)),
        "unclean.leader.election.enable": "false",
    }
    return TopicSpec(name, shards, replication, settings)
