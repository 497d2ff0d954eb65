"""How long `holdfast restore` takes to load shards with many live holds into a blank Redis, and how much memory.

The ledger is filled beforehand, on embedded servers with `appendfsync always`. The clock runs from the first shard that
is void until all serve; the process' start and the audit after the load are left out. Then Redis is compared with what
the ledger was filled with; there is no figure for a Redis that is wrong.
"""

import argparse
import asyncio
import sys
import tempfile
import time
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import asyncpg
from holdfast_embedded.broker import Broker
from holdfast_embedded.postgres import Postgres
from holdfast_embedded.valkey import Valkey
from redis.asyncio import Redis

from bench.arguments import parser_of
from bench.builds import started
from bench.commits import HELD, HOLD_MS, TENANT, FakeShard, KnownReservation
from bench.cpu import cpu_s
from bench.machine import ROOT, machine_and_commit
from bench.process_use import resident_kib
from bench.programs import run_to_end, running

PROGRAM_S, DEADLINE_S, SAMPLE_S = 120.0, 900.0, 0.1
HOLDS_PER_COMMIT = 128
SKU = "lamp"
SALE = """
insert into sale (tenant, sale_id, title, start_time, hold_ttl_ms, max_hold_ttl_ms, buyer_limit, create_time,
                  update_time, shard, etag_epoch, etag_seq, etag_index, body, attempts_per_minute, return_window_ms)
values ($1, $2, 'Lamps', now(), $3, $3, 0, now(), now(), $4, $5, 1, 0, '', 0, 0)"""
ITEM = """
insert into item (tenant, sale_id, sku, total, available, held, sold, buyer_limit)
values ($1, $2, $3, $4, 0, $4, 0, 0)"""
ROW = """
insert into shard_watermark (shard, shards, epoch, seq, hash, settled_epoch, settled_seq, facts_epoch, facts_seq,
                             time_ms)
values ($1, $2, $6, $3, $4, $6, $3, $6, $3, $5)
on conflict (shard) do update
  set seq = excluded.seq, hash = excluded.hash, settled_seq = excluded.seq, facts_seq = excluded.seq,
      time_ms = excluded.time_ms"""
RESERVATION = (
    *(
        "tenant",
        "sale_id",
        "reservation_id",
        "buyer_id",
        "state",
        "revision",
        "create_time",
        "update_time",
        "expire_time",
    ),
    *("shard", "created_epoch", "created_seq", "created_index", "epoch", "seq", "index", "ledger_state"),
    *("compensation_reason", "note", "asked_hold_ms", "reference"),
)
JOURNAL = ("shard", "epoch", "seq", "hash", "payload")
LINE = (
    *("tenant", "sale_id", "reservation_id", "sku", "quantity", "confirmed_quantity", "returned_quantity"),
    "asked_quantity",
)


async def fill_shard(
    db: "asyncpg.Connection[asyncpg.Record]", number: int, shards: int, holds: int, epoch: int = 1
) -> str:
    """Fill the ledger with one sale, its holds, each of another buyer, and the commits that made them."""
    sale_id = sale_of_shard(number, shards)
    shard = FakeShard(number, epoch, time_ms=int(time.time() * 1000))
    shard.open_sale(sale_id, **{SKU: holds})
    await db.execute(SALE, TENANT, sale_id, HOLD_MS, number, epoch)
    await db.execute(ITEM, TENANT, sale_id, SKU, holds)
    for first in range(0, holds, HOLDS_PER_COMMIT):
        made = make_holds(shard, sale_id, range(first, min(first + HOLDS_PER_COMMIT, holds)))
        rows = [reservation_row(shard, one, at) for at, one in enumerate(made)]
        await db.copy_records_to_table("reservation", columns=RESERVATION, records=rows)
        lines = [(TENANT, sale_id, one.claim.reservation_id, SKU, 1, 0, 0, 1) for one in made]
        await db.copy_records_to_table("reservation_line", columns=LINE, records=lines)
    commits = [(number, made.epoch, made.seq, made.hash, made.payload) for made in shard.commits]
    await db.copy_records_to_table("journal", columns=JOURNAL, records=commits)
    await db.execute(ROW, number, shards, shard.seq, shard.hash, shard.time_ms, epoch)
    return sale_id


def make_holds(shard: FakeShard, sale_id: str, numbers: range) -> list[KnownReservation]:
    """One commit of new holds of one unit each."""
    names = [f"{number:08}" for number in numbers]
    for at, name in enumerate(names):
        shard.claim(f"reservation-{name}", at, {SKU: 1}, f"buyer-{name}", sale_id)
    shard.commit(*(shard.changed(f"reservation-{name}", HELD) for name in names))
    return [shard.known.pop(f"reservation-{name}") for name in names]


def reservation_row(shard: FakeShard, made: KnownReservation, at: int) -> tuple[object, ...]:
    """A hold as the persister writes it."""
    when = datetime.fromtimestamp(made.create_time_ms / 1000, UTC)
    claim, end = made.claim, when + timedelta(milliseconds=HOLD_MS)
    named = (claim.tenant, claim.sale_id, claim.reservation_id, claim.buyer_id)
    position = (shard.epoch, shard.seq, at)
    return *named, "HELD", 1, when, when, end, shard.shard, *position, *position, "RECORDED", None, "", 0, ""


def sale_of_shard(number: int, shards: int) -> str:
    """The name of a sale that lies in this shard."""
    names = (f"sale-{at}" for at in range(1_000_000))
    return next(name for name in names if zlib.crc32(f"{TENANT}/{name}".encode()) % shards == number)


def main() -> int:
    """Measure; exit code 1 if Redis was wrong."""
    arguments = parsed()
    print(machine_and_commit())
    with tempfile.TemporaryDirectory(prefix="holdfast-load-") as folder:
        return asyncio.run(measure(Path(folder), arguments.holds, arguments.shards))


def parsed() -> argparse.Namespace:
    parser = parser_of(__doc__)
    parser.add_argument("--holds", type=int, default=1_000_000, help="in all (%(default)s)")
    parser.add_argument("--shards", type=int, default=1, help="over which they are spread (%(default)s)")
    return parser.parse_args()


async def measure(folder: Path, holds: int, shards: int) -> int:
    """One load on new servers."""
    with servers(folder, shards) as (environment, processes):
        run_to_end(ROOT, PROGRAM_S, "order_persister", "migrate", **environment)
        db = await asyncpg.connect(environment["HOLDFAST_POSTGRES_DSN"])
        sales = [await fill_shard(db, number, shards, holds // shards) for number in range(shards)]
        await db.execute("analyze")
        await db.close()
        print(f"filled with {holds:,} holds in {shards} shards", flush=True)
        async with Redis.from_url(environment["HOLDFAST_REDIS_URL"], decode_responses=True) as redis:
            with running(ROOT, folder / "restore.log", "inventory_service", "restore", **environment) as loader:
                used = await watch(redis, shards, {"loader": loader.pid, **processes})
            keys = [f"holdfast:{{{number}}}:reservations:{TENANT}/{sale}" for number, sale in enumerate(sales)]
            found = [await redis.hlen(key) for key in keys]
    cpu = ", ".join(f"{name} {seconds / holds * 1e6:.1f}" for name, seconds in used.cpu_s.items())
    print(
        f"{holds:,} holds in {used.seconds:.1f} s: {used.seconds / holds * 1e6:.1f} us a hold; us of CPU a hold: {cpu}"
    )
    print("MiB at most: " + ", ".join(f"{name} {size / 1024:.0f}" for name, size in used.memory.items()))
    if found != [holds // shards] * shards:
        print(f"WRONG: Redis has {found} reservations")
        return 1
    return 0


class Used(NamedTuple):
    """What a load took: seconds, and of each process seconds of CPU and the most resident memory in KiB."""

    started: float  # by the monotonic clock
    seconds: float
    cpu_s: dict[str, float]
    memory: dict[str, int]

    @property
    def time(self) -> tuple[float, float]:
        """When it began and ended, by the monotonic clock."""
        return self.started, self.started + self.seconds


async def watch(redis: Redis, shards: int, processes: Mapping[str, int]) -> Used:
    """From the first shard that is void until all of these, from 0, serve."""
    started, before, deadline = 0.0, dict[str, tuple[float, int]](), time.monotonic() + DEADLINE_S
    memory = dict.fromkeys(processes, 0)
    while time.monotonic() < deadline:
        metas = [await redis.hgetall(f"holdfast:{{{number}}}:meta") for number in range(shards)]
        taken = {name: taken_by(pid) for name, pid in processes.items()}
        memory = {name: max(most, taken[name][1]) for name, most in memory.items()}
        if not started and any(meta.get("hash") == "void" for meta in metas):
            started, before = time.monotonic(), taken
        if started and all(meta.get("owner") and not {"takeover_token", "frozen"} & meta.keys() for meta in metas):
            cpu_s = {name: taken[name][0] - before[name][0] for name in processes}
            return Used(started, time.monotonic() - started, cpu_s, memory)
        await asyncio.sleep(SAMPLE_S)
    raise TimeoutError(f"not loaded within {DEADLINE_S} s")


def taken_by(pid: int) -> tuple[float, int]:
    """Seconds of CPU of a process and its children, and its own resident memory in KiB."""
    return cpu_s([pid]), resident_kib(pid)


@contextmanager
def servers(folder: Path, shards: int) -> Iterator[tuple[dict[str, str], dict[str, int]]]:
    """Start new servers: the settings of programs that use them, and the processes of Redis and PostgreSQL."""
    valkey, postgres, broker = (
        Valkey(folder / "valkey"),
        Postgres(folder / "postgres"),
        Broker(folder / "broker", shards),
    )
    with started(valkey, postgres, broker):
        settings = {
            "HOLDFAST_REDIS_URL": valkey.address,
            "HOLDFAST_POSTGRES_DSN": postgres.address,
            "HOLDFAST_KAFKA_BROKERS": broker.address,
            "HOLDFAST_SHARDS": str(shards),
            "HOLDFAST_LOG_LEVEL": "warning",
        }
        yield settings, {"Redis": valkey.pid, "PostgreSQL": postgres.pid}


if __name__ == "__main__":
    sys.exit(main())
