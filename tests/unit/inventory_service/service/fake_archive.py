"""An archive that a test fills, and a stock that does not know a sale at first."""

import asyncio

from holdfast.inventory.v1 import error_reason_pb2 as reasons
from holdfast.inventory.v1.reservation_pb2 import RejectionReason
from holdfast.inventory.v1.sale_pb2 import SALE_STATE_ARCHIVED

from inventory_service.domain.archive import ArchivedReservation, ArchivedSale
from inventory_service.domain.in_memory_stock import InMemoryStock
from inventory_service.domain.keys import Position, SaleKey
from inventory_service.domain.moves import Move, MoveKind
from inventory_service.domain.reservation import CONFIRMED, Line, Reservation, Units
from inventory_service.domain.reserve import Reserve, ReserveResult, fingerprint_of
from inventory_service.domain.results import Failure, Granted, Rejected, ReservationRead, sale_not_found
from inventory_service.domain.sale import CreateSale, Item, NewItem, Sale, SaleRead, Settings
from inventory_service.domain.shard_state import StoredAdjustment
from inventory_service.domain.shards import LedgerUnavailable
from inventory_service.service.archive_fallback import ArchiveFallback
from inventory_service.service.bulkhead import Bulkhead
from tests.sales import make_sale

SALE = SaleKey("default", "lamp-sale")
LAMPS = CreateSale(SALE, "Lamps", None, None, 60_000, 60_000, 0, (NewItem("lamp", 10),))
NOW_MS = 1000
AS_OF = Position(0, 1, 40, 0)
MADE = Position(0, 1, 2, 0)
BOUGHT_LAMPS = (Units("lamp", 2, 2, 0),)
BOUGHT = Reservation(SALE, "bought", "b-1", BOUGHT_LAMPS, CONFIRMED, 2, 100, 200, 60_100, MADE, MADE, 2, 0, "")
BUY = Reserve(SALE, "bought", "b-1", (Line("lamp", 2),), None)
SPEND = Move(SALE, "r-1", MoveKind.SPEND)
GONE = sale_not_found(SALE)


class FakeArchive:
    """An archive with one sale and the reservations that a test adds; the sale has no end, or ended a while ago."""

    def __init__(self) -> None:
        self.reservations: dict[str, Reservation] = {}
        self.made_by = {"bought": BUY}
        self.end_ms: int | None = None
        self.hold_ttl_ms = 60_000
        self.has_sale = True
        self.has_left = True
        self.adjustments: dict[str, StoredAdjustment] = {}
        self.is_away = False
        self.asked: list[str] = []

    def _ask(self, what: str) -> None:
        self.asked.append(what)
        if self.is_away:
            raise LedgerUnavailable("away")

    async def find_reservation(self, sale: SaleKey, reservation_id: str) -> ArchivedReservation:
        self._ask("reservation")
        found = self.reservations.get(reservation_id)
        fingerprint = fingerprint_of(self.made_by[reservation_id]) if found is not None and found.buyer_id else ""
        return ArchivedReservation(self.has_sale, found, fingerprint)

    async def find_sale(self, sale: SaleKey) -> ArchivedSale | None:
        self._ask("sale")
        await asyncio.sleep(0)  # so that concurrent calls reach this line too
        items = (Item("lamp", 10, 8, 0, 2), Item("shade", 3, 3, 0, 0))
        settings = Settings("Lamps", 0, self.end_ms, self.hold_ttl_ms, 90_000, 0)
        archived = Sale(SALE, settings, SALE_STATE_ARCHIVED, items, "1-1-0", 0, 0)
        return ArchivedSale(archived, AS_OF, self.has_left)

    async def find_adjustment(self, sale: SaleKey, adjustment_id: str) -> StoredAdjustment | None:
        self._ask("adjustment")
        return self.adjustments.get(adjustment_id)

    async def sale_exists(self, sale: SaleKey) -> bool:
        self._ask("sale exists")
        return self.has_sale


class FailsOnce(InMemoryStock):
    """A stock whose first call fails with the given failure; the sale is there from the second call on."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(lambda: NOW_MS)
        self._failures = [failure]
        self.asked = 0

    async def reserve(self, request: Reserve) -> ReserveResult:
        return self._failure() or await super().reserve(request)

    async def move(self, request: Move) -> Granted | Failure:
        return self._failure() or await super().move(request)

    async def find_sale(self, sale: SaleKey) -> SaleRead | Failure:
        return self._failure() or await super().find_sale(sale)

    async def find_reservation(self, sale: SaleKey, reservation_id: str) -> ReservationRead | Failure:
        return self._failure() or await super().find_reservation(sale, reservation_id)

    def _failure(self) -> Failure | None:
        self.asked += 1
        return self._failures.pop() if self._failures else None


async def failing_once(failure: Failure, ledger: FakeArchive | None = None) -> tuple[FailsOnce, ArchiveFallback]:
    """A stock that has the sale and fails once, and the fallback in front of it."""
    stock = FailsOnce(failure)
    await make_sale(stock, LAMPS)
    ledger = ledger or FakeArchive()
    return stock, ArchiveFallback(stock, ledger, ledger, Bulkhead(1), lambda: NOW_MS)


def archive_of(ledger: FakeArchive) -> ArchiveFallback:
    """The fallback of a server that has just started, in front of an empty stock."""
    return ArchiveFallback(InMemoryStock(lambda: NOW_MS), ledger, ledger, Bulkhead(1), lambda: NOW_MS)


def reason_of(answer: ReserveResult) -> str:
    """The name of the reason why there are no units."""
    if isinstance(answer, Rejected):
        return RejectionReason.Name(RejectionReason.ValueType(answer.reason)).removeprefix("REJECTION_REASON_")
    assert isinstance(answer, Failure), answer
    return reasons.ErrorReason.Name(reasons.ErrorReason.ValueType(answer.reason)).removeprefix("ERROR_REASON_")
