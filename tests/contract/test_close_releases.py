"""Closing a sale with a release of its holds: one moment for every call, and the units follow in steps."""

import asyncio

from holdfast.inventory.v1.error_reason_pb2 import ErrorReason
from holdfast.inventory.v1.reservation_pb2 import RejectionReason

from inventory_service.domain.events import ReservationChange, SaleChanged
from inventory_service.domain.ports import ExpireStep, HoldCounts
from inventory_service.domain.reservation import CONFIRMED, EXPIRED, HELD, RELEASED, Reservation
from inventory_service.domain.results import Failure, Granted, Rejected, ReservationRead
from inventory_service.domain.sale import Item, SaleAction, SaleRead
from tests.contract.requests import MINUTE_MS, SALE, act, compensate, confirm, create, release, reserve, spend
from tests.contract.shards import FIRST_MOMENT_MS, NOT_SERVED, ShardUnderTest
from tests.sales import make_sale

CLOSE_AND_RELEASE = act(SaleAction.CLOSE_AND_RELEASE, reason="Ausverkauf beendet", actor="ops")
MANY = 120  # more than one call takes back


async def sale_with_holds(shard: ShardUnderTest, count: int) -> list[Granted]:
    """An open sale with holds of one lamp each."""
    await make_sale(shard.stock, create(items={"lamp": 1000}))
    answers = await shard.stock.reserve_many(0, [reserve(f"r-{number:03}") for number in range(count)])
    return [answer for answer in answers if isinstance(answer, Granted)]


async def seen(shard: ShardUnderTest, reservation_id: str) -> Reservation:
    """A reservation as a read tells it."""
    found = await shard.stock.find_reservation(SALE, reservation_id)
    assert isinstance(found, ReservationRead)
    return found.reservation


async def state_of(shard: ShardUnderTest, reservation_id: str) -> int:
    """The state that a read tells."""
    return (await seen(shard, reservation_id)).state


async def lamps(shard: ShardUnderTest) -> Item:
    """The stock of lamps."""
    found = await shard.stock.find_sale(SALE)
    assert isinstance(found, SaleRead)
    return found.sale.items[0]


@NOT_SERVED
async def test_the_close_takes_a_hundred_holds_back_and_the_sweep_the_rest(shard: ShardUnderTest) -> None:
    """No call blocks the shard for long; each is RELEASED once, with the reason of the close as its note."""
    await sale_with_holds(shard, MANY)
    await shard.tick(1)

    await shard.stock.change_sale(CLOSE_AND_RELEASE)
    after_close = await lamps(shard), await shard.stock.count_holds(0)
    await shard.tick(1)
    swept = await shard.stock.expire(0), await shard.stock.expire(0)

    assert after_close == (Item("lamp", 1000, 980, 20, 0), HoldCounts(0, 20))
    assert swept == (ExpireStep(20, more_is_due=False), ExpireStep(0, more_is_due=False))
    assert await lamps(shard) == Item("lamp", 1000, 1000, 0, 0)
    events = [event for commit in await shard.commits() for event in commit.events]
    at = next(at for at, event in enumerate(events) if isinstance(event, SaleChanged))
    changes = [event for event in events[at + 1 :] if isinstance(event, ReservationChange)]
    ids = [change.reservation.reservation_id for change in changes]
    assert (ids, len(set(ids))) == (sorted(ids), MANY)
    assert {(change.previous_state, change.reservation.state) for change in changes} == {(HELD, RELEASED)}
    assert {change.reservation.note for change in changes} == {"Ausverkauf beendet"}


async def test_from_the_close_on_no_hold_stands(shard: ShardUnderTest) -> None:
    """Also one whose units are not back yet: no call finds a gap between the close and the sweep."""
    held = await sale_with_holds(shard, MANY)
    await shard.stock.change_sale(CLOSE_AND_RELEASE)
    last = f"r-{MANY - 1}"
    kept = await shard.contents()

    confirmed = await shard.stock.move(confirm(last))
    released = await shard.stock.move(release(last))
    spent = await shard.stock.move(spend(last))
    repeated = await shard.stock.reserve(reserve(last))
    new = await shard.stock.reserve(reserve("r-new"))
    compensated = await shard.stock.compensate(compensate(last, held[-1].reservation.created))

    told = await seen(shard, last)
    assert (told.state, told.note) == (RELEASED, "Ausverkauf beendet")
    assert isinstance(confirmed, Failure)
    assert confirmed.reason == ErrorReason.ERROR_REASON_WRONG_RESERVATION_STATE
    assert confirmed.metadata == {"state": "RESERVATION_STATE_RELEASED"}
    assert isinstance(released, Granted)
    assert isinstance(spent, Granted)
    assert released.replayed
    assert spent.replayed
    assert isinstance(repeated, Rejected)
    assert isinstance(new, Rejected)
    assert repeated.reason == RejectionReason.REJECTION_REASON_RESERVATION_ENDED
    assert repeated.ended is not None
    assert {released.reservation, spent.reservation, repeated.ended} == {told}
    assert new.reason == RejectionReason.REJECTION_REASON_SALE_ENDED
    assert compensated is False
    assert await shard.contents() == kept


async def test_a_hold_that_was_overdue_at_the_close_has_expired(shard: ShardUnderTest) -> None:
    """It had ended before; a released one stays RELEASED when its own end comes."""
    await make_sale(shard.stock, create(hold_ttl_ms=MINUTE_MS))
    await shard.stock.reserve(reserve("r-1"))
    await shard.tick(1)
    await shard.stock.reserve(reserve("r-2"))
    await shard.tick(MINUTE_MS - 1)

    await shard.stock.change_sale(CLOSE_AND_RELEASE)
    at_the_close = await state_of(shard, "r-1"), await state_of(shard, "r-2")
    await shard.tick(MINUTE_MS)

    assert at_the_close == (EXPIRED, RELEASED)
    assert (await state_of(shard, "r-1"), await state_of(shard, "r-2")) == (EXPIRED, RELEASED)
    changes = [event for event in (await shard.commits())[-1].events if isinstance(event, ReservationChange)]
    notes = {change.reservation.reservation_id: change.reservation.note for change in changes}
    assert notes == {"r-1": "", "r-2": "Ausverkauf beendet"}


async def test_what_was_sold_stays_sold(shard: ShardUnderTest) -> None:
    """The close releases holds alone."""
    await sale_with_holds(shard, 2)
    await shard.stock.move(confirm("r-000"))

    await shard.stock.change_sale(CLOSE_AND_RELEASE)

    assert await state_of(shard, "r-000") == CONFIRMED
    assert await lamps(shard) == Item("lamp", 1000, 999, 0, 1)
    again = await shard.stock.move(confirm("r-000"))
    assert isinstance(again, Granted)
    assert again.replayed


async def test_holds_outlive_a_close_that_does_not_release_them(shard: ShardUnderTest) -> None:
    """Until it is asked for: then the holds that are left are released, and the sale keeps its first close."""
    await sale_with_holds(shard, 2)
    await shard.stock.change_sale(act(SaleAction.CLOSE, reason="over"))
    confirmed = await shard.stock.move(confirm("r-000"))
    await shard.tick(5)

    await shard.stock.change_sale(CLOSE_AND_RELEASE)

    assert isinstance(confirmed, Granted)
    assert await state_of(shard, "r-001") == RELEASED
    found = await shard.stock.find_sale(SALE)
    assert isinstance(found, SaleRead)
    assert found.sale.settings.close_time_ms == FIRST_MOMENT_MS
    assert found.sale.settings.release_time_ms == FIRST_MOMENT_MS + 5


async def test_a_confirm_under_way_at_the_close_comes_before_it_or_fails(shard: ShardUnderTest) -> None:
    """Confirms of every hold race with the close: each that is granted has its commit below the close's."""
    await sale_with_holds(shard, MANY)
    confirms = [shard.stock.move(confirm(f"r-{number:03}")) for number in range(MANY)]
    close = shard.stock.change_sale(CLOSE_AND_RELEASE)

    outcomes = await asyncio.gather(*confirms[: MANY // 2], close, *confirms[MANY // 2 :])

    assert isinstance(outcomes[MANY // 2], SaleRead)
    granted = [outcome for outcome in outcomes if isinstance(outcome, Granted)]
    refused = [outcome for outcome in outcomes if isinstance(outcome, Failure)]
    commits = await shard.commits()
    (close_seq,) = (commit.seq for commit in commits if any(isinstance(event, SaleChanged) for event in commit.events))
    assert all(outcome.reservation.position.seq < close_seq for outcome in granted)
    assert len(granted) + len(refused) == MANY
    assert {outcome.metadata["state"] for outcome in refused} <= {"RESERVATION_STATE_RELEASED"}
    assert (await lamps(shard)).sold == len(granted)
