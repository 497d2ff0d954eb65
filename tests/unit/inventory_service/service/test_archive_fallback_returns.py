"""Returns of reservations that have left a sale that has not, by servers that ask Redis and the ledger in turn."""

from collections.abc import Callable
from typing import Any

import pytest
from holdfast.inventory.v1 import error_reason_pb2 as reasons

from inventory_service.domain.archive import ArchivedReservation, ArchivedSale
from inventory_service.domain.events import ReservationChange
from inventory_service.domain.in_memory_stock import InMemoryStock
from inventory_service.domain.keys import SaleKey
from inventory_service.domain.moves import Move, MoveKind
from inventory_service.domain.reservation import CONFIRMED, RETURNED, Line, ledger_state
from inventory_service.domain.reserve import Reserve, fingerprint_of
from inventory_service.domain.results import Failure, Granted, ReservationRead
from inventory_service.domain.sale import SaleRead
from inventory_service.domain.shards import CommitId
from inventory_service.service.archive_fallback import MAX_ROUNDS, ArchiveFallback
from inventory_service.service.bulkhead import Bulkhead
from tests.contract.requests import SALE, create
from tests.sales import make_sale

NOW_MS = 1_800_000_000_000
BUY = Reserve(SALE, "bought", "b-1", (Line("lamp", 2),), None)
ONE_BACK = Move(SALE, "bought", MoveKind.RETURN, "broken", lines=(Line("lamp", 1),))
ALL_BACK = Move(SALE, "bought", MoveKind.RETURN, "broken")


class Ledger:
    """A ledger that has every commit, and lets something else happen before it is read."""

    def __init__(self, stock: InMemoryStock) -> None:
        self._stock = stock
        self.before_read: Callable[[], Any] | None = None
        self.after_read: Callable[[], Any] | None = None
        self.asked = 0

    async def find_reservation(self, sale: SaleKey, reservation_id: str) -> ArchivedReservation:
        self.asked += 1
        if self.before_read is not None:
            await self.before_read()
        found = self._read(reservation_id)
        if self.after_read is not None:
            await self.after_read()
        return found

    def _read(self, reservation_id: str) -> ArchivedReservation:
        state = self._stock.state()
        events = [event for commit in state.commits for event in commit.events]
        changes = [event.reservation for event in events if isinstance(event, ReservationChange)]
        (*_, latest) = [change for change in changes if change.reservation_id == reservation_id]
        recorded = latest._replace(ledger_state=ledger_state(latest.state, *latest.position[1:3], state.settled))
        return ArchivedReservation(True, recorded, fingerprint_of(BUY), watermark=CommitId(state.epoch, state.seq))

    async def sale_exists(self, sale: SaleKey) -> bool:
        return True

    async def find_sale(self, sale: SaleKey) -> ArchivedSale | None:
        return None

    async def find_adjustment(self, sale: SaleKey, adjustment_id: str) -> None:
        return None


class Shop:
    """A sale in which two lamps were bought, and the purchase has left; and servers before it."""

    def __init__(self) -> None:
        self.stock = InMemoryStock(lambda: NOW_MS)
        self.ledger = Ledger(self.stock)

    @classmethod
    async def opened(cls) -> "Shop":
        shop = cls()
        await make_sale(shop.stock, create(hold_ttl_ms=0))
        await shop.stock.reserve(BUY)
        await shop.archive()
        return shop

    def server(self) -> ArchiveFallback:
        return ArchiveFallback(self.stock, self.ledger, self.ledger, Bulkhead(9), lambda: NOW_MS)

    async def archive(self) -> None:
        """Let everything be settled, and what is final leave."""
        state = self.stock.state()
        self.stock.settle_up_to(0, state.epoch, state.seq)
        await self.stock.archive(SALE, retention_ms=0)

    async def take_over(self) -> None:
        """Begin a new epoch, as when another Redis is adopted."""
        state = self.stock.state()
        state.epoch, state.seq, state.trim_seq = state.epoch + 1, 0, 0

    async def sold(self) -> tuple[int, int]:
        """How many lamps are sold, and how many of the sale's there are."""
        found = await self.stock.find_sale(SALE)
        assert isinstance(found, SaleRead)
        return found.sale.items[0].sold, found.sale.items[0].total


@pytest.fixture
async def shop() -> Shop:
    return await Shop.opened()


async def test_sold_units_come_back_after_their_reservation_has_left(shop: Shop) -> None:
    """All at once or one by one: the ledger knows what was sold, and Redis where the units lie."""
    one = await shop.server().move(ONE_BACK)
    await shop.archive()
    again = await shop.server().move(ONE_BACK)
    rest = await shop.server().move(ALL_BACK)
    await shop.archive()
    found = await shop.server().find_reservation(SALE, "bought")

    states = [(each.reservation.state, each.replayed) for each in (one, again, rest) if isinstance(each, Granted)]
    assert states == [(CONFIRMED, False), (CONFIRMED, True), (RETURNED, False)]
    assert isinstance(found, ReservationRead)
    assert (found.reservation.state, found.reservation.revision) == (RETURNED, 3)
    assert await shop.sold() == (0, 10)


BETWEEN = [
    "archive",
    "take_over",
    "return",
    "return, archive",
    "return, archive, take_over",
    "take_over, return, archive",
]


@pytest.mark.parametrize("between", BETWEEN)
@pytest.mark.parametrize("when", ["before_read", "after_read"])
async def test_what_happens_between_two_steps_of_a_return_does_not_book_it_twice(
    shop: Shop, between: str, when: str
) -> None:
    """Another server returns the same, records leave, an epoch begins: one of both books it, and both hear of it."""
    others = between.split(", ")

    async def act() -> None:
        setattr(shop.ledger, when, None)
        for other in others:
            if other == "return":
                assert isinstance(await shop.server().move(ONE_BACK), Granted)
            else:
                await getattr(shop, other)()

    setattr(shop.ledger, when, act)

    answer = await shop.server().move(ONE_BACK)

    assert isinstance(answer, Granted)
    assert answer.reservation.lines[0].came_back == 1
    assert answer.replayed == ("return" in others)
    assert await shop.sold() == (1, 10)


async def test_a_return_ends_while_the_shard_is_taken_over_again_and_again(shop: Shop) -> None:
    """It is not answered by what may be old; the caller repeats."""
    shop.ledger.after_read = shop.take_over

    answer = await shop.server().move(ONE_BACK)

    assert answer == Failure(reasons.ERROR_REASON_SHARD_NOT_SERVING)
    assert shop.ledger.asked == MAX_ROUNDS
    assert await shop.sold() == (2, 10)
