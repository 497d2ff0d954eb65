"""The ledger in memory: takes the commits of the stock as they come, or later, and has the stock give units back."""

from collections.abc import Callable

from holdfast.testing.ledger.booking import Booking
from holdfast.testing.ledger.refusals import Refusals
from holdfast.testing.ledger.tables import Tables
from inventory_service.domain.in_memory_stock import InMemoryStock
from inventory_service.domain.keys import BuyerKey, Position
from inventory_service.domain.lists import BlockedBuyer, Watermark
from inventory_service.domain.moves import Compensate, compensate
from inventory_service.domain.shard_state import ShardState, Transaction
from inventory_service.domain.shards import CommitId


class Ledger:
    """Books the commits of every shard: at once, unless it is held back."""

    def __init__(self, stock: InMemoryStock, shards: int, now_ms: Callable[[], int]) -> None:
        self.tables = Tables()
        self.refusals = Refusals(self.tables)
        self._shards = [stock.state(number) for number in range(shards)]
        self._now_ms = now_ms
        self._booking = Booking(self.tables, self.refusals, now_ms)
        self._is_held_back = False
        for shard in self._shards:
            self.tables.watermarks[shard.number] = Watermark(CommitId(shard.epoch, 0), 0)

    def hold_back(self) -> None:
        """Book nothing for now."""
        self._is_held_back = True

    def block(self, buyer: BuyerKey, reason: str) -> None:
        """Block a buyer in the ledger alone: the version of the list stays, so that the stock does not learn of it."""
        self.tables.blocked.setdefault(buyer, BlockedBuyer(buyer.buyer_id, reason, self._now_ms(), actor=""))

    def catch_up(self) -> None:
        """Book what was committed meanwhile, and from now on at once."""
        self._is_held_back = False
        for shard in self._shards:
            self._book(shard)

    def committed(self, shard: ShardState) -> None:
        """Must be called after each commit of a shard."""
        if not self._is_held_back:
            self._book(shard)

    def _book(self, shard: ShardState) -> None:
        """A compensation commits too, and so books what it did before this goes on."""
        while (booked := self.tables.watermarks[shard.number].commit.seq) < len(shard.commits):
            compensations = self._booking.apply(shard.number, shard.epoch, shard.commits[booked])
            self._settle(shard)
            for each in compensations:
                self._compensate(shard, each)

    def _settle(self, shard: ShardState) -> None:
        """Tell the stock how far the ledger is, and up to where no order waits for its compensation."""
        applied = self.tables.watermarks[shard.number].commit.seq
        open_at = [row.letter.position for row in self.tables.letters.values() if row.is_open]
        first = min((position.seq for position in _of(shard, open_at)), default=applied + 1)
        shard.settled = max(shard.settled, (shard.epoch, min(applied, first - 1)))
        shard.trim_seq = applied

    def _compensate(self, shard: ShardState, request: Compensate) -> None:
        transaction = Transaction(shard, self._now_ms)
        compensate(transaction, request)
        transaction.commit()


def _of(shard: ShardState, positions: list[Position]) -> list[Position]:
    return [position for position in positions if position.shard == shard.number]
