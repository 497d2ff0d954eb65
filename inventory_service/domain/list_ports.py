"""The port by which the ledger's lists are read. `LedgerUnavailable` if it does not answer."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from inventory_service.domain.dead_letters import DeadLetter
from inventory_service.domain.lists import (
    AdjustmentSelection,
    BlockedBuyer,
    BlockedBuyerSelection,
    DeadLetterSelection,
    Listed,
    PageRequest,
    ReservationSelection,
    SaleSelection,
    Watermark,
)
from inventory_service.domain.reservation import Reservation
from inventory_service.domain.sale import Adjustment, Sale
from inventory_service.domain.shards import CommitId


class LedgerLists(Protocol):
    """Each answers a part of a list, newest first, with the watermarks of `shards` at the same moment."""

    async def reservations(
        self, selection: ReservationSelection, page: PageRequest, shards: Sequence[int], now_ms: Sequence[int]
    ) -> Listed[Reservation]:
        """Reservations, each in its state at `now_ms` of its shard."""
        ...

    async def sales(
        self, selection: SaleSelection, page: PageRequest, shards: Sequence[int], now_ms: int
    ) -> Listed[Sale]:
        """Sales without their items, in their states at `now_ms`."""
        ...

    async def adjustments(
        self, selection: AdjustmentSelection, page: PageRequest, shards: Sequence[int]
    ) -> Listed[Adjustment]: ...

    async def dead_letters(
        self, selection: DeadLetterSelection, page: PageRequest, shards: Sequence[int]
    ) -> Listed[DeadLetter]: ...

    async def blocked_buyers(self, selection: BlockedBuyerSelection, page: PageRequest) -> Listed[BlockedBuyer]: ...

    async def watermarks(self) -> Mapping[int, Watermark]:
        """How far the ledger is in each shard."""
        ...

    async def has_applied(self, shard: int, commit: CommitId) -> bool:
        """Whether the ledger has this commit; of seq 0, whether its epoch has begun."""
        ...
