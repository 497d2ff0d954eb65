"""How many reservations a second a persister drains from Kafka into Postgres, facts included, on embedded servers.

The commits lie in Kafka before the persister starts. The clock runs from the first commit that is seen applied (what
was applied by then does not count) until every commit is in the ledger and every fact is confirmed by Kafka. Then the
ledger is compared with what was generated; there is no figure for a ledger that is wrong.
"""

import argparse
import asyncio
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import asyncpg
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from holdfast_embedded.broker import Broker
from holdfast_embedded.postgres import Postgres

from bench.commits import CONFIRMED, HELD, RELEASED, FakeShard, MadeCommit, record
from bench.machine import ROOT, machine_and_commit
from bench.programs import run_to_end, running

COMMITS, ORDERS = "holdfast.commits.v1", "holdfast.orders.v1"
RECORD_BYTES = 250_000
PARTITION_BYTES = 4_500_000  # the embedded broker keeps only the last 5 MiB of a partition
COMMIT_OVERHEAD_BYTES = 60  # its hash and lengths in a record
# In the epoch of the generated commits, as `holdfast init` would in the one that it draws.
OPEN_SHARDS = """
insert into shard_watermark (shard, shards, epoch, seq, hash, settled_epoch, settled_seq, facts_epoch, facts_seq)
select shard, $1, 1, 0, '', 1, 0, 1, 0 from generate_series(0, $1 - 1) as shard"""
DEADLINE_S = 300
PROGRAM_S = 120.0


@dataclass
class History:
    """What one shard's Redis would have done: a sale, then batches of reserves, each settled in part afterwards."""

    number: int
    batch: int  # reservations that one script call makes
    changes: int = 0
    held: int = 0
    sold: int = 0

    def __post_init__(self) -> None:
        self.shard = FakeShard(self.number)
        self.sale_id = f"sale-{self.number}"

    def make(self, reservations: int, confirmed: float, released: float) -> None:
        """Generate the commits; `confirmed` and `released` are shares of the reservations."""
        generator = random.Random(self.number)
        self.shard.open_sale(self.sale_id, lamp=reservations)
        for first in range(0, reservations, self.batch):
            names = [f"reservation-{number:08}" for number in range(first, min(first + self.batch, reservations))]
            self._move([(name, HELD) for name in names], buyer=f"buyer-{first % 5000:05}")
            chances = ((name, generator.random()) for name in names)
            ends = [(name, chance < confirmed) for name, chance in chances if chance < confirmed + released]
            self._move([(name, CONFIRMED if paid else RELEASED) for name, paid in ends])
            self.held += len(names) - len(ends)
            self.sold += sum(paid for _, paid in ends)

    def records(self, at_most: int = RECORD_BYTES) -> list[bytes]:
        """The commits as the relay would send them."""
        cut: list[list[MadeCommit]] = [[]]
        size = 0
        for commit in self.shard.commits:
            if size + len(commit.payload) > at_most and cut[-1]:
                cut.append([])
                size = 0
            cut[-1].append(commit)
            size += len(commit.payload) + COMMIT_OVERHEAD_BYTES
        return [record(self.number, commits) for commits in cut]

    def _move(self, moves: list[tuple[str, int]], buyer: str = "") -> None:
        if moves:
            self.shard.moves(*moves, buyer=buyer, sale_id=self.sale_id)
            self.changes += len(moves)


def main() -> int:
    """Measure; exit code 1 if a ledger was wrong."""
    arguments = parsed()
    histories = [History(number, arguments.batch) for number in range(arguments.shards)]
    for history in histories:
        history.make(arguments.reservations // arguments.shards, arguments.confirmed, arguments.released)
        size = sum(map(len, history.records()))
        if size > PARTITION_BYTES:
            print(f"shard {history.number} has {size} bytes, more than the embedded broker keeps: lower --reservations")
            return 2
    print(machine_and_commit())
    rates = []
    for number in range(1, arguments.runs + 1):
        with tempfile.TemporaryDirectory(prefix="holdfast-drain-") as folder:
            rate = asyncio.run(measure(Path(folder), histories, arguments.record_bytes))
        if rate is None:
            return 1
        print(f"run {number}: {rate:,.0f} reservations/s", flush=True)
        rates.append(rate)
    changes = sum(history.changes for history in histories)
    print(
        f"median of {len(rates)}: {statistics.median(rates):,.0f} reservations/s"
        f" ({arguments.reservations:,} reservations, {changes:,} changes and facts, {arguments.shards} shards)"
    )
    return 0


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
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
    parser.add_argument("--runs", type=int, default=5, help="each on new servers (%(default)s)")
    return parser.parse_args()


async def measure(folder: Path, histories: list[History], record_bytes: int) -> float | None:
    """One drain on new servers: reservations/s, or None if the ledger is wrong."""
    with servers(folder, len(histories)) as environment:
        run_to_end(ROOT, PROGRAM_S, "order_persister", "migrate", **environment)
        brokers = environment["HOLDFAST_KAFKA_BROKERS"]
        await preload(brokers, histories, record_bytes)
        db = await asyncpg.connect(environment["HOLDFAST_POSTGRES_DSN"])
        await db.execute(OPEN_SHARDS, len(histories))
        with running(ROOT, folder / "persist.log", "order_persister", "persist", **environment) as process:
            rate = await drain(db, histories, process)
            differences = await find_differences(db, brokers, histories)
        await db.close()
    for difference in differences:
        print(f"WRONG: {difference}")
    return None if differences else rate


async def drain(
    db: "asyncpg.Connection[asyncpg.Record]", histories: list[History], process: subprocess.Popen[bytes]
) -> float:
    """Reservations/s from the first that are seen applied to the last fact."""
    ends = {history.number: len(history.shard.commits) for history in histories}
    counted, started, deadline = 0, 0.0, time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline:
        if not started and await db.fetchval("select count(*) from journal"):
            started = time.monotonic()
            counted = await db.fetchval("select count(*) from reservation")
        marks = {
            row["shard"]: row["facts_seq"] for row in await db.fetch("select shard, facts_seq from shard_watermark")
        }
        if marks == ends:
            total = await db.fetchval("select count(*) from reservation")
            return float((total - counted) / (time.monotonic() - started))
        if process.poll() is not None:
            raise SystemExit(f"the persister ended with code {process.returncode}")
        await asyncio.sleep(0.05)
    raise TimeoutError(f"not drained within {DEADLINE_S} s")


async def find_differences(
    db: "asyncpg.Connection[asyncpg.Record]", brokers: str, histories: list[History]
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
    if difference := await difference_of_facts(brokers, histories):
        differences.append(difference)
    return differences


async def difference_of_facts(brokers: str, histories: list[History]) -> str | None:
    """Every change is one fact, and is published once while nothing crashes."""
    consumer = AIOKafkaConsumer(bootstrap_servers=brokers)
    await consumer.start()
    ends = await consumer.end_offsets([TopicPartition(ORDERS, history.number) for history in histories])
    await consumer.stop()
    published, changes = sum(ends.values()), sum(history.changes for history in histories)
    return None if published == changes else f"{published} facts were published of {changes} changes"


async def preload(brokers: str, histories: list[History], record_bytes: int) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=brokers, acks="all")
    await producer.start()
    for history in histories:
        for value in history.records(record_bytes):
            await producer.send(COMMITS, value, key=str(history.number).encode(), partition=history.number)
    await producer.stop()


@contextmanager
def servers(folder: Path, shards: int) -> Iterator[dict[str, str]]:
    """Start new servers: the settings of programs that use them."""
    postgres, broker = Postgres(folder / "postgres"), Broker(folder / "broker", shards)
    with ExitStack() as held:
        for server in (postgres, broker):
            held.callback(server.stop)
            server.start()
        yield {
            "HOLDFAST_POSTGRES_DSN": postgres.address,
            "HOLDFAST_KAFKA_BROKERS": broker.address,
            "HOLDFAST_SHARDS": str(shards),
            "HOLDFAST_KAFKA_SESSION_TIMEOUT_S": "3",
            "HOLDFAST_LOG_LEVEL": "warning",
        }


if __name__ == "__main__":
    sys.exit(main())
