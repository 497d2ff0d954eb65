"""How long after its Reserve a reservation is in the ledger, while a stack sells at a constant rate.

A stack on embedded servers, or on the Kafka that --kafka names, gets Reserve calls by h2load at --rate a second.
Postgres keeps when each transaction was committed, so the lag of each reservation is known: from the time that Redis
gave it to the commit of the transaction that made its row. Those of the first --warm-up seconds do not count. The run
ends with the audit; exit code 1 if Redis and the ledger differ.
"""

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import asyncpg
from holdfast.client import Client
from holdfast_bench.load import SKU, Load
from holdfast_embedded.postgres import Postgres
from holdfast_embedded.server_factories import ServerFactories
from holdfast_embedded.stack import Stack

from bench import h2load
from bench.cpu import CpuWatch
from bench.machine import machine_and_commit
from bench.memory import PATIENT, READY_S, audited
from bench.programs import ENVIRONMENT

SALES = 16  # so that most shards have one
UNITS = 10**9
HOLD_TTL = timedelta(hours=1)
PERCENTILES = (50, 95, 99, 99.9, 100)
PROCESSES = ("serve", "relay", "persist")
# A row that was changed since has the time of the change, and nothing here changes one.
LAGS = """
select 1000 * extract(epoch from pg_xact_commit_timestamp(xmin) - create_time)::float8 as lag_ms
  from reservation where create_time >= to_timestamp($1) order by 1"""


class TimedPostgres(Postgres):
    """A Postgres that keeps when each transaction was committed."""

    def _settings(self) -> dict[str, str]:
        return {**super()._settings(), "track_commit_timestamp": "on"}


def main() -> int:
    """Measure on a stack of its own."""
    arguments = parsed()
    print(machine_and_commit(), flush=True)
    environment = {**ENVIRONMENT, **({"HOLDFAST_KAFKA_BROKERS": arguments.kafka} if arguments.kafka else {})}
    with (
        tempfile.TemporaryDirectory(prefix="holdfast-lag-") as folder,
        Stack(
            *(Path(folder) / "data", environment, lambda name, line: None, "127.0.0.1:0"),
            factories=ServerFactories(postgres=TimedPostgres),
        ) as stack,
    ):
        stack.wait_ready(READY_S)
        return asyncio.run(run(stack, arguments))


async def run(stack: Stack, arguments: argparse.Namespace) -> int:
    """Sell at a constant rate and print the lags; the exit code."""
    sales = [f"sale-{number}" for number in range(SALES)]
    async with Client(stack.addresses.listen, retry=PATIENT) as client:
        for sale in sales:
            await client.create_sale(sale, {SKU: UNITS}, hold_ttl=HOLD_TTL, max_hold_ttl=HOLD_TTL)
    began, watch = time.time(), CpuWatch([stack.process(name).pid for name in PROCESSES])
    rate, seconds = arguments.rate / SALES, arguments.seconds
    loads = [Load(stack.addresses.listen, sale, number, seconds, 1, 20, rate=rate) for number, sale in enumerate(sales)]
    reports = await asyncio.gather(*(asyncio.to_thread(h2load.run, load) for load in loads))
    spent, calls = watch.spent(), sum(report.calls for report in reports)
    code, audit = await audited(stack)
    lags = await lags_after(stack, began + arguments.warm_up)
    print(f"{calls:,} calls in {seconds:g} s; {audit}")
    cpu = (f"{name} {cpu_s / seconds:.2f}" for name, cpu_s in zip(PROCESSES, spent.by_process, strict=True))
    print(f"cores: {', '.join(cpu)}")
    print(f"{len(lags):,} reservations, ms from Redis to the ledger: {percentiles(lags)}")
    return code


async def lags_after(stack: Stack, began: float) -> Sequence[float]:
    """The lags of the reservations made since a moment, in ms, the shortest first."""
    db = await asyncpg.connect(stack.embedded_addresses["HOLDFAST_POSTGRES_DSN"])
    lags = [row["lag_ms"] for row in await db.fetch(LAGS, began)]
    await db.close()
    return lags


def percentiles(lags: Sequence[float]) -> str:
    at = ((percent, lags[min(len(lags) - 1, int(len(lags) * percent / 100))]) for percent in PERCENTILES)
    return ", ".join(f"p{percent:g} {lag:.0f}" for percent, lag in at)


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rate", type=float, default=2000.0, help="Reserve calls a second (%(default)s)")
    parser.add_argument("--seconds", type=float, default=60.0, help="of load (%(default)s)")
    parser.add_argument("--warm-up", type=float, default=5.0, help="seconds that do not count (%(default)s)")
    parser.add_argument("--kafka", default="", help="brokers of a Kafka that has the topics (an embedded broker)")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
