"""The stock and the archive as the server, its batcher, the relay and the compensator use them, as Protocols.

`InMemoryStock` and `RedisStock` implement those of the stock, and the contract tests run on both.
"""

from collections.abc import Awaitable, Sequence
from typing import NamedTuple, Protocol

from inventory_service.domain.archive import ArchivedReservation, ArchivedSale, ArchiveStep, ReturnArchived
from inventory_service.domain.blocked_buyers import BlockChange
from inventory_service.domain.change_hold import ChangeHold, ChangeResult
from inventory_service.domain.dead_letters import DeadLetter, DeadLetterRead
from inventory_service.domain.keys import BuyerKey, Position, SaleKey
from inventory_service.domain.moves import Compensate, Move
from inventory_service.domain.plain_reserve import PlainHold, PlainReserve, PlainResult
from inventory_service.domain.reserve import Replay, Reserve, ReserveResult
from inventory_service.domain.results import Failure, Granted, ReservationRead
from inventory_service.domain.sale import SaleRead, SaleRequest, SaleResult
from inventory_service.domain.shard_state import StoredAdjustment


class Stock(Protocol):
    """The stock as one caller sees it. The first four may answer with a Future, cheaper than a coroutine."""

    def reserve(self, request: Reserve) -> Awaitable[ReserveResult]: ...

    def reserve_plain(self, request: PlainReserve) -> Awaitable[PlainResult]: ...

    def move(self, request: Move) -> Awaitable[Granted | Failure]: ...

    def change_hold(self, request: ChangeHold) -> Awaitable[ChangeResult]: ...

    async def change_sale(self, request: SaleRequest) -> SaleResult | Failure:
        """Make or change a sale, or read how one stands that this request changed before.

        Adjusted answers an AdjustStock, SaleRead the others. SaleUnknown, of a CreateSale: there is none and nothing
        was done; ask the ledger, and repeat the request with this generation.
        """
        ...

    async def find_reservation(self, sale: SaleKey, reservation_id: str) -> ReservationRead | Failure: ...

    async def find_sale(self, sale: SaleKey) -> SaleRead | Failure: ...


class StoredStock(Stock, Protocol):
    """A stock as its store has it, from which reservations leave."""

    async def replay(self, request: Replay) -> ReserveResult:
        """Reserve anew what a refused order had; as a Reserve, but for the sale's window and its attempts."""
        ...

    async def return_archived(self, request: ReturnArchived) -> Granted | Failure:
        """Take back sold units of a reservation that has left; RESERVATION_NOT_FOUND: ask the ledger again first."""
        ...


class ShardStock(StoredStock, Protocol):
    """A stock that also takes many requests of one shard in a call, and answers them in their order."""

    async def reserve_many(
        self, shard: int, requests: Sequence[Reserve | PlainReserve]
    ) -> Sequence[ReserveResult | PlainHold]:
        """Only a PlainReserve is answered by a PlainHold."""
        ...

    async def move_many(self, shard: int, requests: Sequence[Move]) -> Sequence[Granted | Failure]: ...


class ReservationArchive(Protocol):
    """Reads reservations that have left Redis from the ledger. `LedgerUnavailable` if it does not answer."""

    async def find_reservation(self, sale: SaleKey, reservation_id: str) -> ArchivedReservation:
        """A reservation as the ledger has it, and whether it has the sale at all."""
        ...


class SaleArchive(Protocol):
    """Reads sales that have left Redis from the ledger. `LedgerUnavailable` if it does not answer."""

    async def sale_exists(self, sale: SaleKey) -> bool:
        """Whether there ever was such a sale."""
        ...

    async def find_sale(self, sale: SaleKey) -> ArchivedSale | None:
        """A sale as it is once it has left Redis; None only if the ledger was asked and has none."""
        ...

    async def find_adjustment(self, sale: SaleKey, adjustment_id: str) -> StoredAdjustment | None:
        """An adjustment of such a sale; None only if the ledger was asked and has none."""
        ...


class DeadLetters(Protocol):
    """The ledger's dead letters, by where their orders were made. `LedgerUnavailable` if it does not answer.

    A change that was sent and not answered is `LedgerOutcomeUnknown`.
    """

    async def find(self, tenant: str, created: Position) -> DeadLetterRead | None:
        """A dead letter of a tenant."""
        ...

    async def begin_replay(self, created: Position, reservation_id: str) -> DeadLetter | None:
        """Turn a SETTLED one into one that is REPLAYED under this id; None: it is not SETTLED, or the id is taken.

        An id is taken by any order of the sale that the ledger knows, and by the replay of any other dead letter.
        """
        ...

    async def undo_replay(self, created: Position, reservation_id: str) -> DeadLetter | None:
        """Turn one that is REPLAYED under this id into a SETTLED one; None: it is not."""
        ...


class BlockedList(Protocol):
    """The ledger's list of buyers whose orders it refuses. `LedgerUnavailable` if it does not answer."""

    async def block_buyer(self, tenant: str, buyer_id: str, reason: str, actor: str) -> BlockChange:
        """Refuse this buyer's orders from now on. Of one who is blocked already the first reason and actor stay."""
        ...

    async def unblock_buyer(self, tenant: str, buyer_id: str) -> BlockChange:
        """Take this buyer's orders again."""
        ...

    async def blocked_version(self) -> int:
        """The version of the list, which each change raises; 0 before the first."""
        ...

    async def blocked_page(self, after: BuyerKey | None) -> Sequence[BuyerKey]:
        """At most 1000 buyers of the list in their order, from the first or behind one; none behind the last."""
        ...


class BlockedCopies(Protocol):
    """Each shard's copy of that list, by which Reserve rejects. `RedisUnavailable` if the shard does not serve."""

    async def change(self, shard: int, change: BlockChange) -> bool:
        """Make one change; False: the copy has it, or what replaced it, so it is not made again."""
        ...

    async def begin(self, shard: int, version: int, seen: int | None) -> None:
        """Begin to replace the copy by the list of this version; any other replacement ends.

        `seen` is what the copy was equal to before the list's version was read: above that, the ledger was set back.
        """
        ...

    async def add(self, shard: int, version: int, buyers: Sequence[BuyerKey]) -> bool:
        """Add at most 1000 buyers of that list; False: another replacement has begun."""
        ...

    async def drop_others(self, shard: int, version: int) -> bool:
        """Drop who was not added, which completes the copy; False: another replacement has begun."""
        ...


class ExpireStep(NamedTuple):
    """The result of one call of a sweep over overdue holds."""

    holds: int
    more_is_due: bool  # of this shard, after this call


class HoldCounts(NamedTuple):
    """How many holds a shard has."""

    open: int  # they stand
    overdue: int  # their end has come, and they were not taken back yet


class StockMaintenance(Protocol):
    """What the relay and the compensator do to the stock."""

    async def expire(self, shard: int) -> ExpireStep | Failure:
        """Take back what is overdue, at most 100 holds, of the 16 sales that are due the longest."""
        ...

    async def compensate(self, request: Compensate) -> bool | Failure:
        """Give a refused order's units back; False: there was nothing to give."""
        ...

    async def count_holds(self, shard: int) -> HoldCounts | Failure:
        """Count a shard's holds."""
        ...

    async def list_sales(self, shard: int) -> Sequence[SaleKey] | Failure:
        """Name every sale of a shard."""
        ...

    async def archive(self, sale: SaleKey, retention_ms: int, cursor: int = 0) -> ArchiveStep | Failure:
        """Take a step of a walk over a sale: drop reservations that are final, settled and older than `retention_ms`.

        A sale that has been over for as long leaves with its last reservation.
        """
        ...
