"""Calls to shards that must not serve: each is sent once, and any answer is a fault."""

from collections.abc import Awaitable, Callable
from functools import partial

from holdfast.client import Client
from holdfast.errors import OutcomeUnknown, ShardNotServing, StoreUnreachable

from tests.crowd import SKU
from tests.fault_stack import FaultStack, client_without_retries
from tests.waiting import eventually

ANSWERS_S = 60.0

Call = Callable[[Client], Awaitable[object]]


def calls_of(sale_id: str, reservation_id: str) -> dict[str, Call]:
    """Every call about a sale and about a reservation that it had, by name."""
    return {
        "reserve": lambda client: client.reserve(sale_id, "late", "late", {SKU: 1}),
        "repeat": lambda client: client.reserve(sale_id, reservation_id, f"buyer-of-{reservation_id}", {SKU: 1}),
        "confirm": lambda client: client.confirm(sale_id, reservation_id),
        "release": lambda client: client.release(sale_id, reservation_id),
        "get sale": lambda client: client.get_sale(sale_id),
        "get reservation": lambda client: client.get_reservation(sale_id, reservation_id),
        "create sale": lambda client: client.create_sale(sale_id, {SKU: 1}),
    }


async def serves_nothing_because(stack: FaultStack, sale_id: str, reason: str) -> None:
    """Repeat a Reserve until its error names the reason; no call may be served meanwhile."""
    served: list[object] = []
    async with client_without_retries(stack.running) as client:

        async def names_reason() -> bool:
            """The error names the reason."""
            try:
                served.append(await client.reserve(sale_id, "late", "late", {SKU: 1}))
            except (ShardNotServing, StoreUnreachable, OutcomeUnknown) as refusal:
                return reason in refusal.metadata.get("frozen_reason", "")
            return True

        await eventually(names_reason, ANSWERS_S)
    assert not served, f"{len(served)} calls were served: {served[0]}"


async def answers(stack: FaultStack, calls: dict[str, Call]) -> dict[str, str]:
    """The result of each call: the reason of its error, or SERVED."""
    async with client_without_retries(stack.running) as client:
        return {name: await eventually(partial(answer, client, call), ANSWERS_S) for name, call in calls.items()}


async def answer(client: Client, call: Call) -> str:
    """The reason of the error, or SERVED; AssertionError, so that it is retried, where Redis does not answer."""
    try:
        return f"SERVED {await call(client)}"
    except ShardNotServing as refusal:
        return refusal.reason
    except (StoreUnreachable, OutcomeUnknown) as unreachable:
        raise AssertionError("Redis does not answer") from unreachable
