"""What leaves Redis, on each implementation: records that are final, settled and old, and sales that are over."""

import pytest
from holdfast.inventory.v1.error_reason_pb2 import ErrorReason

from inventory_service.adapters.redis.keys import shard_keys
from inventory_service.domain.archive import ArchiveStep
from inventory_service.domain.events import SaleLeft
from inventory_service.domain.ports import ExpireStep
from inventory_service.domain.results import Failure, Granted, ReservationRead
from inventory_service.domain.sale import SaleAction, SaleUnknown
from tests.contract.requests import MINUTE_MS, SALE, act, adjust, compensate, confirm, create, release, reserve, spend
from tests.contract.results import reason_of
from tests.contract.shards import FIRST_MOMENT_MS, NOT_SERVED, RedisShard, ShardUnderTest
from tests.sales import make_sale

DAY_MS = 86_400_000


async def scan(shard: ShardUnderTest) -> ArchiveStep:
    """Scan the sale once; the result has the sum of the dropped records and the shortest wait."""
    all_steps = ArchiveStep(cursor=0, dropped=0, sale_left=False, wait_ms=DAY_MS)
    while True:
        step = await shard.stock.archive(SALE, DAY_MS, all_steps.cursor)
        assert isinstance(step, ArchiveStep)
        all_steps = ArchiveStep(
            step.cursor, all_steps.dropped + step.dropped, step.sale_left, min(all_steps.wait_ms, step.wait_ms)
        )
        if step.cursor == 0:
            return all_steps


async def archive_all(shard: ShardUnderTest) -> int:
    """Scan the sale once; returns how many records were dropped."""
    return (await scan(shard)).dropped


async def settle_all(shard: ShardUnderTest) -> None:
    """Act as if the ledger had settled everything."""
    await shard.settle_up_to(len(await shard.commits()))


async def still_there(shard: ShardUnderTest, *ids: str) -> list[str]:
    """Those of these reservations that are still there."""
    return [name for name in ids if isinstance(await shard.stock.find_reservation(SALE, name), ReservationRead)]


@NOT_SERVED
async def test_a_final_record_leaves_a_day_later_once_it_is_settled(shard: ShardUnderTest) -> None:
    """CONFIRMED is final; HELD is not, however old."""
    await make_sale(shard.stock, create(hold_ttl_ms=100 * DAY_MS))
    for name in ("held", "sold", "freed"):
        await shard.stock.reserve(reserve(name))
    await shard.stock.move_many(0, [confirm("sold"), release("freed")])
    seq = len(await shard.commits())

    await shard.settle_up_to(seq)
    await shard.tick(DAY_MS - 1)
    young = await archive_all(shard)
    await shard.tick(1)
    await shard.settle_up_to(seq - 1)
    unsettled = await archive_all(shard)
    await shard.settle_up_to(seq)
    old = await archive_all(shard)

    assert (young, unsettled, old) == (0, 0, 2)
    assert await still_there(shard, "held", "sold", "freed") == ["held"]


async def test_archiving_moves_no_units(shard: ShardUnderTest) -> None:
    """What was sold is still sold, and still counts for its buyer's limit."""
    await make_sale(shard.stock, create(hold_ttl_ms=0, buyer_limit=1))
    await shard.stock.reserve(reserve("r-1"))
    before = await shard.stock.find_sale(SALE)
    await shard.settle_up_to(2)
    await shard.tick(DAY_MS)

    assert await archive_all(shard) == 1

    after = await shard.stock.find_sale(SALE)
    assert after.sale == before.sale  # type: ignore[union-attr]
    assert await shard.buyers(SALE) == {"b-1": {"held": 0, "sold": 1}}
    assert len(await shard.commits()) == 2


async def test_a_late_compensation_does_not_change_a_newer_reservation_of_the_id(shard: ShardUnderTest) -> None:
    """The id is free in Redis after its record left; the compensation names where its order was created."""
    await make_sale(shard.stock, create())
    first = await shard.stock.reserve(reserve("r-1"))
    assert isinstance(first, Granted)
    await shard.stock.move(release("r-1"))
    await shard.settle_up_to(3)
    await shard.tick(DAY_MS)
    await archive_all(shard)

    second = await shard.stock.reserve(reserve("r-1", buyer="b-2"))

    assert isinstance(second, Granted)
    assert not second.replayed
    assert await shard.stock.compensate(compensate("r-1", first.reservation.created)) is False
    assert await shard.stock.compensate(compensate("r-1", second.reservation.created)) is True


async def test_a_scan_of_many_records_ends(shard: ShardUnderTest) -> None:
    """Each step scans a few records."""
    await make_sale(shard.stock, create(items={"lamp": 1000}, hold_ttl_ms=0))
    for start in range(0, 1000, 125):
        await shard.stock.reserve_many(0, [reserve(f"r-{number}") for number in range(start, start + 125)])
    await settle_all(shard)
    await shard.tick(DAY_MS)

    assert await archive_all(shard) == 1000
    assert await still_there(shard, "r-0", "r-999") == []


async def test_a_scan_returns_when_the_next_record_may_leave(shard: ShardUnderTest) -> None:
    """The wait is that of the oldest final record; a hold is not final yet, so it has the whole retention before it."""
    await make_sale(shard.stock, create(hold_ttl_ms=100 * DAY_MS))
    await shard.stock.reserve(reserve("held"))
    nothing_final = await scan(shard)
    await shard.stock.reserve(reserve("first"))
    await shard.stock.move(release("first"))
    await shard.tick(MINUTE_MS)
    await shard.stock.move(spend("second"))

    both_young = await scan(shard)
    await shard.tick(DAY_MS - MINUTE_MS)
    old_and_unsettled = await scan(shard)
    await settle_all(shard)
    one_old = await scan(shard)

    assert nothing_final == ArchiveStep(0, 0, False, DAY_MS)
    assert both_young == ArchiveStep(0, 0, False, DAY_MS - MINUTE_MS)
    assert old_and_unsettled == ArchiveStep(0, 0, False, 0)
    assert one_old == ArchiveStep(0, 1, False, MINUTE_MS)


# --------------------------------------------------------------------------------------------------- whole sales


async def test_a_sale_that_is_over_leaves_after_its_last_record(shard: ShardUnderTest) -> None:
    """All of its keys are removed, which its last commit records; the shard goes on serving."""
    await make_sale(shard.stock, create(end_time_ms=FIRST_MOMENT_MS + MINUTE_MS, buyer_limit=5))
    await shard.stock.reserve(reserve("r-1"))
    await shard.stock.move(confirm("r-1"))
    await settle_all(shard)
    commits = await shard.commits()

    await shard.tick(MINUTE_MS + DAY_MS - 1)
    young = await scan(shard)
    await shard.tick(1)
    gone = await scan(shard)
    again = await scan(shard)

    assert young == ArchiveStep(0, 1, False, 1)
    assert gone == ArchiveStep(0, 0, True, DAY_MS)
    assert again == ArchiveStep(0, 0, False, DAY_MS)
    assert await shard.stock.list_sales(0) == []
    assert reason_of(await shard.stock.find_sale(SALE)) == "SALE_NOT_FOUND"
    assert reason_of(await shard.stock.reserve(reserve("r-1"))) == "SALE_NOT_FOUND"
    assert [commit.events for commit in (await shard.commits())[len(commits) :]] == [(SaleLeft(SALE),)]
    assert await shard.keeps(SALE) is False


async def test_a_sale_stays_while_anything_of_it_may_still_change(shard: ShardUnderTest) -> None:
    """A hold outlives the end of its sale, a young record may be read, and an unsettled one compensated."""
    await make_sale(shard.stock, create(end_time_ms=FIRST_MOMENT_MS + MINUTE_MS, hold_ttl_ms=3 * DAY_MS))
    held = await shard.stock.reserve(reserve("r-1"))
    assert isinstance(held, Granted)
    await settle_all(shard)
    await shard.tick(MINUTE_MS + DAY_MS)

    with_a_hold = await scan(shard)
    await shard.stock.move(confirm("r-1"))
    with_a_young_record = await scan(shard)
    await shard.tick(DAY_MS)
    unsettled = await scan(shard)
    assert await shard.stock.compensate(compensate("r-1", held.reservation.created)) is True
    await settle_all(shard)
    compensated = await scan(shard)
    await shard.tick(DAY_MS)
    gone = await scan(shard)

    waits = [with_a_hold, with_a_young_record, unsettled, compensated]
    assert waits == [ArchiveStep(0, 0, False, wait_ms) for wait_ms in (DAY_MS, DAY_MS, 0, DAY_MS)]
    assert gone == ArchiveStep(0, 1, True, DAY_MS)


async def test_a_sale_without_an_end_never_leaves(shard: ShardUnderTest) -> None:
    """Nor does one that the ledger has not settled, however long it is over."""
    await make_sale(shard.stock, create())
    await make_sale(shard.stock, create(SALE._replace(sale_id="brief"), end_time_ms=FIRST_MOMENT_MS + 1))
    await shard.settle_up_to(1)
    await shard.tick(10 * DAY_MS)

    endless = await scan(shard)
    unheard_of = await shard.stock.archive(SALE._replace(sale_id="brief"), DAY_MS)

    assert endless == ArchiveStep(0, 0, False, DAY_MS)
    assert unheard_of == ArchiveStep(0, 0, False, 0)


@pytest.mark.parametrize("window_ms", [0, DAY_MS, 3 * DAY_MS])
async def test_a_sale_stays_for_its_return_window(shard: ShardUnderTest, window_ms: int) -> None:
    """What was sold can be returned meanwhile; a window that is shorter than the retention changes nothing."""
    await make_sale(shard.stock, create(end_time_ms=FIRST_MOMENT_MS + 1, return_window_ms=window_ms))
    await settle_all(shard)
    keep_ms = max(DAY_MS, window_ms)
    await shard.tick(keep_ms)

    young = await scan(shard)
    await shard.tick(1)

    assert young == ArchiveStep(0, 0, False, 1)
    assert (await scan(shard)).sale_left


@pytest.mark.parametrize("end_ms", [None, 2, 2 * DAY_MS])
async def test_a_sale_is_over_at_its_end_or_close(shard: ShardUnderTest, end_ms: int | None) -> None:
    """Whichever came first; the last change of its settings must be settled."""
    await make_sale(shard.stock, create(end_time_ms=end_ms and FIRST_MOMENT_MS + end_ms))
    await settle_all(shard)
    await shard.tick(5)
    await shard.stock.change_sale(act(SaleAction.CLOSE))
    await shard.tick(DAY_MS)
    unsettled = await scan(shard)
    await settle_all(shard)
    await shard.tick(-1)

    closed = await scan(shard)
    await shard.tick(1)

    assert unsettled == ArchiveStep(0, 0, False, 0)
    assert closed.sale_left == (end_ms == 2)
    assert closed.sale_left or (await scan(shard)).sale_left


async def test_a_sale_stays_until_its_last_adjustment_is_settled(shard: ShardUnderTest) -> None:
    """A repeat is then answered from the ledger, for good; the sale leaves with its adjustments."""
    await make_sale(shard.stock, create(end_time_ms=FIRST_MOMENT_MS + 1))
    await shard.stock.change_sale(adjust("a-1"))
    await settle_all(shard)
    await shard.stock.change_sale(adjust("a-2"))
    await shard.tick(DAY_MS + 1)

    unsettled = await scan(shard)
    await settle_all(shard)
    gone = await scan(shard)

    assert (unsettled.sale_left, gone.sale_left) == (False, True)
    assert not await shard.keeps(SALE)


async def leave(shard: ShardUnderTest) -> None:
    """Archive a sale that was over when it was made at once, the shortest time a sale can exist."""
    long_ago = FIRST_MOMENT_MS - 2 * DAY_MS
    await make_sale(shard.stock, create(start_time_ms=long_ago, end_time_ms=long_ago + 1))
    await settle_all(shard)
    assert (await scan(shard)).sale_left


@NOT_SERVED
async def test_an_archived_sale_is_not_made_with_an_earlier_generation(shard: ShardUnderTest) -> None:
    """One caller gets UNKNOWN; another makes the sale, which is archived; that outdates the first one's generation."""
    unknown = await shard.stock.change_sale(create())
    assert isinstance(unknown, SaleUnknown)
    await leave(shard)
    kept = await shard.contents()

    result = await shard.stock.change_sale(create()._replace(generation=unknown.generation))

    assert isinstance(result, SaleUnknown)
    assert result != unknown
    assert await shard.contents() == kept


@NOT_SERVED
async def test_a_repeated_create_of_an_archived_sale_makes_nothing(shard: ShardUnderTest) -> None:
    """The repeat arrives after the sale has left, and gets UNKNOWN with a new generation."""
    await leave(shard)
    kept = await shard.contents()

    again = await shard.stock.change_sale(create())

    assert isinstance(again, SaleUnknown)
    assert await shard.contents() == kept


async def test_a_generation_from_before_a_take_over_is_outdated(scripts: RedisShard) -> None:
    """No sale is made in a rebuilt shard by an answer of the old one."""
    unknown = await scripts.stock.change_sale(create())
    assert isinstance(unknown, SaleUnknown)
    await scripts.ask("HSET", shard_keys(0).meta, "epoch", 7, "seq", 0)

    result = await scripts.stock.change_sale(create()._replace(generation=unknown.generation))

    assert isinstance(result, SaleUnknown)
    assert await scripts.stock.list_sales(0) == []


async def test_late_calls_on_an_archived_sale_change_nothing(shard: ShardUnderTest) -> None:
    """A repeated compensation, a sweep of overdue holds, a move: none of them writes anything."""
    await make_sale(shard.stock, create(end_time_ms=FIRST_MOMENT_MS + MINUTE_MS, hold_ttl_ms=MINUTE_MS))
    held = await shard.stock.reserve(reserve("r-1"))
    assert isinstance(held, Granted)
    await shard.tick(MINUTE_MS)
    assert await shard.stock.expire(0) == ExpireStep(1, more_is_due=False)
    await settle_all(shard)
    await shard.tick(DAY_MS)
    assert (await scan(shard)).sale_left
    kept = await shard.contents()

    results = [
        await shard.stock.compensate(compensate("r-1", held.reservation.created)),
        await shard.stock.expire(0),
        *await shard.stock.move_many(0, [confirm("r-1"), spend("r-9")]),
    ]

    not_found = Failure(ErrorReason.ERROR_REASON_SALE_NOT_FOUND, {"sale_id": SALE.sale_id})
    assert results == [False, ExpireStep(0, more_is_due=False), not_found, not_found]
    assert await shard.contents() == kept
