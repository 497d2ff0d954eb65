"""Checks what a failover rests on: the Sentinels that find out and agree, and the replicas that a change waits for."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from inventory_service.server_checks.results import UNKNOWN_VALUE, CheckResult, Level, ok_or_fail

SERVER = "Redis"


class Failover(NamedTuple):
    """Seconds after the loss of the primary from which on a replica may be promoted, and the setting that says so."""

    after_s: float
    setting: str


class SentinelAnswer(NamedTuple):
    """What one Sentinel reports of the primary; `problem` is why it reports nothing."""

    address: str
    report: Mapping[str, str]
    problem: str

    @property
    def primary(self) -> str:
        """The address that it has of the primary."""
        return f"{self.report['ip']}:{self.report['port']}"


def failover_of(answers: Sequence[SentinelAnswer]) -> Failover | None:
    """The shortest that a Sentinel reports; None if none does."""
    reported = [answer.report.get("down-after-milliseconds") for answer in answers]
    after_ms = [int(text) for text in reported if text]
    return Failover(min(after_ms) / 1000, "Sentinel's down-after-milliseconds") if after_ms else None


def judge_sentinels(answers: Sequence[SentinelAnswer]) -> list[CheckResult]:
    """Whether those of the URL answer, and which primary they name."""
    return [_answering(answers), _primary(answers)]


def judge_replica_wait(replicas: int, setting: str, info: Mapping[str, str]) -> CheckResult:
    """Whether there are as many replicas as each change waits for, which `setting` says."""
    there = int(info.get("connected_slaves", "0"))
    off = f"{there} are there: every change is answered with OUTCOME_UNKNOWN, also one that is made"
    kept = "no caller hears of a change that so many replicas lack"
    change = f"start its replicas, or set {setting} to {there}"
    return ok_or_fail(SERVER, setting, str(replicas), off if there < replicas else "", kept, change)


def _answering(answers: Sequence[SentinelAnswer]) -> CheckResult:
    silent = [f"{answer.address}: {answer.problem}" for answer in answers if answer.problem]
    there = len(answers) - len(silent)
    shown = f"{there} of {len(answers)} answer"
    why = "; ".join(silent)
    if 2 * there <= len(answers):
        off = f"no majority is there, so no replica is promoted when the primary is lost: {why}"
        return CheckResult(SERVER, "sentinels", shown, Level.FAIL, off, "start them, or name those that run")
    if silent:
        return CheckResult(SERVER, "sentinels", shown, Level.NOTE, f"the others find the primary: {why}")
    if len(answers) == 1:
        alone = "while this one is away no process finds the primary"
        return CheckResult(SERVER, "sentinels", shown, Level.NOTE, alone, "name the others too in HOLDFAST_REDIS_URL")
    return CheckResult(SERVER, "sentinels", shown, Level.OK, "any of them leads to the primary")


def _primary(answers: Sequence[SentinelAnswer]) -> CheckResult:
    named = {answer.address: answer.primary for answer in answers if not answer.problem}
    primaries = sorted(set(named.values())) or [UNKNOWN_VALUE]
    if len(primaries) == 1:
        return CheckResult(SERVER, "primary", primaries[0], Level.OK, "every Sentinel that answers names it")
    differ = ", ".join(f"{sentinel} names {primary}" for sentinel, primary in named.items())
    why = f"{differ}: a failover is under way, or one of them is cut off. Nothing is sold twice"
    return CheckResult(SERVER, "primary", " or ".join(primaries), Level.NOTE, why)
