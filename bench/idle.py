"""How much CPU the processes of a stack take while nothing is sold, and which commands Redis gets meanwhile.

Everything runs on the embedded servers. The clock starts once the stack has served for --settle seconds.
"""

import argparse
import sys
import time
from collections.abc import Mapping
from typing import Any

import redis
from holdfast_embedded.stack import Stack

from bench.arguments import add_json, parser_of
from bench.cpu import CpuWatch
from bench.ledger_tables import idle_table
from bench.machine import machine_and_commit
from bench.result_files import write_with_provenance
from bench.stacks import serving_stack

PROCESSES = ("serve", "relay", "persist", "compensate")
FEWEST_A_SECOND = 0.5  # of a command that is listed

Calls = Mapping[str, int]  # by command


def main() -> int:
    """Measure on a stack of its own."""
    arguments = parsed()
    print(machine_and_commit(), flush=True)
    with serving_stack() as stack:
        time.sleep(arguments.settle)
        result = figures(stack, arguments.seconds)
    write_with_provenance(arguments.json, "bench.idle", result)
    print("\n".join(idle_table(result)))
    return 0


def parsed() -> argparse.Namespace:
    parser = parser_of(__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="that are measured (%(default)s)")
    parser.add_argument("--settle", type=float, default=10.0, help="seconds before that (%(default)s)")
    add_json(parser)
    return parser.parse_args()


def figures(stack: Stack, seconds: float) -> dict[str, Any]:
    """Percent of a core by process, and commands a second."""
    client = redis.Redis.from_url(stack.embedded_addresses["HOLDFAST_REDIS_URL"])
    before, watch, began = calls_of(client), CpuWatch([stack.pid(name) for name in PROCESSES]), time.monotonic()
    time.sleep(seconds)
    elapsed_s, spent, after = time.monotonic() - began, watch.spent(), calls_of(client)
    client.close()
    percent = [100 * cpu_s / elapsed_s for cpu_s in spent.by_process]
    shares = zip((*PROCESSES, "together"), (*percent, sum(percent)), strict=True)
    rates = {name: (calls - before.get(name, 0)) / elapsed_s for name, calls in after.items()}
    listed = sorted((item for item in rates.items() if item[1] >= FEWEST_A_SECOND), key=lambda item: -item[1])
    return {
        "seconds": seconds,
        "shards": stack.shards,
        "percent": {name: round(share, 2) for name, share in shares},
        "commands_a_second": {name: round(rate, 1) for name, rate in listed},
    }


def calls_of(client: "redis.Redis") -> Calls:
    """How often each command was called so far, also by scripts."""
    statistics = client.info("commandstats")
    return {name.removeprefix("cmdstat_"): numbers["calls"] for name, numbers in statistics.items()}


if __name__ == "__main__":
    sys.exit(main())
