"""An overdue hold in a stack whose relay expires none: it reads as EXPIRED, and the next Reserve gets its units."""

from datetime import timedelta

from grpc import StatusCode
from holdfast.inventory.v1 import reservation_pb2 as states

from tests.inventory_server import error_of
from tests.stack_fixture import StackFixture, Stock
from tests.waiting import eventually

HELD, CONFIRMED = states.RESERVATION_STATE_HELD, states.RESERVATION_STATE_CONFIRMED
EXPIRED = states.RESERVATION_STATE_EXPIRED


async def test_an_overdue_hold_that_is_not_expired_yet_is_not_confirmed(archiving: StackFixture) -> None:
    """From its end on a hold is EXPIRED for every caller, and the next Reserve gets its units (promise 6)."""
    sale = await archiving.open_sale(1)
    await archiving.reserve(sale, "late", buyer_id="ann", hold_ttl=timedelta(seconds=1))
    await eventually(lambda: has_state(archiving, sale, "late", EXPIRED))

    refused = await error_of(archiving.confirm(sale, "late"))
    unswept = await archiving.stock(sale)
    taken = await archiving.reserve(sale, "quick", buyer_id="bob")
    confirmed = await archiving.confirm(sale, "quick")

    assert (refused.code, refused.reason) == (StatusCode.FAILED_PRECONDITION, "WRONG_RESERVATION_STATE")
    assert refused.metadata["state"] == "RESERVATION_STATE_EXPIRED"
    assert refused.reservation is not None
    assert refused.reservation.state == EXPIRED
    assert unswept == Stock(available=0, held=1, sold=0)
    assert taken.reservation.state == HELD
    assert confirmed.reservation.state == CONFIRMED


async def has_state(stack: StackFixture, sale: str, reservation_id: str, state: int) -> bool:
    """Callers see it in this state."""
    return (await stack.get(sale, reservation_id)).state == state
