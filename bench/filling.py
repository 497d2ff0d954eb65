"""Fills a sale with live holds or with confirmed reservations, each of another buyer, faster than a load does."""

import asyncio
import os
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

from holdfast.blocking import BlockingClient
from holdfast.client import Client
from holdfast.inventory.v1.inventory_service_pb2 import ConfirmReservationRequest, ReserveRequest
from holdfast.inventory.v1.reservation_pb2 import Line

from bench import h2load
from bench.builds import PATIENT
from bench.failures import BenchmarkFailed

BATCH, BATCHES_AT_ONCE = 500, 4
CONFIRM_METHOD = "holdfast.inventory.v1.InventoryService/ConfirmReservation"
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
    request = ConfirmReservationRequest(sale_id=sale_id, reservation_id=h2load.PLACEHOLDER).SerializeToString()
    before = units_sold(address, sale_id)
    with tempfile.TemporaryDirectory() as folder:
        body = Path(folder) / "body"
        body.write_bytes(b"\0" + len(request).to_bytes(4, "big") + request)
        ids = {"LD_PRELOAD": str(h2load.compile_ids(Path(folder))), "FIRST_ID": str(numbers.start)}
        command = ["h2load", "--threads=1", f"--requests={len(numbers)}", "--clients=1", "--max-concurrent-streams=100"]
        headers = ["--header=content-type: application/grpc", "--header=te: trailers"]
        command += [f"--data={body}", *headers, f"http://{address}/{CONFIRM_METHOD}"]
        subprocess.run(command, env={**os.environ, **ids}, capture_output=True, timeout=CONFIRM_S, check=True)
    if (sold := units_sold(address, sale_id) - before) != len(numbers):
        raise BenchmarkFailed(f"{sold} of {len(numbers)} reservations could be confirmed")


def units_sold(address: str, sale_id: str) -> int:
    """How many units of a sale are sold."""
    with BlockingClient(address, channels=1, retry=PATIENT) as client:
        return sum(item.sold for item in client.get_sale(sale_id).sale.items)
