"""Runs the checks of all servers at once: for `holdfast doctor`, and again and again beside a server's calls."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from structlog.typing import FilteringBoundLogger

from holdfast_runtime.retry import Backoff
from inventory_service.domain.shards import ServerUnavailable
from inventory_service.server_checks.results import CheckResult, Level

INTERVAL_S = 30.0


class Check(NamedTuple):
    """Asks one server for its settings and checks them; `ServerUnavailable` if it does not answer."""

    server: str
    ask: Callable[[], Awaitable[Sequence[CheckResult]]]


class ServerCheckGauges(Protocol):
    """Exports the results."""

    def show(self, server: str, results: Sequence[CheckResult]) -> None: ...


async def run_checks(checks: Sequence[Check]) -> list[CheckResult]:
    """All results of all servers, in the order of the checks; a server that does not answer is a result as well."""
    found = await asyncio.gather(*(_run_check(check) for check in checks))
    return [result for results in found for result in results]


async def _run_check(check: Check) -> Sequence[CheckResult]:
    try:
        return await check.ask()
    except ServerUnavailable as error:
        return [CheckResult(check.server, "answers", "no", Level.UNKNOWN, f"nothing is known of it: {error}")]


def check_watches(
    checks: Sequence[Check], log: FilteringBoundLogger, gauges: ServerCheckGauges
) -> list[Callable[[], Coroutine[Any, Any, None]]]:
    """What runs each check again and again, until cancelled. They only report: no call waits for them."""
    return [CheckWatch(check, log, gauges).run for check in checks]


class CheckWatch:
    """Runs one server's check repeatedly: exports every result, and logs those whose level has changed."""

    def __init__(self, check: Check, log: FilteringBoundLogger, gauges: ServerCheckGauges) -> None:
        self._check = check
        self._log = log.bind(server=check.server)
        self._gauges = gauges
        self._levels: Mapping[str, Level] = {}  # by setting, as they were logged
        self._failed = False  # the last check, which was logged

    async def run(self) -> None:
        """Check until cancelled: an unavailable server soon again, and less often the longer that lasts."""
        delay = Backoff(first_s=1.0, longest_s=INTERVAL_S)
        while True:
            if await self.check():
                delay.reset()
                await asyncio.sleep(INTERVAL_S)
            else:
                await delay.wait()

    async def check(self) -> bool:
        """Check once; whether the server answered."""
        try:
            found = await self._check.ask()
        except Exception as error:  # noqa: BLE001  # whatever is wrong with its answer: the process that checks goes on
            self._log_failure(error)
            return False
        self._failed = False
        self._gauges.show(self._check.server, found)
        self._log_changes(found)
        return True

    def _log_failure(self, error: Exception) -> None:
        """Log the first of several failures in a row."""
        if self._failed:
            return
        self._failed = True
        if isinstance(error, ServerUnavailable):
            self._log.info("server_check_pending", why=str(error))
        else:
            self._log.error("server_check_failed", exc_info=error)

    def _log_changes(self, found: Sequence[CheckResult]) -> None:
        before, self._levels = self._levels, {result.setting: result.level for result in found}
        if before == self._levels:
            return
        changed = [result for result in found if before.get(result.setting, Level.OK) is not result.level]
        for result in changed:
            _log(result, self._log)
        unknown = [result for result in changed if result.level is Level.UNKNOWN]
        if unknown:
            settings = [result.setting for result in unknown]
            self._log.warning("server_check_unknown", settings=settings, why=unknown[0].promise)
        self._log.info(
            "server_checks", **{level.value: sum(result.level is level for result in found) for level in Level}
        )


def _log(result: CheckResult, log: FilteringBoundLogger) -> None:
    """One event for a result that is not unknown: a warning for what is off."""
    _, setting, value, level, promise, change = result
    if level is Level.OK:
        log.info("server_check_ok", setting=setting, value=value)
    elif level is Level.NOTE:
        log.info("server_check_note", setting=setting, value=value, why=promise, change=change)
    elif level is Level.FAIL:
        log.warning("server_check_fail", setting=setting, value=value, why=promise, change=change)
