"""Fills a sale with live holds or with confirmed reservations, each of another buyer, faster than a load does."""

import asyncio
from collections.abc import Callable

from holdfast.blocking import BlockingClient
from holdfast.client import Client
from holdfast.inventory.v1.inventory_service_pb2 import ConfirmReservationRequest, ReserveRequest
from holdfast.inventory.v1.reservation_pb2 import Line

from bench import h2load
from bench.builds import PATIENT
from bench.failures import BenchmarkFailed

BATCH, BATCHES_AT_ONCE = 500, 4
CONFIRM_S = 600.0


def number_id(number: int) -> str:
    """An id as h2load makes them, from a number."""
    return f"{number:016}"


async def hold(
    address: str, sale_id: str, sku: str, numbers: range, name: Callable[[int], str] = number_id, buyer: str = "b{:015}"
) -> None:
    """Holds of one unit each, whose ids come from numbers."""
    starts = iter(range(numbers.start, numbers.stop, BATCH))
    lines = [Line(sku=sku, quantity=1)]
    async with Client(address, retry=PATIENT) as client:

        async def work() -> None:
            for start in starts:
                requests = [
                    ReserveRequest(sale_id=sale_id, reservation_id=name(n), buyer_id=buyer.format(n), lines=lines)
                    for n in range(start, min(start + BATCH, numbers.stop))
                ]
                for answer in await client.batch_reserve(requests):
                    assert not isinstance(answer, Exception), answer
                    assert answer.HasField("reservation"), answer

        await asyncio.gather(*(work() for _ in range(BATCHES_AT_ONCE)))


def confirm(address: str, sale_id: str, numbers: range) -> None:
    """Confirm reservations of one unit each whose ids come from numbers; BenchmarkFailed unless as many are sold."""
    method = "holdfast.inventory.v1.InventoryService/ConfirmReservation"
    request = ConfirmReservationRequest(sale_id=sale_id, reservation_id=h2load.PLACEHOLDER)
    before = units_sold(address, sale_id)
    h2load.send_each_once(address, method, request.SerializeToString(), numbers, CONFIRM_S)
    if (sold := units_sold(address, sale_id) - before) != len(numbers):
        raise BenchmarkFailed(f"{sold} of {len(numbers)} reservations could be confirmed")


def units_sold(address: str, sale_id: str) -> int:
    """How many units of a sale are sold."""
    with BlockingClient(address, channels=1, retry=PATIENT) as client:
        return sum(item.sold for item in client.get_sale(sale_id).sale.items)
