"""Compare a durable unary Reserve with a no-op call: `python -m bench.reserve`.

Starts an embedded Valkey that is on disk before it answers (`appendfsync always`), the real server, and an ordinary
one-object grpc.aio server that does nothing; puts the same load on each in turn, round by round; prints medians and
ratios; and fails unless the stock in Redis adds up to what was answered. A second rod is the leanest no-op there is.
"""

import argparse
import asyncio
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import psutil
from holdfast_embedded.valkey import Valkey

from bench.ghz import ROOT, GhzFailed, Load, Report, run
from bench.place import machine_and_commit
from inventory_service.adapters.redis.connections import RedisConnections
from inventory_service.adapters.redis.scripts import Epochs, RedisScripts
from inventory_service.adapters.redis.shards import RedisShards
from inventory_service.adapters.redis.stock import RedisStock
from inventory_service.domain.keys import SaleKey
from inventory_service.domain.reservation import Line
from inventory_service.domain.sale import CreateSale, Item, SaleRead, SaleUnknown

SHARDS = 16
PLENTY = 10**9
METHOD = "holdfast.inventory.v1.InventoryService.Reserve"
ACCEPTED, SOLD_OUT, NOOP, LEAN = "accepted", "sold out", "no-op", "lean no-op"


class Running(NamedTuple):
    """A server process."""

    address: str
    process: psutil.Process


class Round(NamedTuple):
    """What one round of one shape came to."""

    report: Report
    cpu_us: float  # of the server's CPU a call: other work on the machine disturbs it least


class AuditFailed(RuntimeError):
    """Redis holds other than what was answered."""


class Store:
    """The benchmark's own view of Redis, beside the server's."""

    def __init__(self, url: str) -> None:
        self._url = url

    async def prepare(self) -> None:
        """Open the shards and make two sales: one with plenty, one with nothing."""
        connections = RedisConnections(self._url)
        shards = RedisShards(connections)
        for shard in range(SHARDS):
            takeover = await shards.begin_takeover(shard, "bench", 0, False)
            assert not isinstance(takeover, str), takeover
            assert await shards.adopt(takeover, 1, SHARDS)
        for shape, units in ((ACCEPTED, PLENTY), (SOLD_OUT, 0)):
            hour = 3_600_000
            sale = CreateSale(_sale(shape), "", None, None, hour, hour, 0, (Line("lamp", units),))
            stock = _stock(connections)
            unknown = await stock.change_sale(sale)
            assert isinstance(unknown, SaleUnknown), unknown
            made = await stock.change_sale(sale._replace(generation=unknown.generation))
            assert isinstance(made, SaleRead), made
        await connections.close()

    async def item(self, shape: str) -> Item:
        """How the sale's one item stands."""
        connections = RedisConnections(self._url)
        found = await _stock(connections).find_sale(_sale(shape))
        await connections.close()
        assert isinstance(found, SaleRead), found
        return found.sale.items[0]


def _stock(connections: RedisConnections) -> RedisStock:
    return RedisStock(RedisScripts(connections, Epochs()), SHARDS, outbox_limit=10**9)


def _sale(shape: str) -> SaleKey:
    return SaleKey("default", f"bench-{shape.replace(' ', '-')}")


def main() -> int:
    """The exit code: 0 if all calls were answered and the audit holds."""
    said = _arguments()
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        valkey = Valkey(Path(folder))
        stack.callback(valkey.kill)
        valkey.start()
        store = Store(valkey.address)
        asyncio.run(store.prepare())
        # The other servers would only be asked for what Redis does not know, so the benchmark does without them.
        alone = {"HOLDFAST_REDIS_URL": valkey.address, "HOLDFAST_START_WAIT_S": "0"}
        ours = stack.enter_context(_process("inventory_service", "serve", **alone))
        noop = stack.enter_context(_process("bench.noop_server"))
        lean = stack.enter_context(_process("bench.noop_server", "--lean"))
        try:
            reports = _measure(said, {NOOP: noop, ACCEPTED: ours, SOLD_OUT: ours, LEAN: lean})
            _audit(asyncio.run(store.item(ACCEPTED)), sum(of_round.report.calls for of_round in reports[ACCEPTED]))
            _audit(asyncio.run(store.item(SOLD_OUT)), 0)
        except (GhzFailed, AuditFailed) as error:
            print(f"failed: {error}", file=sys.stderr)
            return 1
    _tell(said, {shape: of_shape[1:] for shape, of_shape in reports.items()})
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="measured rounds, after one that is not (5)")
    parser.add_argument("--seconds", type=float, default=4.0, help="of load for each server in a round (4)")
    parser.add_argument("--connections", type=int, default=10, help="of the caller (10)")
    parser.add_argument("--streams", type=int, default=10, help="calls in flight on each connection (10)")
    return parser.parse_args()


def _measure(said: argparse.Namespace, servers: Mapping[str, "Running"]) -> dict[str, list["Round"]]:
    """One report a shape and round; the first round warms up. The order turns, so that none is always first."""
    reports: dict[str, list[Round]] = {shape: [] for shape in servers}
    shapes = list(servers)
    for number in range(said.rounds + 1):
        for shape in shapes[number % len(shapes) :] + shapes[: number % len(shapes)]:
            load = _load(said, servers[shape].address, shape, number)
            began_s = _cpu_s(servers[shape])
            report = run(load)
            cpu_us = (_cpu_s(servers[shape]) - began_s) / report.calls * 1e6
            reports[shape].append(Round(report, cpu_us))
            told = f"round {number} {shape:10} {report.calls_per_s:6.0f} calls/s, {cpu_us:4.0f} us of server CPU a call"
            print(told, file=sys.stderr, flush=True)
    return reports


def _load(said: argparse.Namespace, address: str, shape: str, number: int) -> Load:
    request: dict[str, Any] = {
        "sale_id": _sale(SOLD_OUT if shape == SOLD_OUT else ACCEPTED).sale_id,
        "reservation_id": f"r{number}-{{{{.RequestNumber}}}}",
        "buyer_id": "b-{{.RequestNumber}}",
        "lines": [{"sku": "lamp", "quantity": 1}],
    }
    return Load(address, METHOD, request, said.seconds, said.connections, said.streams)


def _audit(item: Item, accepted: int) -> None:
    """Every call was answered; the ones that got a unit must be exactly what Redis holds."""
    expected = Item("lamp", item.total, item.total - accepted, accepted, 0)
    if item != expected:
        raise AuditFailed(f"{accepted} calls were accepted, and Redis has {item}")


def _tell(said: argparse.Namespace, rounds: Mapping[str, list[Round]]) -> None:
    print(machine_and_commit())
    print(
        f"{said.connections} connections x {said.streams} streams, {said.rounds} rounds of {said.seconds:g} s, medians:"
    )
    print(
        "| | calls/s | of a no-op | p50 ms | p99 ms | p99.9 ms | server CPU us a call |\n|---|---|---|---|---|---|---|"
    )
    rod = [of_round.report.calls_per_s for of_round in rounds[NOOP]]
    for shape, of_shape in rounds.items():
        reports = [of_round.report for of_round in of_shape]
        calls = median(report.calls_per_s for report in reports)
        ratio = median(report.calls_per_s / noop for report, noop in zip(reports, rod, strict=True))
        tails = " | ".join(f"{median(report.percentile_ms(p) for report in reports):.1f}" for p in (50, 99, 99.9))
        cpu = median(of_round.cpu_us for of_round in of_shape)
        print(f"| {shape} | {calls:.0f} | {ratio:.2f} | {tails} | {cpu:.0f} |")
    print("audit: the stock in Redis adds up to the accepted calls")


@contextmanager
def _process(module: str, *arguments: str, **settings: str) -> Iterator[Running]:
    """A server process, killed at the end."""
    environment = {**os.environ, "HOLDFAST_LISTEN": "127.0.0.1:0", "HOLDFAST_SHARDS": str(SHARDS), **settings}
    command = [sys.executable, "-m", module, *arguments]
    with subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        try:
            for line in process.stderr:
                found = re.search(r"listening\s+address=(\S+)", line)
                if found:
                    yield Running(found[1], psutil.Process(process.pid))
                    break
            else:
                raise GhzFailed(f"{module} did not start")
        finally:
            process.kill()


def _cpu_s(server: Running) -> float:
    spent = server.process.cpu_times()
    return float(spent.user + spent.system)


if __name__ == "__main__":
    sys.exit(main())
