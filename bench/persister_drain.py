"""How many reservations a second a persister drains from Kafka into Postgres, facts included, on embedded servers.

The commits lie in Kafka before the persister starts. The clock runs from the first commit that is seen applied (what
was applied by then does not count) until every commit is in the ledger and every fact is confirmed by Kafka. Then the
ledger is compared with what was generated; there is no figure for a ledger that is wrong.

Before the drains of a round a server of this checkout, which is idle otherwise, gets Reserve calls by h2load for
--unary-seconds, 100 in flight: the drain stands in proportion to these.

A backlog of more than an embedded broker keeps needs --kafka, on which each drain makes topics of its own.

With --other, two checkouts drain the same backlog in turn, each time on new servers, and this one twice in each round:
the ratio of a build to itself shows the noise.
"""

import argparse
import asyncio
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import asyncpg
from aiokafka import AIOKafkaConsumer, TopicPartition
from holdfast_bench.load import LoadFailed
from holdfast_embedded.broker import Broker
from holdfast_embedded.postgres import Postgres

from bench import h2load
from bench.arguments import add_json, parser_of
from bench.backlog import OPEN_SHARDS, ORDERS, RECORD_BYTES, History, make_topics, preload
from bench.builds import serving, started
from bench.cpu import cpu_s
from bench.failures import BenchmarkFailed, exit_code_of
from bench.ledger_tables import drain_table
from bench.loads import ReserveCalls
from bench.machine import ROOT, commit_of, machine_and_commit
from bench.process_use import resident_kib
from bench.programs import run_to_end, running
from bench.result_files import write_with_provenance
from bench.rounds import ratios, rotated, spread_of

PARTITION_BYTES = 4_500_000  # the embedded broker keeps only the last 5 MiB of a partition
THIS, TWIN, OTHER = "this", "twin", "other"
DEADLINE_S = 300
PROGRAM_S, AUDIT_S = 120.0, 900.0
DIGITS = (0, 1, 1, 0)  # of what a drain comes to


class Drain(NamedTuple):
    """One drain: CPU a reservation of the persister and of Postgres, and the most memory that the persister took."""

    per_s: float
    persister_us: float
    postgres_us: float
    memory_mib: float


def main() -> int:
    """Measure; exit code 1 if a ledger was wrong."""
    arguments = parsed()
    return exit_code_of(lambda: run(arguments))


def run(arguments: argparse.Namespace) -> int:
    """Take the rounds and print what they came to."""
    if why := h2load.missing():
        raise LoadFailed(why)
    histories = histories_of(arguments)
    made = {
        "reservations": arguments.reservations,
        "changes": sum(history.changes for history in histories),
        "commits": sum(len(history.shard.commits) for history in histories),
        **({"other_commit": commit_of(arguments.other)} if arguments.other else {}),
    }
    print(f"{machine_and_commit()}; {made}", flush=True)
    with unary_calls(arguments.unary_seconds) as unary_per_s:
        rounds = [one_round(number, unary_per_s, histories, arguments) for number in range(arguments.runs)]
    result = {**made, "rounds": len(rounds), **figures(rounds)}
    write_with_provenance(arguments.json, "bench.persister_drain", result)
    print("\n".join(drain_table(result)))
    return 0


def histories_of(arguments: argparse.Namespace) -> Sequence[History]:
    """What each shard did; BenchmarkFailed if that is more than an embedded broker keeps."""
    histories = [History(number, arguments.batch) for number in range(arguments.shards)]
    for history in histories:
        history.make(arguments.reservations // arguments.shards, arguments.confirmed, arguments.released)
        size = 0 if arguments.kafka else sum(map(len, history.records(arguments.record_bytes)))
        if size > PARTITION_BYTES:
            kept = f"shard {history.number} has {size} bytes, more than the embedded broker keeps: use --kafka"
            raise BenchmarkFailed(kept)
    return histories


class Round(NamedTuple):
    """Unary calls a second, and after them the drains of each build."""

    unary_per_s: float
    drains: Mapping[str, Drain]


def one_round(
    number: int, unary_per_s: Callable[[], float], histories: Sequence[History], arguments: argparse.Namespace
) -> Round:
    """The builds drain in an order that rotates from round to round."""
    builds = {THIS: ROOT, **({TWIN: ROOT, OTHER: arguments.other} if arguments.other else {})}
    unary = unary_per_s()
    drains = {name: drained(builds[name], histories, arguments) for name in rotated(list(builds), number)}
    rates = "; ".join(f"{name} {drains[name].per_s:,.0f}/s" for name in builds)
    print(f"unary {unary:,.0f}/s; {rates}", flush=True)
    return Round(unary, {name: drains[name] for name in builds})


@contextmanager
def unary_calls(seconds: float) -> Iterator[Callable[[], float]]:
    """A server that is called so long each time: calls a second. The end audits it."""
    with (
        tempfile.TemporaryDirectory(prefix="holdfast-unary-") as folder,
        serving(ROOT, Path(folder) / "unary") as build,
    ):
        calls = ReserveCalls(build.address)
        calls.send(seconds)  # which is not counted
        yield lambda: calls.send(seconds).calls_per_s
        build.check_answers(calls.answered)
        print(f"audit of the server: {build.audit(AUDIT_S)}", file=sys.stderr, flush=True)


def parsed() -> argparse.Namespace:
    parser = parser_of(__doc__)
    parser.add_argument("--reservations", type=int, default=100_000, help="in all (%(default)s)")
    parser.add_argument("--shards", type=int, default=16, help="over which they are spread (%(default)s)")
    parser.add_argument("--batch", type=int, default=32, help="reservations that one script call makes (%(default)s)")
    parser.add_argument("--confirmed", type=float, default=0.5, help="share confirmed afterwards (%(default)s)")
    parser.add_argument("--released", type=float, default=0.1, help="share released afterwards (%(default)s)")
    parser.add_argument(
        "--record-bytes",
        type=int,
        default=RECORD_BYTES,
        help="of a Kafka record; 1: a record for each commit, as of a quiet sale (%(default)s)",
    )
    parser.add_argument("--runs", type=int, default=5, help="rounds, each on new servers (%(default)s)")
    parser.add_argument("--unary-seconds", type=float, default=2.0, help="of calls in a round (%(default)s)")
    parser.add_argument("--kafka", default="", help="brokers of a Kafka (an embedded broker)")
    parser.add_argument("--other", type=Path, help="another checkout, with its .venv, to compare with")
    add_json(parser)
    return parser.parse_args()


def figures(rounds: Sequence[Round]) -> dict[str, Any]:
    """Medians and quartiles of each build, in proportion to unary calls and the other build of its round."""
    builds: dict[str, dict[str, Any]] = {}
    drains = [one.drains for one in rounds]
    for name in drains[0]:
        columns = zip(Drain._fields, zip(*(each[name] for each in drains), strict=True), DIGITS, strict=True)
        builds[name] = {what: spread_of(column, digits) for what, column, digits in columns}
        builds[name]["of_unary"] = spread_of([one.drains[name].per_s / one.unary_per_s for one in rounds], 2)
        if OTHER in drains[0]:
            builds[name]["of_other"] = spread_of(ratios(drains, name, OTHER, lambda drain: drain.per_s), 2)
    return {"unary_per_s": spread_of([one.unary_per_s for one in rounds], 0), "builds": builds}


def drained(checkout: Path, histories: Sequence[History], arguments: argparse.Namespace) -> Drain:
    """One drain by a checkout's persister, on new servers."""
    with tempfile.TemporaryDirectory(prefix="holdfast-drain-") as folder:
        return asyncio.run(measure(checkout, Path(folder), histories, arguments))


async def measure(checkout: Path, folder: Path, histories: Sequence[History], arguments: argparse.Namespace) -> Drain:
    """One drain; SystemExit if the ledger is wrong."""
    with servers(folder, len(histories), arguments.kafka) as (postgres, environment):
        run_to_end(checkout, PROGRAM_S, "order_persister", "migrate", **environment)
        brokers, prefix = environment["HOLDFAST_KAFKA_BROKERS"], environment["HOLDFAST_KAFKA_PREFIX"]
        if prefix:
            await make_topics(brokers, prefix, len(histories))
        await preload(brokers, prefix, histories, arguments.record_bytes)
        db = await asyncpg.connect(environment["HOLDFAST_POSTGRES_DSN"])
        await db.execute(OPEN_SHARDS, len(histories))
        with running(checkout, folder / "persist.log", "order_persister", "persist", **environment) as process:
            drain = await drain_of(db, histories, process, postgres)
            differences = await find_differences(db, brokers, prefix, histories)
        await db.close()
    if differences:
        raise SystemExit("\n".join(f"WRONG: {difference}" for difference in differences))
    return drain


async def drain_of(
    db: "asyncpg.Connection[asyncpg.Record]",
    histories: Sequence[History],
    process: "subprocess.Popen[bytes]",
    postgres: int,
) -> Drain:
    """Wait from the first reservations that are seen applied to the last fact."""
    ends = {history.number: len(history.shard.commits) for history in histories}
    deadline = time.monotonic() + DEADLINE_S
    while not await db.fetchval("select count(*) from journal"):
        await next_look(process, deadline)
    started, counted = time.monotonic(), await db.fetchval("select count(*) from reservation")
    before = cpu_s([process.pid]), cpu_s([postgres])
    marks = "select shard, facts_seq from shard_watermark"
    while {row["shard"]: row["facts_seq"] for row in await db.fetch(marks)} != ends:
        await next_look(process, deadline)
    elapsed_s, after = time.monotonic() - started, (cpu_s([process.pid]), cpu_s([postgres]))
    drained = await db.fetchval("select count(*) from reservation") - counted
    persister_us, postgres_us = ((end - start) * 1e6 / drained for start, end in zip(before, after, strict=True))
    return Drain(drained / elapsed_s, persister_us, postgres_us, resident_kib(process.pid, "VmHWM") / 1024)


async def next_look(process: "subprocess.Popen[bytes]", deadline: float) -> None:
    if process.poll() is not None:
        raise SystemExit(f"the persister ended with code {process.returncode}")
    if time.monotonic() > deadline:
        raise TimeoutError(f"not drained within {DEADLINE_S} s")
    await asyncio.sleep(0.05)


async def find_differences(
    db: "asyncpg.Connection[asyncpg.Record]", brokers: str, prefix: str, histories: Sequence[History]
) -> list[str]:
    """What is not as it was generated: balances by item, commits, refusals, facts."""
    differences = []
    items = {row["sale_id"]: row for row in await db.fetch("select * from item")}
    for history in histories:
        item = items[f"sale-{history.number}"]
        expected = (item["total"] - history.held - history.sold, history.held, history.sold, 0)
        found = (item["available"], item["held"], item["sold"], item["refused"])
        if found != expected:
            differences.append(f"shard {history.number} has available, held, sold, refused {found}, not {expected}")
    commits = await db.fetchval("select count(*) from journal")
    if commits != sum(len(history.shard.commits) for history in histories):
        differences.append(f"the journal has {commits} commits")
    if letters := await db.fetchval("select count(*) from dead_letter"):
        differences.append(f"{letters} orders were refused")
    if difference := await difference_of_facts(brokers, f"{prefix}{ORDERS}", histories):
        differences.append(difference)
    return differences


async def difference_of_facts(brokers: str, orders: str, histories: Sequence[History]) -> str | None:
    """Every change is one fact, and is published once while nothing crashes."""
    consumer = AIOKafkaConsumer(bootstrap_servers=brokers)
    await consumer.start()
    ends = await consumer.end_offsets([TopicPartition(orders, history.number) for history in histories])
    await consumer.stop()
    published, changes = sum(ends.values()), sum(history.changes for history in histories)
    return None if published == changes else f"{published} facts were published of {changes} changes"


@contextmanager
def servers(folder: Path, shards: int, kafka: str) -> Iterator[tuple[int, dict[str, str]]]:
    """Start new servers, but for a Kafka that is there: Postgres' pid, and the settings of programs that use them."""
    postgres, broker = Postgres(folder / "postgres"), Broker(folder / "broker", shards)
    with started(postgres, *([] if kafka else [broker])):
        settings = {
            "HOLDFAST_POSTGRES_DSN": postgres.address,
            "HOLDFAST_KAFKA_BROKERS": kafka or broker.address,
            "HOLDFAST_KAFKA_PREFIX": f"{uuid.uuid4().hex}." if kafka else "",
            "HOLDFAST_SHARDS": str(shards),
            "HOLDFAST_KAFKA_SESSION_TIMEOUT_S": "3",
            "HOLDFAST_LOG_LEVEL": "warning",
        }
        yield postgres.pid, settings


if __name__ == "__main__":
    sys.exit(main())
