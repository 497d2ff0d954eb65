"""What is answered where Redis and the ledger were asked at different moments, by a stock and a history in memory."""

import asyncio

import pytest
from holdfast.inventory.v1 import error_reason_pb2 as reasons
from holdfast.inventory.v1.reservation_pb2 import RejectionReason
from holdfast.inventory.v1.sale_pb2 import SALE_STATE_ARCHIVED

from inventory_service.adapters.batcher import Limits
from inventory_service.domain.late import Known, PastSale
from inventory_service.domain.requests import CreateSale, Line, Position, Release, Reserve, SaleKey
from inventory_service.domain.shelf import Shelf
from inventory_service.domain.states import CONFIRMED, HELD, RELEASED
from inventory_service.domain.stock import sale_not_found
from inventory_service.domain.verdicts import (
    Failure,
    Granted,
    Item,
    Rejected,
    Reservation,
    ReserveResult,
    Sale,
    SaleFound,
)
from inventory_service.rpc.middleware import MIN_TIME_S
from inventory_service.rpc.past import Past
from inventory_service.rpc.status import CallFailed
from inventory_service.rpc.turns import Turns
from tests.sales import make_sale

SALE = SaleKey("default", "lamp-sale")
LAMPS = CreateSale(SALE, "Lamps", None, None, 60_000, 60_000, 0, (Line("lamp", 10),))
RESERVE = Reserve(SALE, "r-1", "b-1", (Line("lamp", 1),), None)
SPEND = Release(SALE, "r-1", "", spend_id=True)
GONE = sale_not_found(SALE)
NOW_MS = 1000
AS_OF = Position(0, 1, 40, 0)
MADE = Position(0, 1, 2, 0)
BOUGHT = Reservation(
    SALE, "bought", "b-1", (Line("lamp", 2),), CONFIRMED, 2, 100, 200, 60_100, MADE, MADE, 2, 0, ""
)  # its hold had the sale's usual life
BUY = Reserve(SALE, "bought", "b-1", (Line("lamp", 2),), None)


class KnowingLedger:
    """Knows the sale and whatever reservations it is told; the sale has no end, or ended a while ago."""

    def __init__(self) -> None:
        self.reservations: dict[str, Reservation] = {}
        self.end_ms: int | None = None
        self.hold_ttl_ms = 60_000
        self.has_sale = True
        self.asked: list[str] = []

    async def find_reservation(self, sale: SaleKey, reservation_id: str) -> Known:
        self.asked.append("reservation")
        return Known(self.has_sale, self.reservations.get(reservation_id))

    async def find_sale(self, sale: SaleKey) -> PastSale | None:
        self.asked.append("sale")
        await asyncio.sleep(0)  # as long as it takes for the next one to come
        items = (Item("lamp", 10, 8, 0, 2), Item("shade", 3, 3, 0, 0))
        archived = Sale(
            SALE, "Lamps", 0, self.end_ms, self.hold_ttl_ms, 90_000, 0, SALE_STATE_ARCHIVED, items, "1-1-0", 0, 0
        )
        return PastSale(archived, AS_OF)

    async def sale_exists(self, sale: SaleKey) -> bool:
        self.asked.append("is there a sale")
        return self.has_sale


@pytest.fixture
async def shelf() -> Shelf:
    shelf = Shelf(lambda: 1000)
    await make_sale(shelf, LAMPS)
    return shelf


@pytest.fixture
def past(shelf: Shelf) -> Past:
    ledger = KnowingLedger()
    return Past(shelf, ledger, ledger, Turns(1), lambda: NOW_MS)


@pytest.fixture
def ledger() -> KnowingLedger:
    """Of a sale that is over and has left Redis, with an order that was bought."""
    ledger = KnowingLedger()
    ledger.end_ms = NOW_MS
    ledger.reservations["bought"] = BOUGHT
    return ledger


@pytest.fixture
def archive(ledger: KnowingLedger) -> Past:
    """The past of that sale."""
    return past_of(ledger)


def past_of(ledger: KnowingLedger) -> Past:
    """Of a server that was just started, and a store that has forgotten everything."""
    return Past(Shelf(lambda: NOW_MS), ledger, ledger, Turns(1), lambda: NOW_MS)


async def test_a_sale_made_while_it_was_asked_for_is_asked_for_again(shelf: Shelf, past: Past) -> None:
    """The ledger hears of a new sale between Redis' "no" and our question; the buyer gets the units."""
    too_early = sale_not_found(SALE)

    reserved = await past.reserve(RESERVE, too_early)
    read = await past.find_sale(SALE, too_early)

    assert isinstance(reserved, Granted)
    assert isinstance(read, SaleFound)


async def test_an_id_of_a_sale_made_meanwhile_is_spent(past: Past) -> None:
    """It is unknown to both, and the sale is there by now."""
    spent = await past.spend(SPEND, sale_not_found(SALE))

    assert isinstance(spent, Granted)
    assert not spent.replayed


async def test_what_redis_refused_for_another_reason_is_not_asked_again(shelf: Shelf, past: Past) -> None:
    """Only "unknown" can be wrong about the past."""
    refusal = Failure(reasons.ERROR_REASON_STORE_UNREACHABLE)

    assert await past.reserve(RESERVE, refusal) == refusal
    assert await past.find_sale(SALE, refusal) == refusal
    assert await past.spend(SPEND, refusal) == refusal


def reason_of(answer: ReserveResult) -> str:
    """Name why there are no units."""
    if isinstance(answer, Rejected):
        return RejectionReason.Name(RejectionReason.ValueType(answer.reason)).removeprefix("REJECTION_REASON_")
    assert isinstance(answer, Failure), answer
    return reasons.ErrorReason.Name(reasons.ErrorReason.ValueType(answer.reason)).removeprefix("ERROR_REASON_")


SAME = {
    "as it was": BUY,
    "the sale's usual life, spelled out": BUY._replace(hold_ttl_ms=60_000),
}
OTHERS = {
    "another buyer": BUY._replace(buyer_id="b-2"),
    "other lines": BUY._replace(lines=(Line("lamp", 1),)),
    "another life": BUY._replace(hold_ttl_ms=30_000),
    "a life that is cut": BUY._replace(hold_ttl_ms=100_000),
}


@pytest.mark.parametrize("request_", SAME.values(), ids=SAME.keys())
async def test_a_repeat_of_an_order_of_a_sale_that_left_hears_of_it(archive: Past, request_: Reserve) -> None:
    """Replays come first, however long the sale is over."""
    assert await archive.reserve(request_, GONE) == Granted(BOUGHT, replayed=True, read_time_ms=NOW_MS)


@pytest.mark.parametrize("request_", OTHERS.values(), ids=OTHERS.keys())
async def test_an_id_of_a_sale_that_left_is_not_taken_for_another_order(archive: Past, request_: Reserve) -> None:
    """The caller must not believe to have bought what somebody else did."""
    assert reason_of(await archive.reserve(request_, GONE)) == "RESERVATION_ID_REUSED"


@pytest.mark.parametrize("buyer", ["b-1", ""], ids=["released", "spent"])
async def test_an_ended_order_of_a_sale_that_left_is_told(archive: Past, ledger: KnowingLedger, buyer: str) -> None:
    """It is a repeat unless the id was spent, which no Reserve made."""
    lines = BOUGHT.lines if buyer else ()
    ended = BOUGHT._replace(state=RELEASED, buyer_id=buyer, lines=lines)
    ledger.reservations["bought"] = ended

    answer = await archive.reserve(BUY, GONE)

    assert isinstance(answer, Rejected)
    assert (reason_of(answer), answer.ended, answer.replayed) == ("RESERVATION_ENDED", ended, buyer != "")


async def test_nothing_new_can_be_had_of_a_sale_that_left(archive: Past) -> None:
    """In the order of the rule: what is not there, what cannot be asked for, and then that it is over."""
    fresh = BUY._replace(reservation_id="fresh")
    asked = [fresh, fresh._replace(lines=(Line("lamp", 1), Line("sofa", 1)))]

    answers = [await archive.reserve(request, GONE) for request in asked]

    assert [reason_of(answer) for answer in answers] == ["SALE_ENDED", "ITEM_NOT_FOUND"]
    assert answers[0] == Rejected(RejectionReason.REJECTION_REASON_SALE_ENDED, AS_OF, NOW_MS)


async def test_a_sale_that_left_may_have_been_without_holds(archive: Past, ledger: KnowingLedger) -> None:
    """A life cannot be asked of it, by a repeat neither: that was another request."""
    ledger.hold_ttl_ms = 0
    ledger.reservations["bought"] = sold = BOUGHT._replace(expire_time_ms=0)

    again = await archive.reserve(BUY, GONE)
    other = await archive.reserve(BUY._replace(hold_ttl_ms=60_000), GONE)
    fresh = await archive.reserve(BUY._replace(reservation_id="fresh", hold_ttl_ms=60_000), GONE)

    assert again == Granted(sold, replayed=True, read_time_ms=NOW_MS)
    assert [reason_of(other), reason_of(fresh)] == ["RESERVATION_ID_REUSED", "SALE_WITHOUT_HOLDS"]


async def test_a_sale_that_left_is_read_from_the_ledger(archive: Past) -> None:
    """As archived, as of what the ledger has applied."""
    found = await archive.find_sale(SALE, GONE)

    assert isinstance(found, SaleFound)
    assert (found.sale.state, found.as_of, found.read_time_ms) == (SALE_STATE_ARCHIVED, AS_OF, NOW_MS)


async def test_an_id_of_a_sale_that_left_need_not_be_spent(archive: Past) -> None:
    """Nothing can be had under it, so it is simply not there; and what was bought stays bought."""
    unknown = await archive.spend(SPEND, GONE)
    bought = await archive.spend(SPEND._replace(reservation_id="bought"), GONE)

    assert isinstance(unknown, Failure)
    assert isinstance(bought, Failure)
    assert [reason_of(unknown), reason_of(bought)] == ["RESERVATION_NOT_FOUND", "WRONG_RESERVATION_STATE"]


async def test_a_sale_that_cannot_have_left_is_not_believed_gone(archive: Past, ledger: KnowingLedger) -> None:
    """One that is not over, or in which something is held: no answer is better than a wrong one."""
    ledger.reservations["bought"] = BOUGHT._replace(state=HELD)
    held = await archive.reserve(BUY, GONE)
    ledger.end_ms = NOW_MS + 1
    archive = past_of(ledger)

    early = [await archive.reserve(BUY, GONE), await archive.find_sale(SALE, GONE), await archive.spend(SPEND, GONE)]

    assert [held, *early] == [Failure(reasons.ERROR_REASON_SHARD_NOT_SERVING)] * 4


async def test_a_sale_that_left_is_looked_up_once(archive: Past, ledger: KnowingLedger) -> None:
    """It never changes, and thousands may come late: each costs the ledger one question about its own id."""
    await archive.find_sale(SALE, GONE)
    ledger.asked.clear()

    for number in range(3):
        await archive.reserve(BUY._replace(reservation_id=f"late-{number}"), GONE)
    await archive.find_sale(SALE, GONE)

    assert ledger.asked == ["reservation"] * 3


async def test_of_many_who_come_late_at_once_one_looks_the_sale_up(archive: Past, ledger: KnowingLedger) -> None:
    """The others find it looked up when it is their turn."""
    late = [BUY._replace(reservation_id=f"late-{number}") for number in range(20)]

    answers = await asyncio.gather(*(archive.reserve(request, GONE) for request in late))

    assert {reason_of(answer) for answer in answers} == {"SALE_ENDED"}
    assert ledger.asked.count("sale") == 1


async def test_what_never_was_costs_one_question(archive: Past, ledger: KnowingLedger) -> None:
    """Whether it is bought, read, moved or spent."""
    ledger.has_sale = False
    ledger.reservations.clear()
    asked = [
        archive.reserve(BUY, GONE),
        archive.find_sale(SALE, GONE),
        archive.find_reservation(SALE, "r-1", GONE),
        archive.settle(SPEND._replace(spend_id=False), GONE),
        archive.spend(SPEND, GONE),
    ]

    answers = [await answer for answer in asked]

    assert answers == [GONE] * len(asked)
    assert len(ledger.asked) == len(asked)


async def test_late_callers_of_a_busy_ledger_come_again(ledger: KnowingLedger) -> None:
    """Nobody who asks for ids of the past, or for what never was, can keep the ledger from everybody else."""
    archive = Past(Shelf(lambda: NOW_MS), ledger, ledger, Turns(1, waiting=0), lambda: NOW_MS)

    answers = await asyncio.gather(*(archive.find_sale(SALE, GONE) for _ in range(3)), return_exceptions=True)

    assert [isinstance(answer, SaleFound) for answer in answers] == [True, False, False]
    refused = [answer.failure.reason for answer in answers if isinstance(answer, CallFailed)]
    assert refused == [reasons.ERROR_REASON_OVERLOADED] * 2


def test_a_call_has_time_for_its_turn() -> None:
    """A caller who will have left before the batch goes is told at once."""
    assert Limits().pace_s < MIN_TIME_S
