"""Lists of what the ledger has, each with the moment up to which it is complete."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from time import perf_counter
from typing import Final, TypeVar

from holdfast.inventory.v1 import error_reason_pb2 as reasons

from inventory_service.domain.dead_letters import DeadLetter
from inventory_service.domain.keys import Position
from inventory_service.domain.list_ports import LedgerLists
from inventory_service.domain.lists import (
    AdjustmentSelection,
    BlockedBuyer,
    BlockedBuyerSelection,
    DeadLetterSelection,
    Listed,
    Page,
    PageRequest,
    ReservationSelection,
    SaleSelection,
    ShardMoment,
    Watermark,
    complete_time_ms,
    shards_of,
)
from inventory_service.domain.reservation import Reservation
from inventory_service.domain.results import Failure
from inventory_service.domain.sale import Adjustment, Sale
from inventory_service.domain.shards import CommitId
from inventory_service.domain.time_left import caller_leaves
from inventory_service.service.bulkhead import Bulkhead
from inventory_service.service.cached_read import CachedRead
from inventory_service.service.shard_moments import ShardMoments

T = TypeVar("T")
MAX_WAIT_S = 15.0  # for a commit, where the caller set no deadline: half of what its call may take then
POLL_S = 0.05
_LEDGER_BEHIND: Final = Failure(reasons.ERROR_REASON_LEDGER_BEHIND)


class Lists:
    """Every method returns a page, or a failure: the ledger is unreachable, overloaded or behind."""

    def __init__(
        self, ledger: LedgerLists, moments: ShardMoments, bulkhead: Bulkhead, shards: int, now_ms: Callable[[], int]
    ) -> None:
        self._ledger = ledger
        self._moments = moments
        self._bulkhead = bulkhead
        self.shards = shards
        self._now_ms = now_ms  # of this server, where a shard's clock cannot be asked
        self._watermarks = CachedRead(lambda: bulkhead.ask(ledger.watermarks), POLL_S)

    async def reservations(
        self, selection: ReservationSelection, page: PageRequest, at_least: Position | None = None
    ) -> Page[Reservation] | Failure:
        """A page of reservations, once the ledger has the commit `at_least`."""
        failure = await self._wait_for(at_least) if at_least is not None else None
        if failure is not None:
            return failure
        shards = shards_of(selection.tenant, selection.sale_id, self.shards)
        return await self._page(
            shards, lambda moments: self._ledger.reservations(selection, page, shards, self._clocks(moments))
        )

    async def sales(self, selection: SaleSelection, page: PageRequest) -> Page[Sale] | Failure:
        """A page of sales, in their states by this server's clock."""
        shards = range(self.shards)
        return await self._page(shards, lambda _: self._ledger.sales(selection, page, shards, self._now_ms()))

    async def adjustments(self, selection: AdjustmentSelection, page: PageRequest) -> Page[Adjustment] | Failure:
        """A page of a sale's adjustments."""
        shards = shards_of(selection.tenant, selection.sale_id, self.shards)
        return await self._page(shards, lambda _: self._ledger.adjustments(selection, page, shards))

    async def dead_letters(self, selection: DeadLetterSelection, page: PageRequest) -> Page[DeadLetter] | Failure:
        """A page of dead letters."""
        shards = shards_of(selection.tenant, selection.sale_id, self.shards)
        return await self._page(shards, lambda _: self._ledger.dead_letters(selection, page, shards))

    async def blocked_buyers(self, selection: BlockedBuyerSelection, page: PageRequest) -> Page[BlockedBuyer] | Failure:
        """A page of blocked buyers; the ledger's list is the whole truth, so no shard is asked."""
        return await self._page((), lambda _: self._ledger.blocked_buyers(selection, page))

    async def _page(
        self,
        shards: Sequence[int],
        query: Callable[[Mapping[int, ShardMoment | None]], Awaitable[Listed[T]]],
    ) -> Page[T] | Failure:
        """The shards are asked before the ledger is: what it has then, it has of all that they had made."""
        moments = await self._moments.read(shards)
        listed = await self._bulkhead.ask(lambda: query(moments))
        if isinstance(listed, Failure):
            return listed
        return Page(listed.elements, listed.last_looked_at, complete_time_ms(moments, listed.watermarks))

    def _clocks(self, moments: Mapping[int, ShardMoment | None]) -> Sequence[int]:
        """The moment of every shard, by its own clock where it was asked and has answered."""
        now_ms = self._now_ms()
        read = (moments.get(shard) for shard in range(self.shards))
        return [now_ms if moment is None else moment.now_ms for moment in read]

    async def _wait_for(self, at_least: Position) -> Failure | None:
        """Wait until the ledger has a commit; what came before it is there then, for a shard's are applied in order."""
        commit = CommitId(at_least.epoch, at_least.seq)
        began = perf_counter()
        ends = min(began + MAX_WAIT_S, (began + caller_leaves.get()) / 2)
        while True:
            watermarks = await self._watermarks.get()
            if isinstance(watermarks, Failure):
                return watermarks
            has_applied = await self._has_applied(at_least.shard, commit, watermarks.get(at_least.shard))
            if has_applied is not False:
                return has_applied if isinstance(has_applied, Failure) else None
            if perf_counter() >= ends:
                return _LEDGER_BEHIND
            await asyncio.sleep(POLL_S)

    async def _has_applied(self, shard: int, commit: CommitId, watermark: Watermark | None) -> bool | Failure:
        """A watermark in a later epoch does not tell: the commit may have been lost with the end of its own."""
        if watermark is None or watermark.commit < commit:
            return False
        if watermark.commit.epoch == commit.epoch:
            return True
        return await self._bulkhead.ask(lambda: self._ledger.has_applied(shard, commit))
