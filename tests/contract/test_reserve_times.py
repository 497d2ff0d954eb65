"""Time in Reserve, on each implementation: how long a hold lasts, a clock that is set back, the window of a sale."""

import pytest
from holdfast.inventory.v1.reservation_pb2 import ReservationState

from inventory_service.domain.results import ReservationRead
from tests.contract.requests import SALE, confirm, create, release, reserve
from tests.contract.results import granted, reason_of, rejected
from tests.contract.shards import FIRST_MOMENT_MS, ShardUnderTest
from tests.sales import make_sale

HELD = ReservationState.RESERVATION_STATE_HELD
CONFIRMED = ReservationState.RESERVATION_STATE_CONFIRMED


@pytest.mark.parametrize(("asked_ms", "lives_ms"), [(None, 10_000), (1000, 1000), (30_000, 30_000), (90_000, 60_000)])
async def test_a_hold_lasts_as_asked_up_to_the_maximum_of_the_sale(
    shard: ShardUnderTest, asked_ms: int | None, lives_ms: int
) -> None:
    """Counted from its creation."""
    await make_sale(shard.stock, create(hold_ttl_ms=10_000, max_hold_ttl_ms=60_000))
    await shard.tick(500)

    answer = await granted(shard, reserve("r-1", ttl_ms=asked_ms))

    assert answer.reservation.create_time_ms == FIRST_MOMENT_MS + 500
    assert answer.reservation.expire_time_ms == FIRST_MOMENT_MS + 500 + lives_ms


async def test_a_hold_stands_strictly_before_its_end(shard: ShardUnderTest) -> None:
    """One millisecond decides, and every read sees the same."""
    await make_sale(shard.stock, create(hold_ttl_ms=1000))
    await granted(shard, reserve("r-1"))

    await shard.tick(999)
    last = await shard.stock.find_reservation(SALE, "r-1")
    await shard.tick(1)
    over = await shard.stock.find_reservation(SALE, "r-1")

    assert isinstance(last, ReservationRead)
    assert last.reservation.state == HELD
    assert isinstance(over, ReservationRead)
    assert over.reservation.state == ReservationState.RESERVATION_STATE_EXPIRED
    assert over.reservation == last.reservation._replace(state=over.reservation.state)


async def test_the_time_of_a_shard_never_goes_back(shard: ShardUnderTest) -> None:
    """A clock that is set back must not revive a hold that a later commit saw expire."""
    await make_sale(shard.stock, create(hold_ttl_ms=1000))
    await granted(shard, reserve("r-1"))
    await shard.tick(1000)
    await granted(shard, reserve("r-2"))

    await shard.tick(-5000)

    assert reason_of(await shard.stock.move(confirm("r-1"))) == "WRONG_RESERVATION_STATE"


async def test_a_clock_set_back_after_a_read_of_an_expiry_sells_no_unit_twice(shard: ShardUnderTest) -> None:
    """If no commit has recorded the expiry, the hold stands again, and its unit is not available to another buyer."""
    await make_sale(shard.stock, create(items={"lamp": 1}, hold_ttl_ms=1000))
    await granted(shard, reserve("r-1"))
    await shard.tick(1000)
    early = await shard.stock.find_reservation(SALE, "r-1")

    await shard.tick(-1)
    assert reason_of(await shard.stock.move(confirm("r-1"))) == "GRANTED"
    await shard.tick(1)

    assert isinstance(early, ReservationRead)
    assert early.reservation.state == ReservationState.RESERVATION_STATE_EXPIRED
    assert reason_of(await shard.stock.reserve(reserve("r-2", buyer="b-2"))) == "SOLD_OUT"


async def test_a_sale_without_holds_sells_at_once(shard: ShardUnderTest) -> None:
    """The reservation is CONFIRMED when it is made, so it never expires."""
    await make_sale(shard.stock, create(hold_ttl_ms=0, buyer_limit=2))

    bought = await granted(shard, reserve("r-1", lamp=2))
    over = await rejected(shard, reserve("r-2"))

    assert (bought.reservation.state, bought.reservation.expire_time_ms) == (CONFIRMED, 0)
    assert (reason_of(over), over.buyer_remaining, over.retry_after_ms) == ("BUYER_LIMIT", 0, None)
    assert await shard.buyers(SALE) == {"b-1": {"held": 0, "sold": 2}}


async def test_the_window_is_closed_at_its_end_and_open_at_its_start(shard: ShardUnderTest) -> None:
    """start <= now < end; a rejection before the start has the time until then."""
    await make_sale(shard.stock, create(start_time_ms=FIRST_MOMENT_MS + 5000, end_time_ms=FIRST_MOMENT_MS + 9000))

    early = await rejected(shard, reserve("r-1"))
    await shard.tick(5000)
    first = await shard.stock.reserve(reserve("r-1"))
    await shard.tick(3999)
    last = await shard.stock.reserve(reserve("r-2"))
    await shard.tick(1)
    late = await rejected(shard, reserve("r-3"))

    assert (reason_of(early), early.retry_after_ms) == ("SALE_NOT_STARTED", 5000)
    assert (reason_of(first), reason_of(last)) == ("GRANTED", "GRANTED")
    assert (reason_of(late), late.retry_after_ms) == ("SALE_ENDED", None)


async def test_the_end_of_a_sale_rejects_reserve_alone(shard: ShardUnderTest) -> None:
    """Holds outlive it and can be confirmed and released."""
    await make_sale(shard.stock, create(end_time_ms=FIRST_MOMENT_MS + 1000))
    await granted(shard, reserve("r-1"))
    await granted(shard, reserve("r-2"))

    await shard.tick(2000)

    assert reason_of(await shard.stock.move(confirm("r-1"))) == "GRANTED"
    assert reason_of(await shard.stock.move(release("r-2"))) == "GRANTED"
