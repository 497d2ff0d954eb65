"""How many bytes of Redis a live hold takes, each of another buyer, once the ledger has it.

A server of its own gets the holds in batches; their ids are as long as a UUID, their buyers' have 16 bytes. Then relay
and persister bring the ledger up to date and empty the outboxes. What Redis uses more than before is divided by the
number of holds; the parts are what `MEMORY USAGE` says of each key. The run ends with the audit.
"""

import argparse
import asyncio
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from holdfast_bench.load import SKU
from redis import Redis

from bench.arguments import add_audit, add_json, parser_of
from bench.builds import ACCEPTED, SHARDS, Build, serving
from bench.failures import BenchmarkFailed, exit_code_of
from bench.filling import hold
from bench.ledger_tables import hold_table
from bench.machine import ROOT, machine_and_commit
from bench.result_files import write_with_provenance

POLL_S = 0.2
KEYS = "holdfast:{*}:%s:default/" + ACCEPTED
PARTS = {"reservations": "its record", "expiry": "its expiry", "buyers": "its buyer's units"}


def main() -> int:
    """The exit code: 0 if Redis and the ledger agree."""
    arguments = parsed()
    return exit_code_of(lambda: measure(arguments))


def parsed() -> argparse.Namespace:
    parser = parser_of(__doc__)
    parser.add_argument("--holds", type=int, default=200_000, help="that are live (%(default)s)")
    add_audit(parser)
    add_json(parser)
    return parser.parse_args()


def measure(arguments: argparse.Namespace) -> int:
    """Fill and read, and print what a hold comes to."""
    with (
        tempfile.TemporaryDirectory(prefix="holdfast-holds-") as folder,
        serving(ROOT, Path(folder) / "one") as build,
        Redis.from_url(build.environment["HOLDFAST_REDIS_URL"], decode_responses=True) as redis,
    ):
        asyncio.run(fill(build, range(1)))
        before = used(build, redis, arguments.deadline)
        asyncio.run(fill(build, range(1, 1 + arguments.holds)))
        after = used(build, redis, arguments.deadline)
    taken = {name: round((size - before[name]) / arguments.holds, 1) for name, size in after.items()}
    result = {"holds": arguments.holds, "bytes_a_hold": taken}
    write_with_provenance(arguments.json, "bench.hold_memory", result)
    print("\n".join([machine_and_commit(), *hold_table(result)]))
    return 0


async def fill(build: Build, numbers: range) -> None:
    """Holds with ids of 36 bytes."""
    await hold(build.address, ACCEPTED, SKU, numbers, lambda number: f"00000000-0000-4000-8000-{number:012}")


def used(build: Build, redis: Any, deadline_s: float) -> dict[str, int]:
    """Bytes that Redis uses in all and for each part, once the ledger has everything and no outbox has anything."""
    deadline = time.monotonic() + deadline_s
    with build.ledger_written():
        print(build.audit_running(deadline_s), file=sys.stderr, flush=True)
        while any(redis.xlen(f"holdfast:{{{shard}}}:outbox") for shard in range(SHARDS)):
            if time.monotonic() > deadline:
                raise BenchmarkFailed(f"an outbox is not empty after {deadline_s:g} s")
            time.sleep(POLL_S)
    parts = {part: redis.keys(KEYS % name) for name, part in PARTS.items()}
    sizes = {part: sum(redis.memory_usage(key, samples=0) for key in keys) for part, keys in parts.items()}
    return {"together": redis.info("memory")["used_memory"], **sizes}


if __name__ == "__main__":
    sys.exit(main())
