"""A ledger with dead letters beside a stock in memory, and calls of either that a test delays or lets fail."""

from collections.abc import Awaitable, Callable
from typing import Any

from holdfast.inventory.v1 import inventory_admin_service_pb2 as admin
from holdfast.inventory.v1.sale_pb2 import SALE_STATE_ARCHIVED

from inventory_service.domain.archive import ArchivedReservation, ArchivedSale
from inventory_service.domain.dead_letters import DeadLetter, DeadLetterRead
from inventory_service.domain.events import ReservationChange
from inventory_service.domain.fingerprints import reserve_fingerprint
from inventory_service.domain.in_memory_stock import InMemoryStock
from inventory_service.domain.keys import Position, SaleKey
from inventory_service.domain.reservation import COMPENSATED, CONFIRMED, HELD, Line, Reservation
from inventory_service.domain.results import Failure, ReservationRead
from inventory_service.domain.sale import Sale, SaleRead
from inventory_service.domain.shard_state import StoredAdjustment
from inventory_service.service.archive_fallback import ArchiveFallback
from inventory_service.service.bulkhead import Bulkhead
from inventory_service.service.replay import DeadLetterReplay, Replayed
from tests.contract.requests import SALE, create, reserve
from tests.contract.results import reason_of
from tests.sales import make_sale

NOW_MS = 1_800_000_000_000
OPEN, SETTLED = admin.DEAD_LETTER_STATE_OPEN, admin.DEAD_LETTER_STATE_SETTLED
REPLAYED = admin.DEAD_LETTER_STATE_REPLAYED
CREATED = Position(0, 1, 900, 0)
LETTER = DeadLetter(
    *(CREATED, SALE, "refused", "b-1", (Line("lamp", 2),), 1, "a test", CREATED, NOW_MS, SETTLED, "", COMPENSATED, ())
)
SOLD = LETTER._replace(sold=(Line("lamp", 1),))
Step = Callable[[], Awaitable[Any]]


class Steps:
    """Every call of ledger and Redis passes here by its name, so that a test can act before or after it."""

    def __init__(self) -> None:
        self.taken: list[str] = []
        self.around: Callable[[str, Step], Awaitable[Any]] = lambda name, step: step()

    async def take(self, name: str, step: Step) -> Any:
        self.taken.append(name)
        return await self.around(name, step)


class FakeLedger:
    """The dead letters of a sale, and its reservations as far as they are recorded."""

    def __init__(self, stock: InMemoryStock, steps: Steps) -> None:
        self._stock = stock
        self._steps = steps
        self.letters = {CREATED: LETTER}
        self.reference = ""
        self.sale_has_left = False
        self.recorded = 0  # commits

    def record(self) -> None:
        """Record every commit."""
        self.recorded = len(self._stock.commits())

    async def find(self, tenant: str, created: Position) -> DeadLetterRead | None:
        async def find() -> DeadLetterRead | None:
            letter = self.letters.get(created)
            if letter is None or letter.sale.tenant != tenant:
                return None
            return DeadLetterRead(letter, self.reference, self.sale_has_left)

        return await self._steps.take("find", find)  # type: ignore[no-any-return]

    async def begin_replay(self, created: Position, reservation_id: str) -> DeadLetter | None:
        async def begin() -> DeadLetter | None:
            letter = self.letters[created]
            others = [one for one in self.letters.values() if one is not letter]
            is_taken = self._read(reservation_id) or any(
                reservation_id in (one.reservation_id, one.replayed_as) for one in others
            )
            if is_taken or letter.state != SETTLED or letter.reservation_id == reservation_id:
                return None
            self.letters[created] = letter._replace(state=REPLAYED, replayed_as=reservation_id)
            return self.letters[created]

        return await self._steps.take("begin", begin)  # type: ignore[no-any-return]

    async def undo_replay(self, created: Position, reservation_id: str) -> DeadLetter | None:
        async def undo() -> DeadLetter | None:
            letter = self.letters[created]
            if (letter.state, letter.replayed_as) != (REPLAYED, reservation_id):
                return None
            self.letters[created] = letter._replace(state=SETTLED, replayed_as="")
            return self.letters[created]

        return await self._steps.take("undo", undo)  # type: ignore[no-any-return]

    async def find_reservation(self, sale: SaleKey, reservation_id: str) -> ArchivedReservation:
        async def known() -> ArchivedReservation:
            change = self._read(reservation_id)
            if change is None:
                return ArchivedReservation(True, None)
            found = change.reservation
            fingerprint = reserve_fingerprint(found.buyer_id, None, change.asked, found.reference)
            return ArchivedReservation(True, found, fingerprint if found.buyer_id else "")

        return await self._steps.take("known", known)  # type: ignore[no-any-return]

    def _read(self, reservation_id: str) -> ReservationChange | None:
        events = [event for commit in self._stock.commits()[: self.recorded] for event in commit.events]
        changes = [event for event in events if isinstance(event, ReservationChange)]
        of_id = [change for change in changes if change.reservation.reservation_id == reservation_id]
        return of_id[-1] if of_id else None

    async def sale_exists(self, sale: SaleKey) -> bool:
        return True

    async def find_sale(self, sale: SaleKey) -> ArchivedSale | None:
        settings = create(end_time_ms=NOW_MS - 1)
        made = InMemoryStock(lambda: NOW_MS - 10)
        await make_sale(made, settings)
        found = await made.find_sale(sale)
        assert isinstance(found, SaleRead)
        archived: Sale = found.sale._replace(state=SALE_STATE_ARCHIVED)
        return ArchivedSale(archived, found.as_of)

    async def find_adjustment(self, sale: SaleKey, adjustment_id: str) -> StoredAdjustment | None:
        return None


class SteppedStock(InMemoryStock):
    """A stock whose replays and moves are steps."""

    steps: Steps

    async def replay(self, request: Any) -> Any:
        return await self.steps.take("replay", lambda: super(SteppedStock, self).replay(request))

    async def move(self, request: Any) -> Any:
        return await self.steps.take("move", lambda: super(SteppedStock, self).move(request))


class Shop:
    """A sale with one dead letter, and a server before it; `steps` are those of all its calls."""

    def __init__(self) -> None:
        self.steps = Steps()
        self.now_ms = NOW_MS
        self.stock = SteppedStock(lambda: self.now_ms)
        self.stock.steps = self.steps
        self.ledger = FakeLedger(self.stock, self.steps)

    @classmethod
    async def opened(cls, letter: DeadLetter = LETTER, **settings: Any) -> "Shop":
        shop = cls()
        await make_sale(shop.stock, create(**settings))
        shop.ledger.letters[CREATED] = letter
        return shop

    @property
    def letter(self) -> DeadLetter:
        return self.ledger.letters[CREATED]

    def server(self) -> DeadLetterReplay:
        def clock() -> int:
            return self.now_ms

        stock = ArchiveFallback(self.stock, self.ledger, self.ledger, Bulkhead(9), clock)
        return DeadLetterReplay(self.ledger, self.ledger, stock, self.stock, Bulkhead(9), clock)

    async def replay(self, reservation_id: str = "r-2", tenant: str = "default") -> Replayed | Failure:
        return await self.server().replay(tenant, CREATED, reservation_id)

    async def found(self, reservation_id: str) -> Reservation | None:
        """A reservation in Redis."""
        read = await self.stock.find_reservation(SALE, reservation_id)
        return read.reservation if isinstance(read, ReservationRead) else None

    async def live(self) -> list[str]:
        """The ids of the reservations that hold or own units."""
        sale = self.stock.state().sales.get(SALE)
        stored = sale.reservations.values() if sale else ()
        return sorted(one.reservation.reservation_id for one in stored if one.reservation.state in (HELD, CONFIRMED))

    def settle(self) -> None:
        """Let the ledger have everything, so that what is final may leave Redis."""
        self.ledger.record()
        state = self.stock.state()
        self.stock.settle_up_to(0, state.epoch, state.seq)


def summary(result: Replayed | Failure) -> tuple[str, int | None, str]:
    """A result: its reason, and state and new id of the letter."""
    if isinstance(result, Failure):
        return reason_of(result), None, ""
    return reason_of(result.outcome), result.letter.state, result.letter.replayed_as


async def sold_out(shop: Shop) -> None:
    """Another buyer takes all lamps."""
    await shop.stock.reserve(reserve("other", buyer="b-9", lamp=10))
