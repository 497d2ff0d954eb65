"""Confirms at a steady rate beside a load, by a process of its own: how long each took, and how those that failed did.

Each confirm begins at its time, whether or not those before it have ended, and counts from then. Its hold was made
before the load.
"""

import asyncio
import json
import sys
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from time import perf_counter
from typing import Any

import grpc
from holdfast.inventory.v1.inventory_service_pb2 import (
    BatchReserveRequest,
    ConfirmReservationRequest,
    ReserveRequest,
)
from holdfast.inventory.v1.inventory_service_pb2_grpc import InventoryServiceStub
from holdfast.inventory.v1.reservation_pb2 import Line
from holdfast_bench.load import SKU

from bench.arguments import parser_of
from bench.builds import ACCEPTED
from bench.programs import READY, ProgramFailed, ready_process

BATCH = 500
TIMEOUT_S = 20.0  # for each confirm


class Confirmed:
    """What became of the confirms; filled at the end of the block."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.latencies_ms: Sequence[float] = ()
        self.failed: Sequence[str] = ()


@contextmanager
def confirming(address: str, per_s: float, seconds: float) -> Iterator[Confirmed]:
    """Confirm for so long from the beginning of the block on; the holds are made before."""
    command = ("bench.confirms", address, str(per_s), str(seconds))
    with ready_process(*command, within_s=TIMEOUT_S + seconds) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.close()
        confirmed = Confirmed(process.pid)
        yield confirmed
        confirmed.latencies_ms, confirmed.failed = json.loads(process.stdout.readline())


async def confirm(address: str, per_s: float, seconds: float) -> tuple[list[float], list[str]]:
    """Latencies in ms, and codes of failures."""
    latencies_ms: list[float] = []
    failed: list[str] = []
    names = [f"confirm-{uuid.uuid4()}" for _ in range(int(per_s * seconds))]
    async with grpc.aio.insecure_channel(address) as channel:
        stub: Any = InventoryServiceStub(channel)  # Any: its types are those of a channel that is not asyncio's
        await _hold(stub, names)
        print(READY, flush=True)
        await asyncio.to_thread(sys.stdin.read)

        async def one(name: str, due: float) -> None:
            await asyncio.sleep(due - perf_counter())
            try:
                await stub.ConfirmReservation(
                    ConfirmReservationRequest(sale_id=ACCEPTED, reservation_id=name), timeout=TIMEOUT_S
                )
            except grpc.aio.AioRpcError as error:
                failed.append(error.code().name)
            else:
                latencies_ms.append((perf_counter() - due) * 1000)

        began = perf_counter()
        await asyncio.gather(*(one(name, began + number / per_s) for number, name in enumerate(names)))
    return latencies_ms, failed


async def _hold(stub: Any, names: Sequence[str]) -> None:
    for first in range(0, len(names), BATCH):
        requests = [
            ReserveRequest(sale_id=ACCEPTED, reservation_id=name, buyer_id=name, lines=[Line(sku=SKU, quantity=1)])
            for name in names[first : first + BATCH]
        ]
        answer = await stub.BatchReserve(BatchReserveRequest(requests=requests))
        if not all(result.response.HasField("reservation") for result in answer.results):
            raise ProgramFailed(f"a hold was not made: {answer}")


def main() -> int:
    parser = parser_of(__doc__)
    parser.add_argument("address")
    parser.add_argument("per_s", type=float)
    parser.add_argument("seconds", type=float)
    arguments = parser.parse_args()
    print(json.dumps(asyncio.run(confirm(arguments.address, arguments.per_s, arguments.seconds))), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
