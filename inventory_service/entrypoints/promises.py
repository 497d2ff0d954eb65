"""Ask the servers, one beside the other, for what the promises rest on: for the doctor, and once for a server's log."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple, Protocol

from structlog.typing import FilteringBoundLogger

from inventory_service.domain.promises.findings import Finding, Standing
from inventory_service.domain.shards import Unreachable
from inventory_service.entrypoints.patience import GrowingDelay

LONGEST_WAIT_S = 60.0


class Examination(NamedTuple):
    """What asks one server and judges its answer; `Unreachable` if there is none."""

    server: str
    ask: Callable[[], Awaitable[Sequence[Finding]]]


class PromiseGauge(Protocol):
    """Where the findings are shown."""

    def show(self, finding: Finding) -> None: ...


async def examine(examinations: Sequence[Examination]) -> list[Finding]:
    """All findings of all servers, in the order of the examinations; one that does not answer is a finding as well."""
    found = await asyncio.gather(*(_examine(examination) for examination in examinations))
    return [finding for findings in found for finding in findings]


async def _examine(examination: Examination) -> Sequence[Finding]:
    try:
        return await examination.ask()
    except Unreachable as error:
        return [Finding(examination.server, "answers", "no", Standing.UNKNOWN, f"nothing is known of it: {error}")]


async def tell_once(examinations: Sequence[Examination], log: FilteringBoundLogger, gauge: PromiseGauge) -> None:
    """Say of each server, as soon as it answers, what is off; nobody waits for it, and nothing is done about it."""
    await asyncio.gather(*(_tell_one(examination, log, gauge) for examination in examinations))


async def _tell_one(examination: Examination, log: FilteringBoundLogger, gauge: PromiseGauge) -> None:
    delay, is_first = GrowingDelay(first_s=1.0, longest_s=LONGEST_WAIT_S), True
    while True:
        try:
            found = await examination.ask()
            break
        except Unreachable as error:
            if is_first:
                log.info("promises_not_asked", server=examination.server, why=str(error))
            is_first = False
            await delay.wait()
        except Exception:  # whatever is wrong with what it said: a server sells all the same
            log.exception("promises_surprise", server=examination.server)
            return
    for finding in found:
        gauge.show(finding)
        _log(finding, log)
    unknown = [finding for finding in found if finding.standing is Standing.UNKNOWN]
    if unknown:
        settings = [finding.setting for finding in unknown]
        log.warning("promises_unknown", server=examination.server, settings=settings, why=unknown[0].promise)
    counts = {standing.value: sum(finding.standing is standing for finding in found) for standing in Standing}
    log.info("promises", server=examination.server, **counts)


def _log(finding: Finding, log: FilteringBoundLogger) -> None:
    """One event for each that is not simply kept: a warning for what is off."""
    server, setting, value, standing, promise, change = finding
    if standing is Standing.NOTE:
        log.info("promise_note", server=server, setting=setting, value=value, why=promise, change=change)
    elif standing is Standing.OFF:
        log.warning("promise_off", server=server, setting=setting, value=value, why=promise, change=change)
