"""What is answered where Redis and the ledger were asked at different moments, by a stock and a history in memory."""

import pytest
from holdfast.inventory.v1 import error_reason_pb2 as reasons

from inventory_service.adapters.batcher import Limits
from inventory_service.domain.requests import CreateSale, Line, Release, Reserve, SaleKey
from inventory_service.domain.shelf import Shelf
from inventory_service.domain.stock import sale_not_found
from inventory_service.domain.verdicts import Granted, Refusal, Reservation, SaleFound
from inventory_service.entrypoints.rpc.gate import LEAST_TIME_S
from inventory_service.entrypoints.rpc.past import Past

SALE = SaleKey("default", "lamp-sale")
LAMPS = CreateSale(SALE, "Lamps", None, None, 60_000, 60_000, 0, (Line("lamp", 10),))
RESERVE = Reserve(SALE, "r-1", "b-1", (Line("lamp", 1),), None)
SPEND = Release(SALE, "r-1", "", spend_id=True)


class KnowingLedger:
    """Knows the sale, and no reservation."""

    async def find_reservation(self, sale: SaleKey, reservation_id: str) -> Reservation | None:
        return None

    async def sale_exists(self, sale: SaleKey) -> bool:
        return True

    async def block_buyer(self, tenant: str, buyer_id: str, reason: str) -> bool:
        raise NotImplementedError


@pytest.fixture
async def shelf() -> Shelf:
    shelf = Shelf(lambda: 1000)
    await shelf.create_sale(LAMPS)
    return shelf


@pytest.fixture
def past(shelf: Shelf) -> Past:
    return Past(shelf, KnowingLedger(), lambda: 1000)


async def test_a_sale_made_while_it_was_asked_for_is_asked_for_again(shelf: Shelf, past: Past) -> None:
    """The ledger hears of a new sale between Redis' "no" and our question; the buyer gets the units."""
    too_early = sale_not_found(SALE)

    reserved = await past.ask_again(SALE, too_early, lambda: shelf.reserve(RESERVE))
    read = await past.ask_again(SALE, too_early, lambda: shelf.find_sale(SALE))

    assert isinstance(reserved, Granted)
    assert isinstance(read, SaleFound)


async def test_an_id_of_a_sale_made_meanwhile_is_spent(past: Past) -> None:
    """It is unknown to both, and the sale is there by now."""
    spent = await past.spend(SPEND, sale_not_found(SALE))

    assert isinstance(spent, Granted)
    assert not spent.replayed


async def test_what_redis_refused_for_another_reason_is_not_asked_again(shelf: Shelf, past: Past) -> None:
    """Only "unknown" can be wrong about the past."""
    refusal = Refusal(reasons.ERROR_REASON_STORE_UNREACHABLE)

    assert await past.ask_again(SALE, refusal, lambda: shelf.reserve(RESERVE)) == refusal
    assert await past.spend(SPEND, refusal) == refusal


def test_a_call_has_time_for_its_turn() -> None:
    """A caller who will have left before the batch goes is told at once."""
    assert Limits().pace_s < LEAST_TIME_S
