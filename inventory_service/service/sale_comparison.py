"""Compares a sale in Redis with the ledger while both go on, or one that has left Redis with itself, for AuditSale."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import TypeVar

from holdfast.inventory.v1 import error_reason_pb2 as reasons

from holdfast_runtime.retry import Backoff
from inventory_service.domain.audit_ports import RedisReservations, SaleSnapshot, SaleSnapshots
from inventory_service.domain.buyer_reconciliation import BuyersPage, judge_buyers
from inventory_service.domain.keys import Position, SaleKey
from inventory_service.domain.ledger_reconciliation import balance_differences, line_differences
from inventory_service.domain.reconciliation import ItemInLedger, SalePage
from inventory_service.domain.results import Failure, sale_not_found
from inventory_service.domain.sale_reconciliation import (
    AuditDifference,
    SaleAudit,
    SaleRow,
    etag_commit,
    judge_reservations,
    sale_differences,
    stock_differences,
)
from inventory_service.domain.shard_load import StoredSettings
from inventory_service.domain.shards import CommitId

MAX_DIFFERENCES = 1000
STEP = 500  # reservations, or buyers, that one call to Redis reads
PAGES_AT_ONCE = 8  # which are compared after one wait for the ledger
BUYER_ROUNDS = 5  # in which a buyer is read again whose orders have changed meanwhile

Page = TypeVar("Page", SalePage, BuyersPage)


class CannotCompare(Exception):
    """Ends the comparison."""

    def __init__(self, failure: Failure) -> None:
        super().__init__()
        self.failure = failure


class SaleComparison:
    """One audit: what it has read and found so far."""

    def __init__(self, redis: RedisReservations, ledger: SaleSnapshots, sale: SaleKey, shard: int) -> None:
        self._redis = redis
        self._ledger = ledger
        self._sale = sale
        self._shard = shard
        self._head = CommitId(0, 0)  # the highest that was read
        self._found: dict[str, AuditDifference] = {}  # by subject, for a page may repeat reservations of another one
        self._is_truncated = False
        self._items = self._reservations = 0

    async def run(self) -> SaleAudit:
        """Compare settings and stock at one commit, then the reservations part by part."""
        page = await self._compare_sale()
        if page is None:
            return await self._compare_archived()
        await self._compare_reservations(page)
        await self._look_for_missing(page)
        await self._compare_buyers()
        await self._look_for_missing_buyers(page)
        return self._result(page.head)

    async def _compare_sale(self) -> SalePage | None:
        """Compare settings and stock; the first page as of which they are compared, None if the sale has left Redis.

        Where the ledger has a newer sale, or that the sale has left, both are read again: Redis then has it too.
        """
        left_by: CommitId | None = None  # a commit by which the ledger had it that the sale has left Redis
        while True:
            page = self._checked(await self._redis.page(self._shard, self._sale, 0, STEP))
            if page.settings is None:
                await self._fail_if_unknown()
            async with self._ledger_with(page) as snapshot:
                row = await snapshot.sale()
                if row is not None and page.settings is None and self._has_changed(page, row, snapshot):
                    continue
                if row is not None and row.has_left and page.settings is None:
                    return None
                if row is not None and row.has_left and (left_by is None or page.head < left_by):
                    left_by = snapshot.row.commit_id
                    continue
                await self._compare_settings_and_stock(page, row, snapshot)
                return page

    async def _fail_if_unknown(self) -> None:
        """End with NOT_FOUND if the ledger has no such sale either, however far it is: Redis keeps one until it has."""
        async with self._ledger.snapshot(self._shard, self._sale) as snapshot:
            if snapshot is not None and await snapshot.sale() is None:
                raise CannotCompare(sale_not_found(self._sale))

    async def _compare_settings_and_stock(self, page: SalePage, row: SaleRow | None, snapshot: SaleSnapshot) -> None:
        items = await snapshot.items_at(page.head)
        if row is not None and page.settings is not None and self._has_changed(page, row, snapshot):
            row = await self._row_as_of(page.settings, row, snapshot)
            known = {item.sku for item in page.items}
            items = [item for item in items if item.total or item.sku in known]  # the others were added later
        self._add(sale_differences(page.settings, row))
        if page.is_late:
            self._add([AuditDifference("sale due", "after its first hold ends", "when its first hold ends")])
        self._add(stock_differences(page.items, items, await snapshot.refused_units(page.head)))
        self._items = len({item.sku for item in page.items} | {item.sku for item in items})
        await self._compare_ledger_with_itself(snapshot, has_left=False)

    def _has_changed(self, page: SalePage, row: SaleRow, snapshot: SaleSnapshot) -> bool:
        """Whether the ledger has settings that are newer than what was read; an etag above its watermark is no such."""
        return page.head < etag_commit(row.settings) <= snapshot.row.commit_id

    async def _row_as_of(self, redis: StoredSettings, row: SaleRow, snapshot: SaleSnapshot) -> SaleRow:
        """The row as it was with Redis' etag; the row itself if the ledger never had that etag."""
        place = Position(self._shard, redis.epoch, redis.seq, redis.index)
        return row._replace(settings=await snapshot.settings_at(place, row) or row.settings)

    async def _compare_ledger_with_itself(self, snapshot: SaleSnapshot, has_left: bool) -> Sequence[ItemInLedger]:
        """At the moment of the snapshot, whatever is under way elsewhere; what was compared."""
        items = await snapshot.item_sums()
        self._add(balance_differences(items, has_left))
        self._add(line_differences(await snapshot.odd_lines(MAX_DIFFERENCES + 1, has_left)))
        return items

    async def _compare_archived(self) -> SaleAudit:
        """Compare the ledger with itself."""
        async with self._ledger.snapshot(self._shard, self._sale) as snapshot:
            assert snapshot is not None, "the shard had a row"
            items = await self._compare_ledger_with_itself(snapshot, has_left=True)
            self._items, self._reservations = len(items), await snapshot.count_reservations()
            return self._result(snapshot.row.commit_id)

    async def _compare_reservations(self, first: SalePage) -> None:
        """Compare every reservation in Redis. Those that have changed in the ledger meanwhile are read again."""
        again: list[str] = []
        read = partial(self._redis.page, self._shard, self._sale, size=STEP)
        async for pages in self._pages(read, first):
            async with self._ledger_with(pages[-1]) as snapshot:
                for page in pages:
                    again += await self._judge(page, [each.reservation_id for each in page.reservations], snapshot)
            while len(again) >= STEP:
                again = await self._read_again(again)
        while again:
            again = await self._read_again(again)

    async def _pages(
        self, read: Callable[[int], Awaitable[Page]], first: Page | None = None
    ) -> AsyncIterator[list[Page]]:
        """All pages, several at a time, so that the ledger is waited for once for all of them."""
        pages = [first or self._checked(await read(0))]
        while pages[-1].cursor:
            page = self._checked(await read(pages[-1].cursor))
            if len(pages) == PAGES_AT_ONCE:
                yield pages
                pages = []
            pages.append(page)
        yield pages

    async def _look_for_missing(self, first: SalePage) -> None:
        """Look in Redis for what the ledger has of the time before the first page and Redis has to have."""
        after = ""
        while True:
            async with self._ledger.snapshot(self._shard, self._sale) as snapshot:
                if snapshot is None:
                    raise CannotCompare(not_serving())
                ids = await snapshot.expected(first.head, first.archived, after, STEP)
            if not ids:
                return
            after = ids[-1]
            absent = list(await self._redis.absent(self._shard, self._sale, ids))
            while absent:
                absent = await self._read_again(absent)

    async def _read_again(self, ids: list[str]) -> list[str]:
        """Compare some of these reservations as they are now; those that are left to be read."""
        some = ids[:STEP]
        page = self._checked(await self._redis.reservations(self._shard, self._sale, some))
        async with self._ledger_with(page) as snapshot:
            return ids[STEP:] + await self._judge(page, some, snapshot)

    async def _judge(self, page: SalePage, ids: Sequence[str], snapshot: SaleSnapshot) -> list[str]:
        """Compare reservations; those that have to be read again."""
        in_redis = {reservation.reservation_id: reservation for reservation in page.reservations}
        judged = judge_reservations(ids, in_redis, await snapshot.orders(ids), page.head, page.archived)
        self._add(judged.differences)
        self._reservations += judged.compared
        return judged.again

    async def _compare_buyers(self) -> None:
        """Compare every buyer in Redis, and of limited items what each has of them."""
        again: list[str] = []
        async for pages in self._pages(partial(self._redis.buyers, self._shard, self._sale, size=STEP)):
            async with self._ledger_with(pages[-1]) as snapshot:
                for page in pages:
                    again += await self._judge_buyers(page, list(page.units), snapshot)
        await self._read_buyers_again(again)

    async def _look_for_missing_buyers(self, first: SalePage) -> None:
        """Look in Redis for the buyers who hold or own what was reserved before the first page."""
        after: str | None = ""
        while after is not None:
            async with self._ledger.snapshot(self._shard, self._sale) as snapshot:
                if snapshot is None:
                    raise CannotCompare(not_serving())
                after, names = await snapshot.owners(first.head, after, STEP)
            absent = list(await self._redis.absent_buyers(self._shard, self._sale, names)) if names else []
            await self._read_buyers_again(absent)

    async def _read_buyers_again(self, names: Sequence[str]) -> None:
        """Compare these as they are now; one whose orders change all the time is left out in the end."""
        for _ in range(BUYER_ROUNDS):
            changed: list[str] = []
            for first in range(0, len(names), STEP):
                some = names[first : first + STEP]
                page = self._checked(await self._redis.some_buyers(self._shard, self._sale, some))
                async with self._ledger_with(page) as snapshot:
                    changed += await self._judge_buyers(page, some, snapshot)
            names = changed

    async def _judge_buyers(self, page: BuyersPage, names: Sequence[str], snapshot: SaleSnapshot) -> list[str]:
        """Compare what buyers hold and own; those that have to be read again."""
        owned = await snapshot.buyers(sorted({name.partition("/")[0] for name in names}), page.head)
        judged = judge_buyers(names, page.units, owned)
        self._add(judged.differences)
        return judged.again

    def _checked(self, page: Page) -> Page:
        """The page; `CannotCompare` if the shard is blank, or in another Redis that has less."""
        if not page.head.epoch or page.head < self._head:
            raise CannotCompare(not_serving(page.frozen_reason))
        self._head = page.head
        return page

    @asynccontextmanager
    async def _ledger_with(self, page: SalePage | BuyersPage) -> AsyncIterator[SaleSnapshot]:
        """The ledger at a moment at which it has applied all that Redis had; `CannotCompare` if it never will."""
        delay = Backoff(first_s=0.02, longest_s=0.5)
        while True:
            async with self._ledger.snapshot(self._shard, self._sale) as snapshot:
                if snapshot is None:
                    raise CannotCompare(not_serving(page.frozen_reason))
                row = snapshot.row
                if row.commit_id >= page.head:
                    if not await snapshot.has_commit(page.head, page.hash):
                        raise CannotCompare(not_serving(row.frozen_reason or page.frozen_reason))
                    yield snapshot
                    return
                if row.frozen_reason or page.frozen_reason:
                    raise CannotCompare(not_serving(row.frozen_reason or page.frozen_reason))
            await delay.wait()

    def _add(self, differences: Iterable[AuditDifference]) -> None:
        for difference in differences:
            if difference.subject in self._found or len(self._found) < MAX_DIFFERENCES:
                self._found[difference.subject] = difference
            else:
                self._is_truncated = True

    def _result(self, as_of: CommitId) -> SaleAudit:
        position = Position(self._shard, *as_of, 0)
        found = tuple(self._found.values())
        return SaleAudit(position, found, self._is_truncated, self._items, self._reservations)


def not_serving(frozen_reason: str = "") -> Failure:
    return Failure(reasons.ERROR_REASON_SHARD_NOT_SERVING, {"frozen_reason": frozen_reason} if frozen_reason else {})
