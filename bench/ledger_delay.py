"""How long after its Reserve a reservation is in the ledger, while a stack sells at a constant rate.

A stack on embedded servers, or with topics of its own on the Kafka that --kafka names, gets Reserve calls by h2load
at --rate a second. Postgres keeps when each transaction was committed, so the lag of each reservation is known: from
the time that Redis gave it to the commit of the transaction that made its row. Kafka keeps when the relay has handed it
each record, which divides the lag of each commit into that of the relay and that of Kafka and the persister. Those of
the first --warm-up seconds do not count. The run ends with the audit; exit code 1 if Redis and the ledger differ.

`bench.ledger_lag` samples a stack instead, over time and without a setting of Postgres'.
"""

import argparse
import asyncio
import sys
import time
import uuid
from collections.abc import Mapping, Sequence
from datetime import timedelta

import asyncpg
from aiokafka import AIOKafkaConsumer, TopicPartition
from holdfast.client import Client
from holdfast.inventory.v1.commit_pb2 import CommitBody
from holdfast.inventory.v1.events_pb2 import CommitRun
from holdfast_bench.load import SKU, Load, percentile
from holdfast_embedded.postgres import Postgres
from holdfast_embedded.server_factories import ServerFactories
from holdfast_embedded.stack import Stack

from bench import h2load
from bench.arguments import add_json, parser_of
from bench.backlog import COMMITS
from bench.builds import PATIENT, SHARDS
from bench.cpu import CpuWatch
from bench.ledger_tables import delay_table
from bench.machine import machine_and_commit
from bench.result_files import write_with_provenance
from bench.stacks import audited, serving_stack

SALES = 16  # so that most shards have one
UNITS = 10**9
HOLD_TTL = timedelta(hours=1)
PERCENTILES = (50, 95, 99, 99.9, 100)
PROCESSES = ("serve", "relay", "persist")
# A row that was changed since has the time of the change, and nothing here changes one.
LAGS = """
select 1000 * extract(epoch from pg_xact_commit_timestamp(xmin) - create_time)::float8 as lag_ms
  from reservation where create_time >= to_timestamp($1) order by 1"""


COMMITTED = """
select shard, epoch, seq, payload, extract(epoch from pg_xact_commit_timestamp(xmin))::float8 as committed
  from journal"""


class TimedPostgres(Postgres):
    """A Postgres that keeps when each transaction was committed."""

    def _settings(self) -> dict[str, str]:
        return {**super()._settings(), "track_commit_timestamp": "on"}


def main() -> int:
    """Measure on a stack of its own."""
    arguments = parsed()
    print(machine_and_commit(), flush=True)
    own_topics = {"HOLDFAST_KAFKA_BROKERS": arguments.kafka, "HOLDFAST_KAFKA_PREFIX": f"{uuid.uuid4().hex}."}
    settings = own_topics if arguments.kafka else {}
    with serving_stack(settings, ServerFactories(postgres=TimedPostgres)) as stack:
        return asyncio.run(run(stack, arguments, settings))


async def run(stack: Stack, arguments: argparse.Namespace, settings: Mapping[str, str]) -> int:
    """Sell at a constant rate and print the lags, and write them if the ledger is right; the exit code."""
    sales = [f"sale-{number}" for number in range(SALES)]
    async with Client(stack.addresses.listen, retry=PATIENT) as client:
        for sale in sales:
            await client.create_sale(sale, {SKU: UNITS}, hold_ttl=HOLD_TTL, max_hold_ttl=HOLD_TTL)
    began, watch = time.time(), CpuWatch([stack.process(name).pid for name in PROCESSES])
    rate, seconds = arguments.rate / SALES, arguments.seconds
    loads = [Load(stack.addresses.listen, sale, number, seconds, 1, 20, rate=rate) for number, sale in enumerate(sales)]
    reports = await asyncio.gather(*(asyncio.to_thread(h2load.run, load) for load in loads))
    spent, calls, seconds = watch.spent(), sum(report.calls for report in reports), reports[0].seconds
    code, audit = await audited(stack)
    warm = began + arguments.warm_up
    lags, (by_relay, by_persister) = await lags_after(stack, warm), await parts_after(stack, warm, settings)
    cores = {name: round(cpu_s / seconds, 2) for name, cpu_s in zip(PROCESSES, spent.by_process, strict=True)}
    result = {
        "rate": arguments.rate,
        "calls": calls,
        "seconds": seconds,
        "audit": audit,
        "cores": cores,
        "reservations": len(lags),
        "commits": len(by_relay),
        "lag_ms": percentiles(lags),
        "relay_ms": percentiles(by_relay),
        "persister_ms": percentiles(by_persister),
    }
    print(f"{calls:,} calls in {seconds:g} s; {audit}; cores: {cores}")
    print("\n".join(delay_table(result)))
    if code == 0:
        write_with_provenance(arguments.json, "bench.ledger_delay", result)
    return code


async def lags_after(stack: Stack, began: float) -> Sequence[float]:
    """The lags of the reservations made since a moment, in ms, the shortest first."""
    db = await asyncpg.connect(stack.embedded_addresses["HOLDFAST_POSTGRES_DSN"])
    lags = [row["lag_ms"] for row in await db.fetch(LAGS, began)]
    await db.close()
    return lags


async def parts_after(stack: Stack, began: float, settings: Mapping[str, str]) -> tuple[list[float], list[float]]:
    """Of each commit made since a moment, in ms and in order: until its first record, and from there to the ledger."""
    addresses = {**stack.embedded_addresses, **settings}
    sent = await sent_at(addresses["HOLDFAST_KAFKA_BROKERS"], addresses.get("HOLDFAST_KAFKA_PREFIX", ""))
    db = await asyncpg.connect(addresses["HOLDFAST_POSTGRES_DSN"])
    parts = []
    for shard, epoch, seq, payload, committed in await db.fetch(COMMITTED):
        made, handed_on = CommitBody.FromString(payload).time_ms / 1000, sent[shard, epoch, seq]
        if made >= began:
            parts.append((1000 * (handed_on - made), 1000 * (committed - handed_on)))
    await db.close()
    first, second = zip(*parts, strict=True)
    return sorted(first), sorted(second)


async def sent_at(brokers: str, prefix: str) -> dict[tuple[int, int, int], float]:
    """When each commit was handed to Kafka first, in seconds since 1970, by shard, epoch and number."""
    found: dict[tuple[int, int, int], float] = {}
    partitions = [TopicPartition(f"{prefix}{COMMITS}", shard) for shard in range(SHARDS)]
    async with AIOKafkaConsumer(bootstrap_servers=brokers, auto_offset_reset="earliest") as consumer:
        consumer.assign(partitions)
        ends = await consumer.end_offsets(partitions)
        while any([await consumer.position(partition) < ends[partition] for partition in partitions]):
            for records in (await consumer.getmany(timeout_ms=1000)).values():
                for record in records:
                    run = CommitRun.FromString(record.value or b"")
                    for seq in range(run.first_seq, run.first_seq + len(run.commits)):
                        found.setdefault((run.shard, run.epoch, seq), record.timestamp / 1000)
    return found


def percentiles(lags: Sequence[float]) -> dict[str, float]:
    return {f"p{percent:g}": round(percentile(lags, percent), 1) for percent in PERCENTILES}


def parsed() -> argparse.Namespace:
    parser = parser_of(__doc__)
    parser.add_argument("--rate", type=float, default=2000.0, help="Reserve calls a second (%(default)s)")
    parser.add_argument("--seconds", type=float, default=60.0, help="of load (%(default)s)")
    parser.add_argument("--warm-up", type=float, default=5.0, help="seconds that do not count (%(default)s)")
    parser.add_argument("--kafka", default="", help="brokers of a Kafka (an embedded broker)")
    add_json(parser)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
