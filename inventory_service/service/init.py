"""Open empty shards: the take-over of a Redis that holds nothing by a ledger that holds nothing.

Safe to run again and after a crash in the middle: a shard that is open is left alone, one that is half-open is opened
under the next epoch. Nothing is touched unless every shard may be.
"""

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field

from structlog.typing import FilteringBoundLogger

from holdfast_runtime.retry import Backoff
from inventory_service.domain.shard_ports import LedgerRows, Shards
from inventory_service.domain.shards import NEEDS_RESTORE, LedgerRow, ServerUnavailable, ShardStatus
from inventory_service.service.relay.takeover import Ending, ShardTakeover

SLOW_S = 5.0  # a shard that takes longer waits for the persister, and says so
DEADLINE_S = 120.0


@dataclass
class InitResult:
    """What came of it, for a script."""

    shards: int
    open_already: list[int] = field(default_factory=list)
    opened: list[int] = field(default_factory=list)
    not_opened: dict[int, str] = field(default_factory=dict)  # shard -> why
    objections: list[str] = field(default_factory=list)  # why none may be opened
    error: str = ""  # why a server could not be asked


async def run(
    shard_count: int,
    shards: Shards,
    ledger: LedgerRows,
    takeover: ShardTakeover,
    log: FilteringBoundLogger,
    tell: Callable[[str], None] | None = None,
) -> int:
    """The exit code: 0 if every shard is open, 1 if one must not be opened, 2 if a server could not be asked.

    `tell` gets the report as JSON.
    """
    report = InitResult(shard_count)
    try:
        await _open_all(report, shards, ledger, takeover, log)
    except ServerUnavailable as error:
        report.error = f"{error.server} does not answer: {error}"
        log.error("cannot_ask", server=error.server, why=str(error), todo="start it, and run `holdfast init` again")
    if tell is not None:
        tell(json.dumps({"open": not _exit_code(report), **asdict(report)}))
    return _exit_code(report)


async def _open_all(
    report: InitResult, shards: Shards, ledger: LedgerRows, takeover: ShardTakeover, log: FilteringBoundLogger
) -> None:
    """Open every shard, or none where one must not be."""
    statuses, rows = await _look(report.shards, shards, ledger)
    report.objections += _objections(report.shards, statuses, rows)
    for objection in report.objections:
        log.error("refused", why=objection)
    report.open_already += [status.shard for status in statuses if not status.blank]
    blank = [status.shard for status in statuses if status.blank and not report.objections]
    if blank:
        log.info("opening", shards=len(blank), open_already=len(report.open_already))
    for shard in blank:
        why_not = await _open(shard, takeover, log)
        if why_not:
            report.not_opened[shard] = why_not
        else:
            report.opened.append(shard)
    if not report.objections:
        log.info("done", opened=len(report.opened), shards=report.shards)


async def _look(
    shard_count: int, shards: Shards, ledger: LedgerRows
) -> tuple[Sequence[ShardStatus], Mapping[int, LedgerRow]]:
    """Both sides at one moment: a shard that another `init` opens in between looks like one that lost its data."""
    while True:
        before = [await shards.status(shard) for shard in range(shard_count)]
        rows = await ledger.rows()
        after = [await shards.status(shard) for shard in range(shard_count)]
        if [status.blank for status in before] == [status.blank for status in after]:
            return after, rows


def _exit_code(report: InitResult) -> int:
    if report.objections:
        return 1
    return 2 if report.error or report.not_opened else 0


def _objections(shard_count: int, statuses: Sequence[ShardStatus], rows: Mapping[int, LedgerRow]) -> list[str]:
    """Why nothing may be opened, one sentence each; none if all is well."""
    counts = {status.shards for status in statuses if not status.blank} | {row.shards for row in rows.values()}
    others = sorted(counts - {shard_count})
    found = [f"HOLDFAST_SHARDS is {shard_count}, and these servers were laid out for {other}" for other in others]
    for status in statuses:
        row = rows.get(status.shard)
        if status.blank and row is not None and row.hash:
            lost = f"the ledger ends at commit {row.commit_id} and Redis holds nothing"
            found.append(f"shard {status.shard}: {NEEDS_RESTORE}: {lost}; opening it would sell again what is sold")
        if not status.blank and row is None:
            unknown = "open in Redis and unknown to the ledger: is HOLDFAST_POSTGRES_DSN right?"
            found.append(f"shard {status.shard}: {unknown}")
    return found


async def _open(shard: int, takeover: ShardTakeover, log: FilteringBoundLogger) -> str:
    """Take over until it is done, or why it cannot be; several `init` at once overtake each other, and one wins."""
    delay = Backoff(first_s=0.05, longest_s=1.0)
    telling = asyncio.get_running_loop().call_later(
        SLOW_S, lambda: log.info("waiting", shard=shard, why="the persister has not read the commits topic to its end")
    )
    try:
        async with asyncio.timeout(DEADLINE_S):
            while (attempt := await takeover.attempt(shard)).ending in (Ending.OVERTAKEN, Ending.NEWER_EPOCH):
                await delay.wait()
    except TimeoutError:
        log.error("not_opened", shard=shard, todo="start `holdfast persist`, and run `holdfast init` again")
        return f"not within {DEADLINE_S:g} s: the persister has not read the commits topic to its end"
    finally:
        telling.cancel()
    if attempt.ending is Ending.SERVING:
        log.info("open_already", shard=shard, why="somebody else was faster")
    elif attempt.ending is Ending.ADOPTED:
        log.info("opened", shard=shard, epoch=attempt.epoch)
    else:
        why = attempt.detail or attempt.ending.value
        log.error("not_opened", shard=shard, why=why)
        return why
    return ""
