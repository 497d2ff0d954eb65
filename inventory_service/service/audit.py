"""Prove that the books agree: Redis against the ledger at one position of each shard, and the ledger against itself."""

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
    Part,
    ReservationSnapshot,
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


class Parts(NamedTuple):
    """Everything an audit works with."""

    shards: Shards
    rows: LedgerRows
    redis: RedisSnapshots
    ledger: LedgerSnapshots
    retention_ms: int  # for which Redis keeps what has ended
    say: Callable[[str], None]  # progress, for a person
    tell: Callable[[str], None]  # the result


@dataclass
class Findings:
    """What an audit found."""

    shards: int = 0
    sales: int = 0
    reservations: int = 0
    commits: int = 0
    differences: list[Difference] = field(default_factory=list)


class CannotCompare(Exception):
    """Redis and the ledger cannot be brought to one position; the message says why and what to do."""


class _SnapshotMoved(Exception):
    """The shard moved while it was read."""


async def run(parts: Parts, shard_count: int, only: SaleKey | None, deadline_s: float, as_json: bool) -> int:
    """The exit code: 0 if the books agree, 1 if they differ, 2 if they could not be compared."""
    findings = Findings()
    try:
        async with asyncio.timeout(deadline_s) as deadline:
            await check_shard_counts(shard_count, parts.shards, parts.rows)
            for shard in range(shard_count) if only is None else [shard_of(only, shard_count)]:
                parts.say(f"shard {shard}: comparing")
                await _compare_when_equal(parts, shard, only, findings)
            deadline.reschedule(None)
    except ServerUnavailable as error:
        return _give_up(parts, f"{error.server} does not answer: {error}; start it and ask again", as_json)
    except (CannotCompare, ShardCountMismatch) as error:
        return _give_up(parts, str(error), as_json)
    except TimeoutError:
        waited = f"Redis and the ledger did not come to one position within {deadline_s:g} s"
        todo = "see that relay and persister run and that the sale is quiet, then ask again"
        return _give_up(parts, f"{waited}: {todo}", as_json)
    parts.tell(_json(findings) if as_json else _text(findings))
    return 1 if findings.differences else 0


async def _compare_when_equal(parts: Parts, shard: int, only: SaleKey | None, findings: Findings) -> None:
    """Wait for the ledger to catch up, then compare; again if it moved meanwhile. The caller sets the deadline."""
    delay, said = Backoff(first_s=0.05, longest_s=1.0), ""
    while True:
        status = await parts.shards.status(shard)
        async with parts.ledger.snapshot(shard) as snapshot:
            _check_comparable(status, snapshot)
            if (snapshot.commit_id, snapshot.hash) == (status.head, status.hash):
                try:
                    found = await _compare(parts, shard, only, snapshot)
                except _SnapshotMoved:
                    pass
                else:
                    _add(findings, found)
                    return
            elif status.frozen_reason:
                findings.differences.append(Difference(f"shard {shard}", f"is frozen: {status.frozen_reason}"))
                return
        waiting = f"shard {shard}: waiting, the ledger stands at {_spelled(snapshot.commit_id)}"
        if said != waiting:
            said = waiting
            parts.say(f"{waiting} and Redis at {_spelled(status.head)}")
        await delay.wait()


def _check_comparable(status: ShardStatus, snapshot: LedgerSnapshot) -> None:
    if status.blank and snapshot.commit_id is None:
        raise CannotCompare(f"shard {status.shard} is not open: run `holdfast init` first")
    if snapshot.commit_id is None:
        raise CannotCompare(f"the ledger has never heard of shard {status.shard}: is HOLDFAST_POSTGRES_DSN right?")
    if status.blank and not status.frozen_reason:
        raise CannotCompare(
            f"shard {status.shard} is blank in Redis; the ledger stands at {_spelled(snapshot.commit_id)}"
        )


async def _compare(parts: Parts, shard: int, only: SaleKey | None, snapshot: LedgerSnapshot) -> Findings:
    found = Findings(shards=1)
    in_ledger = await snapshot.sales()
    sales = {*in_ledger, *await parts.redis.sales(shard)}
    if only is not None and only not in sales:
        raise CannotCompare(f"there is no sale {only}, neither in Redis nor in the ledger")
    for sale in sorted(sales) if only is None else [only]:
        await _compare_sale(parts, shard, sale, snapshot, found)
        found.sales += 1
    await _check_journal(shard, snapshot, in_ledger, found)
    return found


async def _compare_sale(parts: Parts, shard: int, sale: SaleKey, snapshot: LedgerSnapshot, found: Findings) -> None:
    seen: set[str] = set()
    held, cursor = 0, 0
    while True:
        part = await parts.redis.part(shard, sale, cursor)
        if (part.head, part.hash) != (snapshot.commit_id, snapshot.hash):
            raise _SnapshotMoved
        if cursor == 0:
            await _compare_items(sale, part, snapshot, parts.retention_ms, found)
        fresh = [kept for kept in part.reservations if kept.reservation_id not in seen]
        seen.update(kept.reservation_id for kept in fresh)
        held += await _compare_reservations(sale, fresh, snapshot, found)
        parts.say(f"shard {shard}: sale {sale}, {_counted(len(seen), 'reservations')}")
        cursor = part.cursor
        if cursor == 0:
            break
    found.reservations += len(seen)
    found.differences += hold_differences(sale, held, await snapshot.holds(sale))


async def _compare_items(
    sale: SaleKey, part: Part, snapshot: LedgerSnapshot, retention_ms: int, found: Findings
) -> None:
    items = await snapshot.items(sale)
    # By the clock that Redis forgets by. What is missing too early was lost, however well the ledger knows it.
    if not part.items and await snapshot.is_past(sale, part.now_ms - retention_ms):
        found.differences += leftover_differences(sale, items)
    else:
        found.differences += item_differences(sale, part.items, items)
    found.differences += sum_differences(sale, items)


async def _compare_reservations(
    sale: SaleKey, kept: Sequence[ReservationSnapshot], snapshot: LedgerSnapshot, found: Findings
) -> int:
    """Compare some, and answer how many of them are holds that the ledger did not refuse."""
    ids = [reservation.reservation_id for reservation in kept]
    booked, letters = await snapshot.reservations(sale, ids), await snapshot.letters(sale, ids)
    found.differences += reservation_differences(sale, kept, booked, letters)
    refused = {letter.created for letter in letters}
    return sum(reservation.state == HELD and reservation.created not in refused for reservation in kept)


async def _check_journal(shard: int, snapshot: LedgerSnapshot, sales: Sequence[SaleKey], found: Findings) -> None:
    assert snapshot.commit_id is not None, "compared only where the ledger has a row"
    journal = JournalReader(shard)
    async for commit in snapshot.commits():
        found.differences += journal.read(commit)
    found.differences += journal.finish(snapshot.commit_id, snapshot.hash, sales)
    found.commits += journal.commits


def _add(findings: Findings, found: Findings) -> None:
    findings.shards += found.shards
    findings.sales += found.sales
    findings.reservations += found.reservations
    findings.commits += found.commits
    findings.differences += found.differences


def _spelled(commit_id: CommitId | None) -> str:
    return f"commit {commit_id}" if commit_id else "nothing"


def _give_up(parts: Parts, why: str, as_json: bool) -> int:
    parts.tell(json.dumps({"error": why}) if as_json else f"The audit could not be made: {why}")
    return 2


def _json(findings: Findings) -> str:
    differences = [difference._asdict() for difference in findings.differences]
    return json.dumps({"consistent": not differences, **asdict(findings), "differences": differences})


def _text(findings: Findings) -> str:
    counted = ", ".join(_counted(getattr(findings, noun), noun) for noun in COUNTED)
    if not findings.differences:
        return f"The books agree: {counted}."
    told = "\n".join(f"  {difference}" for difference in findings.differences)
    return f"The books differ in {_counted(len(findings.differences), 'places')}: {counted}.\n{told}"


def _counted(number: int, plural: str) -> str:
    return f"{number:,} {plural if number != 1 else plural.removesuffix('s')}"
