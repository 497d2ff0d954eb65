"""The commits of each change, on each implementation, and the ledger states that follow from settling them."""

from holdfast.inventory.v1.reservation_pb2 import LedgerState

from inventory_service.domain.events import CommitBody, ReservationChange, SaleMade
from inventory_service.domain.fingerprints import sale_fingerprint
from inventory_service.domain.keys import Position, SaleKey
from inventory_service.domain.ports import ExpireStep, HoldCounts
from inventory_service.domain.reservation import Line, Units
from inventory_service.domain.results import Granted, ReservationRead
from inventory_service.domain.sale import SaleRead
from tests.contract.requests import MINUTE_MS, SALE, compensate, confirm, create, release, reserve, spend
from tests.contract.shards import FIRST_MOMENT_MS, NOT_SERVED, ShardUnderTest
from tests.sales import make_sale

UNMADE, HELD, CONFIRMED, RELEASED, EXPIRED, COMPENSATED = range(6)
NOTHING = ExpireStep(0, more_is_due=False)


async def last_change(shard: ShardUnderTest) -> ReservationChange:
    """The last event of the last commit."""
    event = (await shard.commits())[-1].events[-1]
    assert isinstance(event, ReservationChange)
    return event


def sales_of(commit: CommitBody) -> list[SaleKey]:
    """The sale of each reservation that a commit changes."""
    return [event.reservation.sale for event in commit.events if isinstance(event, ReservationChange)]


async def test_each_change_has_the_whole_reservation(shard: ShardUnderTest) -> None:
    """Every change can be understood alone: it repeats claim, states, times and creation position."""
    await make_sale(shard.stock, create())
    asked = (Line("lamp", 2), Line("shade", 1))
    claimed = (Units("lamp", 2, 0, 0), Units("shade", 1, 0, 0))
    held = await shard.stock.reserve(reserve("r-1", lamp=2, shade=1))
    assert isinstance(held, Granted)
    assert await last_change(shard) == ReservationChange(UNMADE, claimed, held.reservation, asked)

    await shard.tick(MINUTE_MS)
    confirmed = await shard.stock.move(confirm("r-1"))

    assert isinstance(confirmed, Granted)
    assert await last_change(shard) == ReservationChange(HELD, claimed, confirmed.reservation, asked)
    assert confirmed.reservation == held.reservation._replace(
        state=CONFIRMED,
        lines=(Units("lamp", 2, 2, 0), Units("shade", 1, 1, 0)),
        revision=2,
        update_time_ms=FIRST_MOMENT_MS + MINUTE_MS,
        position=Position(0, 1, 3, 0),
    )


async def test_each_change_repeats_what_the_reserve_asked_for(shard: ShardUnderTest) -> None:
    """The life of the hold as it was asked for, before the sale's longest cut it, and the reference."""
    await make_sale(shard.stock, create())
    for request in (reserve("r-1", ttl_ms=90 * MINUTE_MS, reference="cart-7"), reserve("r-2")):
        await shard.stock.reserve(request)
        made = await last_change(shard)
        await shard.stock.move(confirm(request.reservation_id))
        confirmed = await last_change(shard)

        asked = (request.hold_ttl_ms or 0, request.reference)
        assert (made.asked_hold_ms, made.reservation.reference) == asked
        assert (confirmed.asked_hold_ms, confirmed.reservation.reference) == asked


async def test_a_release_has_its_reason_as_note(shard: ShardUnderTest) -> None:
    """The note is stored with the reservation, in any alphabet."""
    await make_sale(shard.stock, create())
    await shard.stock.reserve(reserve("r-1"))

    await shard.stock.move(release("r-1", reason="Größe passt nicht — 返品"))

    change = await last_change(shard)
    assert (change.previous_state, change.reservation.state) == (HELD, RELEASED)
    assert change.reservation.note == "Größe passt nicht — 返品"


async def test_a_spent_id_has_a_claim_without_buyer_and_lines(shard: ShardUnderTest) -> None:
    """A Reserve that is still under way finds the id ended, in the ledger too."""
    await make_sale(shard.stock, create())

    await shard.stock.move(spend("r-1", reason="gave up"))

    change = await last_change(shard)
    assert (change.previous_state, change.reservation.state, change.reservation.note) == (UNMADE, RELEASED, "gave up")
    assert (change.reservation.buyer_id, change.reservation.lines, change.reservation.expire_time_ms) == ("", (), 0)
    assert change.reservation.created == change.reservation.position == Position(0, 1, 2, 0)


async def test_a_compensation_has_reason_and_detail(shard: ShardUnderTest) -> None:
    """With a detail too long for a length of one byte, and the order's creation position."""
    await make_sale(shard.stock, create())
    held = await shard.stock.reserve(reserve("r-1"))
    assert isinstance(held, Granted)
    await shard.stock.move(confirm("r-1"))

    order = compensate("r-1", held.reservation.created)._replace(detail="why " * 60)
    assert await shard.stock.compensate(order) is True

    change = await last_change(shard)
    assert (change.previous_state, change.reservation.state) == (CONFIRMED, COMPENSATED)
    assert (change.reservation.compensation_reason, change.reservation.note) == (1, "why " * 60)
    assert change.reservation.created == held.reservation.created
    found = await shard.stock.find_reservation(SALE, "r-1")
    assert isinstance(found, ReservationRead)
    assert found.reservation.ledger_state == LedgerState.LEDGER_STATE_REFUSED
    assert (found.reservation.compensation_reason, found.reservation.note) == (1, "why " * 60)


@NOT_SERVED
async def test_events_of_one_call_are_counted_in_order(shard: ShardUnderTest) -> None:
    """Positions are dense: seq by call, index by event, and each record knows both."""
    await make_sale(shard.stock, create())

    answers = await shard.stock.reserve_many(0, [reserve(f"r-{number}") for number in range(3)])
    await shard.stock.move_many(0, [confirm("r-2"), confirm("r-2"), release("r-0"), release("r-9")])

    assert [answer.reservation.created.index for answer in answers if isinstance(answer, Granted)] == [0, 1, 2]
    commit = (await shard.commits())[-1]
    assert [event.reservation.reservation_id for event in commit.events if isinstance(event, ReservationChange)] == [
        "r-2",
        "r-0",
    ]
    assert [event.reservation.position for event in commit.events if isinstance(event, ReservationChange)] == [
        Position(0, 1, 3, 0),
        Position(0, 1, 3, 1),
    ]


async def test_expiry_takes_back_the_longest_overdue_first_and_a_hundred_at_most(shard: ShardUnderTest) -> None:
    """No call blocks the shard for long; the next call takes back the rest, and the one after it writes nothing."""
    await make_sale(shard.stock, create(items={"lamp": 120}, hold_ttl_ms=60_000))
    await shard.stock.reserve_many(
        0, [reserve(f"r-{number:03}", ttl_ms=30_000 - 100 * number) for number in range(120)]
    )
    assert await shard.stock.expire(0) == NOTHING
    await shard.tick(60_000)

    assert await shard.stock.expire(0) == ExpireStep(100, more_is_due=True)
    assert await shard.stock.expire(0) == ExpireStep(20, more_is_due=False)
    kept = await shard.contents()
    assert await shard.stock.expire(0) == NOTHING

    assert await shard.contents() == kept
    first, second = (await shard.commits())[-2:]
    assert isinstance(first.events[0], ReservationChange)
    assert first.events[0].reservation.reservation_id == "r-119"
    assert isinstance(second.events[-1], ReservationChange)
    assert second.events[-1].reservation.reservation_id == "r-000"


async def test_a_longer_hold_does_not_delay_the_expiry_of_a_shorter_one(shard: ShardUnderTest) -> None:
    """A sale is due when its first hold ends, whatever is held after it."""
    await make_sale(shard.stock, create())
    await shard.stock.reserve(reserve("short", ttl_ms=1000))
    await shard.stock.reserve(reserve("long", ttl_ms=60_000))
    await shard.tick(1000)

    assert await shard.stock.expire(0) == ExpireStep(1, more_is_due=False)


async def test_one_expiry_takes_back_holds_of_several_sales(shard: ShardUnderTest) -> None:
    """They are one commit."""
    sales = [SALE._replace(sale_id=f"sale-{number}") for number in range(3)]
    for sale in sales:
        await make_sale(shard.stock, create(sale=sale, hold_ttl_ms=1000))
        await shard.stock.reserve(reserve("r-1", sale=sale))
    await shard.tick(1000)

    assert await shard.stock.expire(0) == ExpireStep(3, more_is_due=False)
    assert len((await shard.commits())[-1].events) == 3


async def test_expiry_reports_that_more_sales_are_due_than_one_call_handles(shard: ShardUnderTest) -> None:
    """The longest due come first; a sale without overdue holds is not due."""
    sales = [SALE._replace(sale_id=f"sale-{number:02}") for number in range(19)]
    for number, sale in enumerate(sales):
        await make_sale(shard.stock, create(sale=sale, hold_ttl_ms=60_000))
        await shard.stock.reserve(reserve("r-1", sale=sale, ttl_ms=20_000 - 1000 * number))
    await shard.tick(19_000)

    assert await shard.stock.expire(0) == ExpireStep(16, more_is_due=True)
    assert await shard.stock.expire(0) == ExpireStep(2, more_is_due=False)

    first, second = (await shard.commits())[-2:]
    assert sales_of(first) == sales[3:]
    assert sales_of(second) == sales[1:3]


async def test_expiry_of_exactly_a_hundred_holds_reports_nothing_more(shard: ShardUnderTest) -> None:
    """They are as many as one call may take back, so no other call is needed."""
    await make_sale(shard.stock, create(items={"lamp": 100}, hold_ttl_ms=1000))
    await shard.stock.reserve_many(0, [reserve(f"r-{number}") for number in range(100)])
    await shard.tick(1000)

    assert await shard.stock.expire(0) == ExpireStep(100, more_is_due=False)


async def test_holds_are_counted_by_whether_they_still_stand(shard: ShardUnderTest) -> None:
    """Over more sales than one call handles; counting takes nothing back."""
    sales = [SALE._replace(sale_id=f"sale-{number}") for number in range(20)]
    for sale in sales:
        await make_sale(shard.stock, create(sale=sale))
        await shard.stock.reserve_many(0, [reserve("long", sale=sale), reserve("short", sale=sale, ttl_ms=1000)])
    await shard.stock.move_many(0, [confirm("long", sale=sales[0]), release("short", sale=sales[0])])
    before = await shard.stock.count_holds(0)
    await shard.tick(1000)
    kept = await shard.contents()

    after = await shard.stock.count_holds(0)

    assert (before, after) == (HoldCounts(open=38, overdue=0), HoldCounts(open=19, overdue=19))
    assert await shard.contents() == kept


async def test_a_settled_change_is_recorded(shard: ShardUnderTest) -> None:
    """At or below the settled position no refused order waits for its compensation."""
    await make_sale(shard.stock, create())
    await shard.stock.reserve(reserve("r-1"))
    await shard.stock.reserve(reserve("r-2"))

    await shard.settle_up_to(2)

    states = []
    for reservation_id in ("r-1", "r-2"):
        found = await shard.stock.find_reservation(SALE, reservation_id)
        assert isinstance(found, ReservationRead)
        states.append(found.reservation.ledger_state)
    assert states == [LedgerState.LEDGER_STATE_RECORDED, LedgerState.LEDGER_STATE_PENDING]
    replay = await shard.stock.reserve(reserve("r-1"))
    assert isinstance(replay, Granted)
    assert replay.reservation.ledger_state == LedgerState.LEDGER_STATE_RECORDED


async def test_a_created_sale_has_the_settings_that_were_asked_for(shard: ShardUnderTest) -> None:
    """Settings and totals as asked, the start that the shard's clock gave, and the fingerprint of the request."""
    request = create(title="Lámparas", end_time_ms=FIRST_MOMENT_MS + 1, buyer_limit=7, items={"b": 0, "a": 3})

    made = await make_sale(shard.stock, request)

    assert isinstance(made, SaleRead)
    assert (await shard.commits())[0].events == (SaleMade(request, FIRST_MOMENT_MS, sale_fingerprint(request)),)
    assert made.as_of == Position(0, 1, 1, 0)
