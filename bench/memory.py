"""How much memory each process takes while a whole stack sells 200,000 reservations, and whether any takes too much.

Everything runs on the embedded servers. Half of the holds are confirmed, a quarter is given back, the rest expires. The
persister is away for a quarter of the run, so that a backlog builds up and is drained. The run ends with AuditSale of
the first sale, which is timed, and with the audit; exit code 1 if Redis and the ledger differ, or a process of Holdfast
took more than --limit.
"""

import argparse
import asyncio
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import grpc
import psutil
from holdfast.client import Client
from holdfast.errors import WrongReservationState
from holdfast.inventory.v1.inventory_admin_service_pb2 import AuditSaleRequest
from holdfast.inventory.v1.inventory_admin_service_pb2_grpc import InventoryAdminServiceStub
from holdfast_embedded.stack import Stack

from bench.arguments import add_json, parser_of
from bench.builds import PATIENT
from bench.ledger_tables import memory_table
from bench.machine import machine_and_commit
from bench.result_files import write_with_provenance
from bench.stacks import audited, serving_stack

PROCESSES = ("serve", "relay", "persist", "compensate")
SERVERS = ("valkey", "broker")
MIB = 1024 * 1024
SAMPLE_S = 0.5
HOLD_TTL = timedelta(seconds=30)  # what is neither bought nor given back expires within the run


class Memory:
    """Resident memory of each process of a stack, in bytes."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self.first: dict[str, int] = {}
        self.most: dict[str, int] = {}
        self.last: dict[str, int] = {}

    def sample(self) -> None:
        """Note what each running process takes now."""
        for name in (*PROCESSES, *SERVERS):
            process = self._stack.process(name)
            if process.is_running:
                taken = psutil.Process(process.pid).memory_info().rss
                self.first.setdefault(name, taken)
                self.most[name] = max(taken, self.most.get(name, 0))
                self.last[name] = taken

    def figures(self) -> dict[str, dict[str, float]]:
        """Of each process MiB at the start, at most and at the end."""
        taken = {"first": self.first, "most": self.most, "last": self.last}
        return {
            name: {when: round(sizes[name] / MIB, 1) for when, sizes in taken.items()}
            for name in (*PROCESSES, *SERVERS)
        }

    @asynccontextmanager
    async def watched(self) -> AsyncIterator[None]:
        """Sample twice a second inside the block."""

        async def watch() -> None:
            while True:
                self.sample()
                await asyncio.sleep(SAMPLE_S)

        watching = asyncio.create_task(watch())
        try:
            yield
        finally:
            watching.cancel()


class Sellers:
    """Sell over some sales, each of which has many buyers at once."""

    def __init__(self, client: Client, sales: int, at_once: int) -> None:
        self._client = client
        self._sales = [f"sale-{number}" for number in range(sales)]
        self._at_once = at_once

    @property
    def first(self) -> str:
        """The id of the first sale."""
        return self._sales[0]

    async def open(self, units: int) -> None:
        """Make the sales."""
        for sale in self._sales:
            await self._client.create_sale(sale, {"lamp": units}, hold_ttl=HOLD_TTL)

    async def sell(self, first: int, last: int) -> None:
        """Take orders `first` to `last` - 1 through, some at a time."""
        numbers = iter(range(first, last))

        async def work() -> None:
            for number in numbers:
                await self._order(number)

        await asyncio.gather(*(work() for _ in range(self._at_once)))

    async def _order(self, number: int) -> None:
        """Hold one unit; buy two of four, give one back, and leave one to expire."""
        sale, name = self._sales[number % len(self._sales)], f"order-{number}"
        answer = await self._client.reserve(sale, name, f"buyer-{number % 50_000}", {"lamp": 1})
        assert answer.HasField("reservation"), answer
        turn = number // len(self._sales) % 4
        try:
            if turn < 2:
                await self._client.confirm(sale, name)
            elif turn == 2:
                await self._client.release(sale, name)
        except WrongReservationState:  # the machine was so busy that the hold expired
            return


async def run(stack: Stack, arguments: argparse.Namespace) -> int:
    """Sell and print the memory taken; the exit code."""
    memory, orders, started = Memory(stack), arguments.reservations, time.monotonic()
    async with Client(stack.addresses.listen, retry=PATIENT) as client, memory.watched():
        sellers = Sellers(client, arguments.sales, arguments.at_once)
        await sellers.open(units=orders)
        await sellers.sell(0, orders // 4)
        await asyncio.to_thread(stack.take_down, "persist")
        await sellers.sell(orders // 4, orders // 2)
        await asyncio.to_thread(stack.bring_up, "persist")
        await sellers.sell(orders // 2, orders)
        sold_s = time.monotonic() - started
        await asyncio.sleep(HOLD_TTL.total_seconds())  # so that the last holds are overdue
        sale_audit = await audited_sale(stack, sellers.first)
        code, audit = await audited(stack)
    print(f"{orders:,} reservations of {arguments.sales} sales in {sold_s:.0f} s\n{sale_audit}\n{audit}")
    result = {"reservations": orders, "sales": arguments.sales, "sold_s": round(sold_s, 1), "audit": audit}
    result |= {"sale_audit": sale_audit, "mib": memory.figures()}
    print("\n".join(memory_table(result)))
    if code == 0:
        write_with_provenance(arguments.json, "bench.memory", result)
    over = [name for name in PROCESSES if memory.most[name] > arguments.limit * MIB]
    for name in over:
        print(f"TOO MUCH: {name} took more than {arguments.limit} MiB")
    return 1 if over or code else 0


async def audited_sale(stack: Stack, sale_id: str) -> str:
    """Compare one sale by AuditSale, twice, because the first one waits for the ledger: how long that took."""
    times = []
    async with grpc.aio.insecure_channel(stack.addresses.listen) as channel:
        for _ in range(2):
            began = time.monotonic()
            audit = await InventoryAdminServiceStub(channel).AuditSale(AuditSaleRequest(sale_id=sale_id))
            times.append(time.monotonic() - began)
    assert audit.consistent, audit.differences
    waiting_s, audit_s = times
    return f"AuditSale: {audit.reservations_compared:,} reservations in {audit_s:.1f} s (at first {waiting_s:.1f} s)"


def main() -> int:
    """Measure on a stack of its own."""
    arguments = parsed()
    print(machine_and_commit(), flush=True)
    with serving_stack() as stack:
        return asyncio.run(run(stack, arguments))


def parsed() -> argparse.Namespace:
    parser = parser_of(__doc__)
    parser.add_argument("--reservations", type=int, default=200_000, help="in all (%(default)s)")
    parser.add_argument("--sales", type=int, default=4, help="over which they are spread (%(default)s)")
    parser.add_argument("--at-once", type=int, default=200, help="orders that are under way together (%(default)s)")
    parser.add_argument("--limit", type=int, default=300, help="MiB that a process of Holdfast may take (%(default)s)")
    add_json(parser)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
