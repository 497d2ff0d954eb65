"""Ask the servers, one beside the other, for what the promises rest on: for the doctor, and once for a server's log."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple, Protocol

from structlog.typing import FilteringBoundLogger

from inventory_service.domain.shards import ServerUnavailable
from inventory_service.entrypoints.patience import GrowingDelay
from inventory_service.server_checks.results import CheckResult, Level

LONGEST_WAIT_S = 60.0


class Check(NamedTuple):
    """What asks one server and judges its answer; `ServerUnavailable` if there is none."""

    server: str
    ask: Callable[[], Awaitable[Sequence[CheckResult]]]


class ServerCheckGauge(Protocol):
    """Where the findings are shown."""

    def show(self, result: CheckResult) -> None: ...


async def run_checks(checks: Sequence[Check]) -> list[CheckResult]:
    """All findings of all servers, in the order of the examinations; one that does not answer is a finding as well."""
    found = await asyncio.gather(*(_examine(check) for check in checks))
    return [result for results in found for result in results]


async def _examine(check: Check) -> Sequence[CheckResult]:
    try:
        return await check.ask()
    except ServerUnavailable as error:
        return [CheckResult(check.server, "answers", "no", Level.UNKNOWN, f"nothing is known of it: {error}")]


async def log_once(checks: Sequence[Check], log: FilteringBoundLogger, gauge: ServerCheckGauge) -> None:
    """Say of each server, as soon as it answers, what is off; nobody waits for it, and nothing is done about it."""
    await asyncio.gather(*(_tell_one(check, log, gauge) for check in checks))


async def _tell_one(check: Check, log: FilteringBoundLogger, gauge: ServerCheckGauge) -> None:
    delay, is_first = GrowingDelay(first_s=1.0, longest_s=LONGEST_WAIT_S), True
    while True:
        try:
            found = await check.ask()
            break
        except ServerUnavailable as error:
            if is_first:
                log.info("server_check_pending", server=check.server, why=str(error))
            is_first = False
            await delay.wait()
        except Exception:  # whatever is wrong with what it said: a server sells all the same
            log.exception("server_check_failed", server=check.server)
            return
    for result in found:
        gauge.show(result)
        _log(result, log)
    unknown = [result for result in found if result.level is Level.UNKNOWN]
    if unknown:
        settings = [result.setting for result in unknown]
        log.warning("server_check_unknown", server=check.server, settings=settings, why=unknown[0].promise)
    counts = {level.value: sum(result.level is level for result in found) for level in Level}
    log.info("server_checks", server=check.server, **counts)


def _log(result: CheckResult, log: FilteringBoundLogger) -> None:
    """One event for each that is not simply kept: a warning for what is off."""
    server, setting, value, level, promise, change = result
    if level is Level.NOTE:
        log.info("server_check_note", server=server, setting=setting, value=value, why=promise, change=change)
    elif level is Level.FAIL:
        log.warning("server_check_fail", server=server, setting=setting, value=value, why=promise, change=change)
