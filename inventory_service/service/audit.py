"""Compares Redis with the ledger, each sale at one commit, and the ledger's balances with its own entries."""

import asyncio
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import NamedTuple

from holdfast_runtime.retry import Backoff
from inventory_service.domain.audit_ports import LedgerSnapshot, LedgerSnapshots, RedisSnapshots
from inventory_service.domain.keys import SaleKey, shard_of
from inventory_service.domain.reconciliation import (
    Difference,
    JournalReader,
    ReservationSnapshot,
    SalePage,
    due_differences,
    hold_differences,
    item_differences,
    leftover_differences,
    reservation_differences,
    sum_differences,
)
from inventory_service.domain.reservation import HELD
from inventory_service.domain.shard_ports import LedgerRows, Shards
from inventory_service.domain.shards import CommitId, ServerUnavailable, ShardCountMismatch, ShardStatus
from inventory_service.service.shard_counts import check_shard_counts

COUNTED = ("shards", "sales", "reservations", "commits")


class Dependencies(NamedTuple):
    """The ports of an audit, and its outputs."""

    shards: Shards
    rows: LedgerRows
    redis: RedisSnapshots
    ledger: LedgerSnapshots
    progress: Callable[[str], None]  # gets lines for a person
    write: Callable[[str], None]  # gets the result
    page_read: Callable[[str], None] = lambda _line: None  # gets how far a sale is, after each page of it


@dataclass
class AuditResult:
    """The differences, and how much was compared."""

    shards: int = 0
    sales: int = 0
    reservations: int = 0
    commits: int = 0
    differences: list[Difference] = field(default_factory=list)

    def add(self, other: "AuditResult") -> None:
        self.shards += other.shards
        self.sales += other.sales
        self.reservations += other.reservations
        self.commits += other.commits
        self.differences += other.differences


class CannotCompare(Exception):
    """Redis and the ledger cannot be compared; the message says why and what to do."""


class _SnapshotMoved(Exception):
    """The shard got new commits while a sale was read."""


async def run(
    dependencies: Dependencies, shard_count: int, only: SaleKey | None, deadline_s: float, as_json: bool
) -> int:
    """The exit code: 0 if Redis and the ledger agree, 1 if they differ, 2 if they could not be compared."""
    result = AuditResult()
    try:
        async with asyncio.timeout(deadline_s) as deadline:
            await check_shard_counts(shard_count, dependencies.shards, dependencies.rows)
            for shard in range(shard_count) if only is None else [shard_of(only, shard_count)]:
                dependencies.progress(f"shard {shard}: comparing")
                await _compare_when_equal(dependencies, shard, only, result)
            deadline.reschedule(None)
    except ServerUnavailable as error:
        return _write_failure(dependencies, error.describe("and run the audit again"), as_json)
    except (CannotCompare, ShardCountMismatch) as error:
        return _write_failure(dependencies, str(error), as_json)
    except TimeoutError:
        waited = f"Redis and the ledger did not reach the same commit within {deadline_s:g} s"
        remedy = "check that relay and persister run and that the sale gets no calls, then run the audit again"
        return _write_failure(dependencies, f"{waited}: {remedy}", as_json)
    dependencies.write(_json(result) if as_json else _text(result))
    return 1 if result.differences else 0


async def audit_shard(dependencies: Dependencies, shard: int, deadline_s: float) -> AuditResult | str:
    """Compare one shard: what differs, or why it could not be compared."""
    result = AuditResult()
    try:
        async with asyncio.timeout(deadline_s):
            await _compare_when_equal(dependencies, shard, None, result)
    except ServerUnavailable as error:
        return error.describe()
    except CannotCompare as error:
        return str(error)
    except TimeoutError:
        return f"Redis and the ledger were not at the same commit for long enough within {deadline_s:g} s"
    return result


async def _compare_when_equal(
    dependencies: Dependencies, shard: int, only: SaleKey | None, result: AuditResult
) -> None:
    """Wait until the ledger has caught up, then compare; if it got commits, the rest. The caller sets the deadline."""
    delay, written = Backoff(first_s=0.05, longest_s=1.0), ""
    compared: set[SaleKey] = set()
    while True:
        status = await dependencies.shards.status(shard)
        async with dependencies.ledger.snapshot(shard) as snapshot:
            _check_comparable(status, snapshot)
            if (snapshot.commit_id, snapshot.hash) == (status.head, status.hash):
                try:
                    await _compare(dependencies, shard, only, snapshot, compared, result)
                except _SnapshotMoved:
                    pass
                else:
                    return
            elif status.frozen_reason:
                result.differences.append(Difference(f"shard {shard}", f"is frozen: {status.frozen_reason}"))
                return
        waiting = f"shard {shard}: waiting, the ledger is at {_format(snapshot.commit_id)}"
        if written != waiting:
            written = waiting
            dependencies.progress(f"{waiting} and Redis at {_format(status.head)}")
        await delay.wait()


def _check_comparable(status: ShardStatus, snapshot: LedgerSnapshot) -> None:
    if status.blank and snapshot.commit_id is None:
        raise CannotCompare(f"shard {status.shard} is not open: run `holdfast init` first")
    if snapshot.commit_id is None:
        raise CannotCompare(f"the ledger has no row of shard {status.shard}: is HOLDFAST_POSTGRES_DSN right?")
    if status.blank and not status.frozen_reason:
        raise CannotCompare(f"shard {status.shard} is blank in Redis; the ledger is at {_format(snapshot.commit_id)}")


async def _compare(
    dependencies: Dependencies,
    shard: int,
    only: SaleKey | None,
    snapshot: LedgerSnapshot,
    compared: set[SaleKey],
    result: AuditResult,
) -> None:
    """Compare the sales that are not `compared` yet, then the ledger's journal with itself."""
    in_ledger = await snapshot.sales()
    sales = {*in_ledger, *await dependencies.redis.sales(shard)}
    if only is not None and only not in sales:
        raise CannotCompare(f"there is no sale {only}, neither in Redis nor in the ledger")
    for sale in sorted(sales - compared) if only is None else [only]:
        result.add(await _compare_sale(dependencies, shard, sale, snapshot))
        compared.add(sale)
    result.shards += 1
    await _check_journal(shard, snapshot, in_ledger, result)


async def _compare_sale(dependencies: Dependencies, shard: int, sale: SaleKey, snapshot: LedgerSnapshot) -> AuditResult:
    found = AuditResult(sales=1)
    seen: set[str] = set()
    held, cursor = 0, 0
    while True:
        page = await dependencies.redis.page(shard, sale, cursor)
        if (page.head, page.hash) != (snapshot.commit_id, snapshot.hash):
            raise _SnapshotMoved
        if cursor == 0:
            await _compare_items(sale, page, snapshot, found)
            found.differences += due_differences(sale, page)
        fresh = [kept for kept in page.reservations if kept.reservation_id not in seen]
        seen.update(kept.reservation_id for kept in fresh)
        held += await _compare_reservations(sale, fresh, snapshot, found)
        dependencies.page_read(f"shard {shard}: sale {sale}, {_counted(len(seen), 'reservations')}")
        cursor = page.cursor
        if cursor == 0:
            break
    found.reservations += len(seen)
    found.differences += hold_differences(sale, held, await snapshot.holds(sale))
    return found


async def _compare_items(sale: SaleKey, page: SalePage, snapshot: LedgerSnapshot, found: AuditResult) -> None:
    items = await snapshot.items(sale)
    if not page.items and await snapshot.has_left(sale):
        found.differences += leftover_differences(sale, items)
    else:
        found.differences += item_differences(sale, page.items, items)
    found.differences += sum_differences(sale, items)


async def _compare_reservations(
    sale: SaleKey, kept: Sequence[ReservationSnapshot], snapshot: LedgerSnapshot, found: AuditResult
) -> int:
    """Compare some reservations; the number of those that are holds and that the ledger did not refuse."""
    ids = [reservation.reservation_id for reservation in kept]
    recorded, dead_letters = await snapshot.reservations(sale, ids), await snapshot.dead_letters(sale, ids)
    found.differences += reservation_differences(sale, kept, recorded, dead_letters)
    refused = {dead_letter.order.created for dead_letter in dead_letters}
    return sum(reservation.state == HELD and reservation.created not in refused for reservation in kept)


async def _check_journal(shard: int, snapshot: LedgerSnapshot, sales: Sequence[SaleKey], found: AuditResult) -> None:
    assert snapshot.commit_id is not None, "only shards with a row in the ledger are compared"
    journal = JournalReader(shard)
    async for commit in snapshot.commits():
        found.differences += journal.read(commit)
    found.differences += journal.finish(snapshot.commit_id, snapshot.hash, sales)
    found.commits += journal.commits


def _format(commit_id: CommitId | None) -> str:
    return f"commit {commit_id}" if commit_id else "nothing"


def _write_failure(dependencies: Dependencies, why: str, as_json: bool) -> int:
    dependencies.write(json.dumps({"error": why}) if as_json else f"The audit failed: {why}")
    return 2


def _json(result: AuditResult) -> str:
    differences = [difference._asdict() for difference in result.differences]
    return json.dumps({"consistent": not differences, **asdict(result), "differences": differences})


def _text(result: AuditResult) -> str:
    counted = ", ".join(_counted(getattr(result, noun), noun) for noun in COUNTED)
    if not result.differences:
        return f"Redis and the ledger agree: {counted}."
    listed = "\n".join(f"  {difference}" for difference in result.differences)
    return f"Redis and the ledger differ in {_counted(len(result.differences), 'places')}: {counted}.\n{listed}"


def _counted(number: int, plural: str) -> str:
    return f"{number:,} {plural if number != 1 else plural.removesuffix('s')}"
