"""Watches of reservations on a stock in memory: what they are sent and when they end."""

from holdfast.inventory.v1.reservation_pb2 import ReservationState

from inventory_service.domain.keys import SaleKey
from tests.contract.requests import MINUTE_MS, adjust, create, extend, release, reserve
from tests.unit.inventory_service.service.watches.polled_stock import Polled


async def test_a_reservation_is_told_until_its_end_is_recorded(polled: Polled) -> None:
    """Changes of state, revision and of what the ledger says; then the watch ends well."""
    await polled.make_sale()
    await polled.stock.memory.reserve(reserve("r-1"))
    stream = polled.reservation("r-1")
    await polled.polls(2)
    polled.stock.memory.settle_up_to(0, 1, 2)
    await polled.polls(2)
    await polled.stock.memory.move(release("r-1"))
    await polled.polls(2)
    assert not stream.is_over
    polled.stock.memory.settle_up_to(0, 1, 3)
    await polled.polls(2)

    told = [(each.reservation.state, each.reservation.revision, each.reservation.ledger_state) for each in stream.sent]
    assert told == [(1, 1, 1), (1, 1, 2), (3, 2, 1), (3, 2, 2)]
    assert stream.is_over


async def test_an_overdue_hold_is_told_as_expired_and_again_once_it_is_taken_back(polled: Polled) -> None:
    """Nothing is written at its end, and its watch does not end before the expiry is recorded."""
    await polled.make_sale(create(hold_ttl_ms=1000))
    await polled.stock.memory.reserve(reserve("r-1"))
    polled.stock.memory.settle_up_to(0, 1, 2)
    stream = polled.reservation("r-1")
    await polled.polls(30)
    assert (len(stream.sent), stream.is_over) == (2, False)
    await polled.stock.memory.expire(0)
    polled.stock.memory.settle_up_to(0, 1, 3)
    await polled.polls(2)

    told = [(ReservationState.Name(each.reservation.state), each.reservation.revision) for each in stream.sent]
    assert told == [
        ("RESERVATION_STATE_HELD", 1),
        ("RESERVATION_STATE_EXPIRED", 1),
        ("RESERVATION_STATE_EXPIRED", 2),
    ]
    assert stream.is_over


async def test_a_caller_that_does_not_read_is_then_told_how_the_reservation_stands(polled: Polled) -> None:
    """What came between is not kept for it, and the end of the watch is not lost."""
    await polled.make_sale(create(max_hold_ttl_ms=60 * MINUTE_MS))
    await polled.stock.memory.reserve(reserve("r-1"))
    stream = polled.reservation("r-1")
    stream.reads.clear()
    await polled.polls(2)
    for number in range(1, 6):
        await polled.stock.memory.move(extend("r-1", (10 + number) * MINUTE_MS))
        await polled.polls(2)
    await polled.stock.memory.move(release("r-1"))
    polled.stock.memory.settle_up_to(0, 1, 100)
    await polled.polls(2)
    assert len(stream.sent) == 1
    stream.reads.set()
    await polled.polls(2)

    told = [(each.reservation.state, each.reservation.revision) for each in stream.sent]
    assert told == [(1, 1), (3, 7)]
    assert stream.is_over


async def test_reservations_are_read_128_a_call_and_only_after_a_change(polled: Polled) -> None:
    """A call for each would cost Redis most of its time."""
    await polled.make_sale(create(items={"lamp": 1000}))
    for number in range(200):
        await polled.stock.memory.reserve(reserve(f"r-{number}"))
    streams = [polled.reservation(f"r-{number}") for number in range(200)]
    await polled.polls(4)
    calls_at_first = polled.stock.reads["calls"]
    await polled.polls(20)

    assert (calls_at_first, polled.stock.reads["calls"]) == (2, 2)
    assert {len(stream.sent) for stream in streams} == {1}


async def test_a_sale_that_changes_all_the_time_leaves_turns_to_its_reservations(polled: Polled) -> None:
    """Also where the budget has each sale read once in a while only: by its next turn it has changed again."""
    keys = [SaleKey("default", f"sale-{number}") for number in range(4)]
    items = {"lamp": 9} | {f"sku-{number}": 9 for number in range(999)}
    for key in keys:
        await polled.make_sale(create(sale=key, items=items))
        await polled.stock.memory.reserve(reserve("r-1", sale=key))
    sales, reservations = [polled.sale(key) for key in keys], [polled.reservation("r-1", key) for key in keys]
    await polled.polls(30)
    for round_number in range(30):
        for key in keys:
            await polled.stock.memory.change_sale(adjust(f"a-{round_number}", sku="sku-1", sale=key))
        if round_number == 10:
            for key in keys:
                await polled.stock.memory.move(release("r-1", sale=key))
            reservations += [polled.reservation("r-1", key) for key in keys]
        await polled.polls()

    assert [stream.sent[-1].reservation.revision for stream in reservations if stream.sent] == [2] * 8
    assert min(len(stream.sent) for stream in sales) > 10
