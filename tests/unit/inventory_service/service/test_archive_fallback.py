"""The archive fallback: calls about sales and reservations that have left Redis, or were made between two queries."""

import pytest
from holdfast.inventory.v1 import error_reason_pb2 as reasons
from holdfast.inventory.v1.reservation_pb2 import RejectionReason
from holdfast.inventory.v1.sale_pb2 import SALE_STATE_ARCHIVED

from inventory_service.domain.change_hold import ChangeHold
from inventory_service.domain.in_memory_stock import InMemoryStock
from inventory_service.domain.moves import Compensate, Move, MoveKind
from inventory_service.domain.reservation import HELD, ID_REUSED, RELEASED, RETURNED, Line, Units
from inventory_service.domain.reserve import Reserve
from inventory_service.domain.results import (
    Failure,
    Granted,
    Rejected,
    ReservationRead,
    reservation_not_found,
)
from inventory_service.domain.sale import SaleRead
from inventory_service.rpc.middleware import MIN_TIME_S
from inventory_service.service.archive_fallback import ArchiveFallback
from inventory_service.service.bulkhead import Bulkhead
from inventory_service.service.lane import Limits
from tests.sales import make_sale
from tests.unit.inventory_service.service.fake_archive import (
    AS_OF,
    BOUGHT,
    BUY,
    GONE,
    LAMPS,
    NOW_MS,
    SALE,
    SPEND,
    FakeArchive,
    archive_of,
    failing_once,
    reason_of,
)

RESERVE = Reserve(SALE, "r-1", "b-1", (Line("lamp", 1),), None)


async def test_a_sale_made_between_the_queries_is_read_from_redis_again() -> None:
    """Redis did not have the sale yet and the ledger has it already, so Redis is called again."""
    _, fallback = await failing_once(GONE)
    reserved = await fallback.reserve(RESERVE)
    _, fallback = await failing_once(GONE)
    read = await fallback.find_sale(SALE)

    assert isinstance(reserved, Granted)
    assert isinstance(read, SaleRead)


async def test_a_hold_made_between_the_queries_is_read_from_redis_again(ledger: FakeArchive) -> None:
    """By the time at which the ledger answers it may be over, which Redis alone tells."""
    ledger.reservations["r-1"], ledger.made_by["r-1"] = BOUGHT._replace(state=HELD), RESERVE
    stock, fallback = await failing_once(reservation_not_found(SALE, "r-1"), ledger)
    await InMemoryStock.reserve(stock, RESERVE)
    await InMemoryStock.move(stock, SPEND)

    read = await fallback.find_reservation(SALE, "r-1")

    assert isinstance(read, ReservationRead)
    assert read.reservation.state == RELEASED


@pytest.mark.parametrize("is_known", [True, False])
async def test_a_repeat_hears_its_first_reservation_that_had_left(ledger: FakeArchive, is_known: bool) -> None:
    """Redis knew it no more and granted the repeat before, which the ledger then refused."""
    stock = InMemoryStock(lambda: NOW_MS)
    await make_sale(stock, LAMPS)
    granted = await stock.reserve(BUY)
    assert isinstance(granted, Granted)
    await stock.compensate(Compensate(SALE, "bought", granted.reservation.created, ID_REUSED, "used before"))
    if not is_known:
        ledger.reservations.clear()
    fallback = ArchiveFallback(stock, ledger, ledger, Bulkhead(1), lambda: NOW_MS)

    repeated = await fallback.reserve(BUY)

    if is_known:
        assert repeated == Granted(BOUGHT, replayed=True, read_time_ms=NOW_MS)
    else:
        assert reason_of(repeated) == "RESERVATION_ENDED"


async def test_an_id_of_a_sale_made_between_the_queries_is_spent() -> None:
    """Neither knows the id, and by then Redis has the sale."""
    _, fallback = await failing_once(GONE)

    spent = await fallback.move(SPEND)

    assert isinstance(spent, Granted)
    assert not spent.replayed


async def test_other_failures_of_redis_are_returned_without_a_query_to_the_ledger() -> None:
    """Only NOT_FOUND can be wrong about what has left Redis."""
    failure = Failure(reasons.ERROR_REASON_STORE_UNREACHABLE)

    first, fallback = await failing_once(failure)
    assert await fallback.reserve(RESERVE) == failure
    second, fallback = await failing_once(failure)
    assert await fallback.find_sale(SALE) == failure
    third, fallback = await failing_once(failure)
    assert await fallback.move(SPEND) == failure

    assert (first.asked, second.asked, third.asked) == (1, 1, 1)


OTHERS = {
    "another buyer": BUY._replace(buyer_id="b-2"),
    "other lines": BUY._replace(lines=(Line("lamp", 1),)),
    "the sale's hold_ttl, spelled out": BUY._replace(hold_ttl_ms=60_000),
    "a reference": BUY._replace(reference="cart-7"),
}


async def test_a_repeated_reserve_of_an_archived_sale_is_replayed(
    archive: ArchiveFallback, ledger: FakeArchive
) -> None:
    """Replays come first, however long the sale is over; what was asked for counts, and not what was granted."""
    plain = await archive.reserve(BUY)
    ledger.made_by["bought"] = longest = BUY._replace(hold_ttl_ms=10**9, reference="cart-7")

    assert plain == await archive.reserve(longest) == Granted(BOUGHT, replayed=True, read_time_ms=NOW_MS)
    assert reason_of(await archive.reserve(BUY)) == "RESERVATION_ID_REUSED"


@pytest.mark.parametrize("request_", OTHERS.values(), ids=OTHERS.keys())
async def test_an_id_of_an_archived_sale_cannot_be_reused(archive: ArchiveFallback, request_: Reserve) -> None:
    """Otherwise a caller would take another caller's purchase for its own."""
    assert reason_of(await archive.reserve(request_)) == "RESERVATION_ID_REUSED"


@pytest.mark.parametrize("buyer", ["b-1", ""], ids=["released", "spent"])
async def test_an_ended_reservation_of_an_archived_sale_is_returned(
    archive: ArchiveFallback, ledger: FakeArchive, buyer: str
) -> None:
    """It is a repeat unless the id was spent, which no Reserve made."""
    lines = BOUGHT.lines if buyer else ()
    ended = BOUGHT._replace(state=RELEASED, buyer_id=buyer, lines=lines)
    ledger.reservations["bought"] = ended

    answer = await archive.reserve(BUY)

    assert isinstance(answer, Rejected)
    assert (reason_of(answer), answer.ended, answer.replayed) == ("RESERVATION_ENDED", ended, buyer != "")


async def test_a_new_reserve_of_an_archived_sale_is_rejected(archive: ArchiveFallback) -> None:
    """In the order of the rule: unknown items come before the end of the sale."""
    fresh = BUY._replace(reservation_id="fresh")
    asked = [fresh, fresh._replace(lines=(Line("lamp", 1), Line("sofa", 1)))]

    answers = [await archive.reserve(request) for request in asked]

    assert [reason_of(answer) for answer in answers] == ["SALE_ENDED", "ITEM_NOT_FOUND"]
    assert answers[0] == Rejected(RejectionReason.REJECTION_REASON_SALE_ENDED, AS_OF, NOW_MS)


async def test_an_archived_sale_without_holds_allows_no_hold_ttl(archive: ArchiveFallback, ledger: FakeArchive) -> None:
    """A repeat with a `hold_ttl` is another request than the one without."""
    ledger.hold_ttl_ms = 0
    ledger.reservations["bought"] = sold = BOUGHT._replace(expire_time_ms=0)

    again = await archive.reserve(BUY)
    other = await archive.reserve(BUY._replace(hold_ttl_ms=60_000))
    fresh = await archive.reserve(BUY._replace(reservation_id="fresh", hold_ttl_ms=60_000))

    assert again == Granted(sold, replayed=True, read_time_ms=NOW_MS)
    assert [reason_of(other), reason_of(fresh)] == ["RESERVATION_ID_REUSED", "SALE_WITHOUT_HOLDS"]


async def test_an_archived_sale_is_read_from_the_ledger(archive: ArchiveFallback) -> None:
    """Its state is ARCHIVED, and `as_of` is the ledger's watermark."""
    found = await archive.find_sale(SALE)

    assert isinstance(found, SaleRead)
    assert (found.sale.state, found.as_of, found.read_time_ms) == (SALE_STATE_ARCHIVED, AS_OF, NOW_MS)


async def test_spending_an_unknown_id_of_an_archived_sale_is_not_found(archive: ArchiveFallback) -> None:
    """No Reserve gets units under it, so nothing is recorded; a confirmed reservation stays confirmed."""
    unknown = await archive.move(SPEND)
    bought = await archive.move(SPEND._replace(reservation_id="bought"))

    assert isinstance(unknown, Failure)
    assert isinstance(bought, Failure)
    assert [reason_of(unknown), reason_of(bought)] == ["RESERVATION_NOT_FOUND", "WRONG_RESERVATION_STATE"]


async def test_what_has_left_is_no_hold_that_could_be_changed(archive: ArchiveFallback, ledger: FakeArchive) -> None:
    """The caller hears how it stands; one that the ledger has as held has not left."""
    change = ChangeHold(SALE, "bought", (Line("lamp", 1),))
    sold = await archive.change_hold(change)
    ledger.reservations["bought"] = BOUGHT._replace(state=HELD)
    held = await archive.change_hold(change)
    unknown = await archive.change_hold(change._replace(reservation_id="unknown"))

    assert isinstance(sold, Failure)
    assert (reason_of(sold), sold.reservation) == ("WRONG_RESERVATION_STATE", BOUGHT)
    assert held == Failure(reasons.ERROR_REASON_SHARD_NOT_SERVING)
    assert isinstance(unknown, Failure)
    assert reason_of(unknown) == "RESERVATION_NOT_FOUND"


async def test_nothing_comes_back_to_an_archived_sale(archive: ArchiveFallback, ledger: FakeArchive) -> None:
    """What has come back says so again, and what was never sold is refused first: both need no unit to move."""
    everything = Move(SALE, "bought", MoveKind.RETURN, "broken")
    too_many = everything._replace(lines=(Line("lamp", 3),))
    refused = [await archive.move(everything), await archive.move(too_many)]
    ledger.reservations["bought"] = back = BOUGHT._replace(state=RETURNED, lines=(Units("lamp", 2, 2, 2),))

    assert refused[0] == Failure(reasons.ERROR_REASON_WRONG_SALE_STATE, {"state": "SALE_STATE_ARCHIVED"})
    assert isinstance(refused[1], Failure)
    assert reason_of(refused[1]) == "MORE_THAN_SOLD"
    assert await archive.move(everything) == Granted(back, replayed=True, read_time_ms=NOW_MS)


async def test_a_sale_that_cannot_have_left_redis_is_not_served_from_the_ledger(
    archive: ArchiveFallback, ledger: FakeArchive
) -> None:
    """It is not over, or something in it is held: Redis and the ledger contradict each other, and a failure is safe."""
    ledger.reservations["bought"] = BOUGHT._replace(state=HELD)
    held = await archive.reserve(BUY)
    ledger.end_ms = NOW_MS + 1
    archive = archive_of(ledger)

    early = [await archive.reserve(BUY), await archive.find_sale(SALE), await archive.move(SPEND)]

    assert [held, *early] == [Failure(reasons.ERROR_REASON_SHARD_NOT_SERVING)] * 4


def test_the_shortest_admitted_deadline_leaves_time_for_a_batch() -> None:
    """A call that could not be answered in time anyway is rejected before it waits for a batch."""
    assert Limits().interval_s < MIN_TIME_S
