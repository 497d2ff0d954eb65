"""Changes of a sale that has left Redis: the ledger says what became of them, and nothing is changed any more."""

import pytest
from holdfast.inventory.v1 import error_reason_pb2 as reasons
from holdfast.inventory.v1.sale_pb2 import SALE_STATE_ARCHIVED

from inventory_service.domain.adjustments import adjustment_id_reused
from inventory_service.domain.archive import ArchivedReservation, ArchivedSale
from inventory_service.domain.fingerprints import adjustment_body
from inventory_service.domain.in_memory_stock import InMemoryStock
from inventory_service.domain.keys import Position, SaleKey
from inventory_service.domain.results import Failure, sale_not_found, wrong_sale_state
from inventory_service.domain.sale import (
    ActOnSale,
    Adjusted,
    Adjustment,
    AdjustStock,
    CreateSale,
    Item,
    NewItem,
    Sale,
    SaleAction,
    SaleRead,
    SaleRequest,
    SaleResult,
    Settings,
    UpdateSale,
)
from inventory_service.domain.shard_state import StoredAdjustment
from inventory_service.domain.shards import LedgerUnavailable
from inventory_service.service.archive_fallback import ArchiveFallback
from inventory_service.service.bulkhead import Bulkhead
from tests.sales import make_sale

NOW_MS = 1000
SALE = SaleKey("default", "lamp-sale")
LAMPS = CreateSale(SALE, "Lamps", None, None, 60_000, 60_000, 0, (NewItem("lamp", 10),))
ITEM = Item("lamp", 12, 10, 0, 2)
ADJUST = AdjustStock(SALE, "a-1", "lamp", delta=2, new_total=None, expected_total=10, reason="found", reference="n-1")
MADE = Adjustment(SALE, "a-1", "lamp", 2, 12, "found", "n-1", "ops", 5, Position(0, 1, 7, 0))
REQUESTS: list[ActOnSale | UpdateSale | AdjustStock] = [
    ActOnSale(SALE, SaleAction.PAUSE),
    ActOnSale(SALE, SaleAction.CLOSE_AND_RELEASE, etag="1-1-0"),
    UpdateSale(SALE, {"title": "Lamps"}),
    ADJUST._replace(adjustment_id="a-2"),
]
each_request = pytest.mark.parametrize("request_", REQUESTS, ids=lambda request: type(request).__name__)


class Ledger:
    """A ledger with one sale, closed a while ago, and one adjustment of it."""

    has_sale = True
    is_away = False

    async def find_reservation(self, sale: SaleKey, reservation_id: str) -> ArchivedReservation:
        raise AssertionError(f"a change of {sale} does not look up {reservation_id}")

    async def sale_exists(self, sale: SaleKey) -> bool:
        if self.is_away:
            raise LedgerUnavailable("away")
        return self.has_sale

    async def find_sale(self, sale: SaleKey) -> ArchivedSale | None:
        settings = Settings("Lamps", 0, None, 60_000, 60_000, 0, close_time_ms=NOW_MS)
        return ArchivedSale(Sale(SALE, settings, SALE_STATE_ARCHIVED, (ITEM,), "1-9-0", 0, 0), Position(0, 1, 9, 0))

    async def find_adjustment(self, sale: SaleKey, adjustment_id: str) -> StoredAdjustment | None:
        return StoredAdjustment(MADE, adjustment_body(ADJUST)) if adjustment_id == "a-1" else None


class LateStock(InMemoryStock):
    """A stock in which the sale appears right after the first call."""

    async def change_sale(self, request: SaleRequest) -> SaleResult | Failure:
        answer = await super().change_sale(request)
        await make_sale(super(), LAMPS)  # type: ignore[arg-type]  # mypy takes `super()` for no stock
        return answer


@pytest.fixture
def ledger() -> Ledger:
    """The ledger behind the fallback."""
    return Ledger()


@pytest.fixture
def archive(ledger: Ledger) -> ArchiveFallback:
    """The fallback in front of a stock that has the sale no more."""
    return ArchiveFallback(InMemoryStock(lambda: NOW_MS), ledger, ledger, Bulkhead(1), lambda: NOW_MS)


@each_request
async def test_an_archived_sale_is_not_changed(archive: ArchiveFallback, request_: SaleRequest) -> None:
    """Whatever it asks for, and also where the sale stands so already."""
    assert await archive.change_sale(request_) == wrong_sale_state(SALE_STATE_ARCHIVED)


async def test_an_adjustment_of_an_archived_sale_is_repeated_from_the_ledger(archive: ArchiveFallback) -> None:
    """Its id is kept for ever, so a caller who repeats it learns what it did."""
    repeated = await archive.change_sale(ADJUST._replace(reason="found again"))
    reused = await archive.change_sale(ADJUST._replace(delta=3))

    assert repeated == Adjusted(MADE, ITEM, replayed=True)
    assert reused == adjustment_id_reused(ADJUST)


@each_request
async def test_a_sale_that_neither_knows_is_not_found(
    archive: ArchiveFallback, ledger: Ledger, request_: SaleRequest
) -> None:
    """The ledger was asked, and answered."""
    ledger.has_sale = False

    assert await archive.change_sale(request_) == sale_not_found(SALE)


@each_request
async def test_without_the_ledger_no_sale_is_not_found(
    archive: ArchiveFallback, ledger: Ledger, request_: SaleRequest
) -> None:
    """It alone could know the sale."""
    ledger.is_away = True

    assert await archive.change_sale(request_) == Failure(reasons.ERROR_REASON_LEDGER_UNREACHABLE)


@each_request
async def test_a_sale_made_between_the_queries_is_changed(ledger: Ledger, request_: SaleRequest) -> None:
    """Redis did not have it yet and the ledger has it already, so Redis is asked again."""
    archive = ArchiveFallback(LateStock(lambda: NOW_MS), ledger, ledger, Bulkhead(1), lambda: NOW_MS)

    answer = await archive.change_sale(request_)

    assert isinstance(answer, SaleRead | Adjusted | Failure)
    assert not isinstance(answer, Failure) or answer.reason == reasons.ERROR_REASON_ETAG_MISMATCH
