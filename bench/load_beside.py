"""How long Reserve takes on other shards before and while one shard is loaded from the ledger, at an open rate.

A whole installation runs on embedded servers with `appendfsync always`. The ledger is filled with one shard's holds,
which Redis lacks, and `holdfast restore` loads them. Each call is sent when it is due, whatever became of the ones
before, and its latency counts from then. In the end the number of holds is checked, and the audit compares the sales
that went on: there is no good exit code for a Redis that is wrong.
"""

import argparse
import asyncio
import itertools
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager
from pathlib import Path

import asyncpg
from holdfast.client import Client
from holdfast_bench.load import SKU, Report
from holdfast_embedded.ports import LOOPBACK, free_port
from redis.asyncio import Redis

from bench.arguments import parser_of
from bench.commits import TENANT
from bench.machine import ROOT, machine_and_commit
from bench.programs import run_to_end, running
from bench.shard_load import PROGRAM_S, fill_shard, sale_of_shard, servers, watch

UNITS = 10**9
WARM_S = 3.0
SERVICES = (("inventory_service", "serve"), ("inventory_service", "relay"), ("order_persister", "persist"))


class Calls:
    """Reserve calls of one unit each, to some sales in turn."""

    def __init__(self, client: Client, sales: Sequence[str], per_s: float) -> None:
        self._client = client
        self._sales = sales
        self._per_s = per_s
        self._taken: list[tuple[float, float]] = []  # when each was due, and the seconds from then to its answer

    async def make_sales(self) -> None:
        """With units for all calls."""
        for sale in self._sales:
            await self._client.create_sale(sale, {SKU: UNITS})

    @asynccontextmanager
    async def going_on(self) -> AsyncIterator[None]:
        """Send calls inside the block, and wait for all answers at its end."""
        stop = asyncio.Event()
        sending = asyncio.create_task(self._send(stop))
        yield
        stop.set()
        await sending

    def between(self, start: float, end: float) -> Report:
        """The calls that were due in this time, by the monotonic clock."""
        latencies = sorted(seconds * 1000 for due, seconds in self._taken if start <= due < end)
        return Report(len(latencies), end - start, latencies)

    async def _send(self, stop: asyncio.Event) -> None:
        started = time.monotonic()
        async with asyncio.TaskGroup() as group:
            for number in itertools.count():
                due = started + number / self._per_s
                await asyncio.sleep(due - time.monotonic())
                if stop.is_set():
                    return
                group.create_task(self._call(number, due))

    async def _call(self, number: int, due: float) -> None:
        sale = self._sales[number % len(self._sales)]
        answer = await self._client.reserve(sale, f"call-{number}", f"buyer-{number}", {SKU: 1})
        assert answer.HasField("reservation"), answer
        self._taken.append((due, time.monotonic() - due))


def main() -> int:
    """Measure; exit code 1 if something was wrong."""
    arguments = parsed()
    print(machine_and_commit(), flush=True)
    with tempfile.TemporaryDirectory(prefix="holdfast-beside-") as folder:
        return asyncio.run(measure(Path(folder), arguments))


def parsed() -> argparse.Namespace:
    parser = parser_of(__doc__)
    parser.add_argument("--holds", type=int, default=300_000, help="that are loaded into one shard (%(default)s)")
    parser.add_argument("--shards", type=int, default=4, help="in all (%(default)s)")
    parser.add_argument("--rate", type=float, default=100.0, help="calls a second to the others (%(default)s)")
    parser.add_argument("--before", type=float, default=20.0, help="seconds of calls before the load (%(default)s)")
    return parser.parse_args()


async def measure(folder: Path, arguments: argparse.Namespace) -> int:
    """One load on new servers."""
    shards, holds = arguments.shards, arguments.holds
    others = [sale_of_shard(number, shards) for number in range(1, shards)]
    with installation(folder, shards) as (environment, processes):
        loaded = await fill(environment["HOLDFAST_POSTGRES_DSN"], shards, holds)
        async with (
            Redis.from_url(environment["HOLDFAST_REDIS_URL"], decode_responses=True) as redis,
            Client(environment["HOLDFAST_LISTEN"]) as client,
        ):
            calls = Calls(client, others, arguments.rate)
            await calls.make_sales()
            async with calls.going_on():
                await asyncio.sleep(WARM_S + arguments.before)
                began = time.monotonic()
                restore = ("inventory_service", "restore", "--shard", "0")
                with running(ROOT, folder / "restore.log", *restore, **environment):
                    used = await watch(redis, 1, processes)
            found = await redis.hlen(f"holdfast:{{0}}:reservations:{TENANT}/{loaded}")
        print(f"{holds:,} holds in {used.seconds:.1f} s")
        show({"before": calls.between(began - arguments.before, began), "during": calls.between(*used.time)})
        for sale in others:
            print(run_to_end(ROOT, PROGRAM_S, "inventory_service", "audit", sale, **environment))
    if found != holds:
        print(f"WRONG: Redis has {found} reservations of the shard that was loaded")
    return int(found != holds)


def show(reports: dict[str, Report]) -> None:
    """A table for docs/benchmarks.md."""
    print("| | calls | p50 ms | p99 ms | at most |", "|---|---|---|---|---|", sep="\n")
    for name, report in reports.items():
        figures = " | ".join(f"{report.percentile_ms(percent):.1f}" for percent in (50, 99, 100))
        print(f"| {name} | {report.calls:,} | {figures} |", flush=True)


async def fill(dsn: str, shards: int, holds: int) -> str:
    """Give shard 0 holds in the ledger, of which Redis has none: the name of their sale."""
    db = await asyncpg.connect(dsn)
    epoch = await db.fetchval("select epoch from shard_watermark where shard = 0")
    async with db.transaction():
        sale = await fill_shard(db, 0, shards, holds, epoch)
    await db.execute("analyze")
    await db.close()
    print(f"filled with {holds:,} holds", flush=True)
    return sale


@contextmanager
def installation(folder: Path, shards: int) -> Iterator[tuple[dict[str, str], dict[str, int]]]:
    """Run server, relay and persister on servers of their own: their settings, and the pids of Redis and PostgreSQL."""
    with servers(folder, shards) as (addresses, processes), ExitStack() as held:
        environment = {**addresses, "HOLDFAST_LISTEN": f"{LOOPBACK}:{free_port()}", "HOLDFAST_RESTORE": "ask"}
        run_to_end(ROOT, PROGRAM_S, "order_persister", "migrate", **environment)
        run_to_end(ROOT, PROGRAM_S, "inventory_service", "init", **environment)
        for package, name in SERVICES:
            held.enter_context(running(ROOT, folder / f"{name}.log", package, name, **environment))
        yield environment, processes


if __name__ == "__main__":
    sys.exit(main())
