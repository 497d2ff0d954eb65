"""Runs the checks of all servers at once: for `holdfast doctor`, and once after a server's start."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple, Protocol

from structlog.typing import FilteringBoundLogger

from holdfast_runtime.retry import Backoff
from inventory_service.domain.shards import ServerUnavailable
from inventory_service.server_checks.results import CheckResult, Level

LONGEST_WAIT_S = 60.0


class Check(NamedTuple):
    """Asks one server for its settings and checks them; `ServerUnavailable` if it does not answer."""

    server: str
    ask: Callable[[], Awaitable[Sequence[CheckResult]]]


class ServerCheckGauge(Protocol):
    """Exports the results."""

    def show(self, result: CheckResult) -> None: ...


async def run_checks(checks: Sequence[Check]) -> list[CheckResult]:
    """All results of all servers, in the order of the checks; a server that does not answer is a result as well."""
    found = await asyncio.gather(*(_run_check(check) for check in checks))
    return [result for results in found for result in results]


async def _run_check(check: Check) -> Sequence[CheckResult]:
    try:
        return await check.ask()
    except ServerUnavailable as error:
        return [CheckResult(check.server, "answers", "no", Level.UNKNOWN, f"nothing is known of it: {error}")]


async def log_once(checks: Sequence[Check], log: FilteringBoundLogger, gauge: ServerCheckGauge) -> None:
    """Log what is off once for each server, as soon as it answers. It only reports: no call waits for it."""
    await asyncio.gather(*(_log_one(check, log, gauge) for check in checks))


async def _log_one(check: Check, log: FilteringBoundLogger, gauge: ServerCheckGauge) -> None:
    delay, is_first = Backoff(first_s=1.0, longest_s=LONGEST_WAIT_S), True
    while True:
        try:
            found = await check.ask()
            break
        except ServerUnavailable as error:
            if is_first:
                log.info("server_check_pending", server=check.server, why=str(error))
            is_first = False
            await delay.wait()
        except Exception:  # whatever is wrong with its answer: the process that checks goes on
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
    """One event for a result that is not OK or unknown: a warning for what is off."""
    server, setting, value, level, promise, change = result
    if level is Level.NOTE:
        log.info("server_check_note", server=server, setting=setting, value=value, why=promise, change=change)
    elif level is Level.FAIL:
        log.warning("server_check_fail", server=server, setting=setting, value=value, why=promise, change=change)
