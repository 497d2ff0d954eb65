"""Makes archived sales and reservations, which only the ledger still has, and refused orders."""

import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from datetime import timedelta
from functools import partial
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp
from grpc.aio import AioRpcError
from holdfast.inventory.v1 import inventory_service_pb2 as calls
from holdfast.inventory.v1 import reservation_pb2 as states

from tests.inventory_server import CallError, call_error
from tests.stack_fixture import ONE_LAMP, StackFixture
from tests.waiting import eventually

HELD = states.RESERVATION_STATE_HELD
ARCHIVES_S = 60.0
LONG_AGO = Timestamp(seconds=1)
BOUGHT: dict[str, Any] = {  # the hold is cut to the sale's longest
    "reservation_id": "bought", "lines": {"lamp": 2}, "buyer_id": "ann", "hold_ttl": timedelta(hours=2),
    "reference": "cart-7",
}  # fmt: skip
SELLS_S = (4, 12, 36)  # short enough to wait for, and longer where a machine needs longer to sell something


async def reserve_refused(
    stack: StackFixture, sale: str, reservation_id: str, lines: Mapping[str, int] = ONE_LAMP, buyer_id: str = "ann"
) -> tuple[calls.ReserveResponse, calls.ReserveResponse | CallError]:
    """Reserve what the ledger will refuse; return the response, and what a repeat hears once that is compensated.

    The relay archives it some seconds later, and a repeat would be granted again then. So the relay is halted from
    before the compensation until the repeat.
    """
    async with AsyncExitStack() as relay_halted:
        async with stack.halted("compensate"):
            answer = await stack.reserve(sale, reservation_id, lines, buyer_id)
            await eventually(partial(is_refused, stack, sale, reservation_id))
            await relay_halted.enter_async_context(stack.halted("relay"))
        repeated: calls.ReserveResponse | CallError = await eventually(
            lambda: answer_unless_held(partial(stack.reserve, sale, reservation_id, lines, buyer_id))
        )
    return answer, repeated


async def is_refused(stack: StackFixture, sale: str, reservation_id: str) -> bool:
    """The ledger has refused the order, and its dead letter is open."""
    letters = await stack.ledger.dead_letters(sale)
    return any((letter.reservation_id, letter.state) == (reservation_id, "OPEN") for letter in letters)


async def answer_unless_held(
    again: Callable[[], Awaitable[calls.ReserveResponse]],
) -> calls.ReserveResponse | CallError | None:
    """The rejection or the error of a repeated Reserve; None while its hold stands."""
    try:
        answer = await again()
    except AioRpcError as error:
        failed = call_error(error)
        return None if failed.retries else failed
    return None if answer.HasField("reservation") else answer


async def archived_sale(stack: StackFixture) -> str:
    """A sale that ended and was archived with its reservations: ann bought two of ten lamps, bob released one."""
    for sells_s in SELLS_S:
        sale = await stack.open_sale(start_time=LONG_AGO, end_time=Timestamp(seconds=round(time.time()) + sells_s))
        if await has_sold(stack, sale):
            await eventually(partial(is_sale_archived, stack, sale), sells_s + ARCHIVES_S)
            return sale
    raise AssertionError(f"nothing could be sold within {SELLS_S[-1]} s")


async def has_sold(stack: StackFixture, sale: str) -> bool:
    """Sell two lamps to ann, as BOUGHT asks, hold one for bob and release it; False if the sale ended before."""
    for answering in (partial(stack.reserve, sale, **BOUGHT), partial(stack.reserve, sale, "left", buyer_id="bob")):
        answer = await answering()
        if answer.rejection.reason == states.REJECTION_REASON_SALE_ENDED:
            return False
        assert answer.reservation.state == HELD, answer
    await stack.confirm(sale, "bought")
    await stack.release(sale, "left")
    return True


async def is_sale_archived(stack: StackFixture, sale: str) -> bool:
    """Redis has no key of this sale any more."""
    async with stack.redis() as redis:
        return not [key async for key in redis.scan_iter(f"*/{sale}")]


async def sale_with_archived_reservations(stack: StackFixture) -> str:
    """A sale of ten lamps: ann bought two, bob released one, and both reservations are archived."""
    sale = await stack.open_sale()
    await stack.reserve(sale, "bought", {"lamp": 2}, buyer_id="ann")
    await stack.confirm(sale, "bought")
    await stack.reserve(sale, "left", buyer_id="bob")
    await stack.release(sale, "left")
    for reservation_id in ("bought", "left"):
        await eventually(partial(is_archived, stack, sale, reservation_id), ARCHIVES_S)
    return sale


async def is_archived(stack: StackFixture, sale: str, reservation_id: str) -> bool:
    """Redis has no record of it any more."""
    return not await stack.in_redis(sale, reservation_id)
