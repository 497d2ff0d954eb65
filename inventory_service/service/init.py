"""Opens every shard of an empty Redis and an empty ledger, by a take-over each.

Safe to repeat, also after a crash: an open shard is left alone, a half-open one is opened under the next epoch. Nothing
is written unless every shard may be opened.
"""

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field

from structlog.typing import FilteringBoundLogger

from holdfast_runtime.retry import Backoff
from inventory_service.domain.shard_ports import CommitOffsets, LedgerRows, Shards
from inventory_service.domain.shards import NEEDS_RESTORE, LedgerRow, ServerUnavailable, ShardStatus, other_shard_count
from inventory_service.service.relay.takeover import Attempt, Ending, ShardTakeover

WAIT_NOTICE_S = 5.0  # a shard that takes longer waits for the persister, which is logged
DEADLINE_S = 120.0
PERSISTER_BEHIND = "the persister has not read the commits topic to its end"


@dataclass
class InitResult:
    """The result, as `--json` prints it."""

    shards: int
    open_already: list[int] = field(default_factory=list)
    opened: list[int] = field(default_factory=list)
    not_opened: dict[int, str] = field(default_factory=dict)  # shard -> reason
    objections: list[str] = field(default_factory=list)  # reasons for which no shard may be opened
    error: str = ""  # names a server that did not answer


async def run(
    shard_count: int,
    shards: Shards,
    ledger: LedgerRows,
    offsets: CommitOffsets,
    takeover: ShardTakeover,
    log: FilteringBoundLogger,
    write: Callable[[str], None] | None = None,
    beside_old_records: bool = False,
) -> int:
    """The exit code: 0 if every shard is open, 1 if one must not be, 2 if a server did not answer or one did not open.

    `write` gets the result as JSON. `beside_old_records` opens shards whose partitions hold an earlier ledger's
    records.
    """
    result = InitResult(shard_count)
    try:
        statuses, rows = await _read_both(shard_count, shards, ledger)
        result.objections += _objections(shard_count, statuses, rows)
        if not beside_old_records:
            result.objections += await _old_records(statuses, rows, offsets)
        await _open_all(result, statuses, takeover, log)
    except ServerUnavailable as error:
        result.error = error.describe()
        remedy = f"{error.remedy}, and run `holdfast init` again"
        log.error("server_unavailable", server=error.server, why=str(error), remedy=remedy)
    if write is not None:
        write(json.dumps({"open": not _exit_code(result), **asdict(result)}))
    return _exit_code(result)


async def _open_all(
    result: InitResult, statuses: Sequence[ShardStatus], takeover: ShardTakeover, log: FilteringBoundLogger
) -> None:
    """Open every shard, or none if one must not be opened."""
    for objection in result.objections:
        log.error("init_rejected", why=objection)
    result.open_already += [status.shard for status in statuses if not status.blank]
    blank = [status.shard for status in statuses if status.blank and not result.objections]
    if blank:
        log.info("opening_shards", shards=len(blank), already_open=len(result.open_already))
    for shard in blank:
        problem = await _open(shard, takeover, log)
        if problem:
            result.not_opened[shard] = problem
        else:
            result.opened.append(shard)
    if not result.objections:
        log.info("init_completed", opened=len(result.opened), shards=result.shards)


async def _read_both(
    shard_count: int, shards: Shards, ledger: LedgerRows
) -> tuple[Sequence[ShardStatus], Mapping[int, LedgerRow]]:
    """Read both at one moment: a shard that another `init` opens in between looks like one that lost its data."""
    while True:
        before = [await shards.status(shard) for shard in range(shard_count)]
        rows = await ledger.rows()
        after = [await shards.status(shard) for shard in range(shard_count)]
        if [status.blank for status in before] == [status.blank for status in after]:
            return after, rows


def _exit_code(result: InitResult) -> int:
    if result.objections:
        return 1
    return 2 if result.error or result.not_opened else 0


def _objections(shard_count: int, statuses: Sequence[ShardStatus], rows: Mapping[int, LedgerRow]) -> list[str]:
    """The reasons for which no shard may be opened, one sentence each."""
    in_redis = {status.shards for status in statuses if not status.blank} - {shard_count}
    in_ledger = {row.shards for row in rows.values()} - {shard_count}
    found = [other_shard_count(shard_count, other, "Redis") for other in sorted(in_redis)]
    found += [other_shard_count(shard_count, other, "the ledger") for other in sorted(in_ledger)]
    for status in statuses:
        row = rows.get(status.shard)
        if status.blank and row is not None and row.hash:
            lost = f"the ledger is at commit {row.commit_id} and the shard is blank in Redis"
            found.append(f"shard {status.shard}: {NEEDS_RESTORE}: {lost}; opening it would sell sold units again")
        if not status.blank and row is None:
            unknown = "open in Redis and without a row in the ledger: is HOLDFAST_POSTGRES_DSN right?"
            found.append(f"shard {status.shard}: {unknown}")
    return found


async def _old_records(
    statuses: Sequence[ShardStatus], rows: Mapping[int, LedgerRow], offsets: CommitOffsets
) -> list[str]:
    """The partitions of shards without a row that hold records: the sales and orders of an earlier ledger."""
    found = []
    for shard in (status.shard for status in statuses if status.blank and status.shard not in rows):
        beginning, end = await offsets.offsets(shard)
        if end > beginning:
            found.append(
                f"shard {shard}: the ledger has no row, and the commits topic holds {end - beginning} records of an "
                "earlier one: restore that ledger, have `holdfast restore` rebuild it if Kafka has deleted none, make "
                "the topics anew, or keep their commits as orphans by --beside-old-records"
            )
    return found


async def _open(shard: int, takeover: ShardTakeover, log: FilteringBoundLogger) -> str:
    """Take the shard over; '' or the problem. Of several `init` at once, which overtake each other, one succeeds."""
    delay = Backoff(first_s=0.05, longest_s=1.0)
    notice = asyncio.get_running_loop().call_later(
        WAIT_NOTICE_S, lambda: log.info("waiting_for_persister", shard=shard, why=PERSISTER_BEHIND)
    )
    try:
        async with asyncio.timeout(DEADLINE_S):
            while (attempt := await takeover.attempt(shard)).ending in (Ending.OVERTAKEN, Ending.NEWER_EPOCH):
                await delay.wait()
    except TimeoutError:
        remedy = "start `holdfast persist`, and run `holdfast init` again"
        log.error("shard_not_opened", shard=shard, why=PERSISTER_BEHIND, remedy=remedy)
        return f"not within {DEADLINE_S:g} s: {PERSISTER_BEHIND}"
    finally:
        notice.cancel()
    return _report(shard, attempt, log)


def _report(shard: int, attempt: Attempt, log: FilteringBoundLogger) -> str:
    """Log how the take-over of a shard ended; '' or the problem."""
    if attempt.ending is Ending.SERVING:
        log.info("shard_already_open", shard=shard, why="another init was faster")
    elif attempt.ending is Ending.ADOPTED:
        log.info("shard_opened", shard=shard, epoch=attempt.epoch)
    else:
        why = attempt.detail or attempt.ending.value
        log.error("shard_not_opened", shard=shard, why=why)
        return why
    return ""
