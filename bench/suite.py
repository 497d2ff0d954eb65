"""Runs every shape against a stack of its own, with relay and persister at work, and ends each run with the audit.

Each run is a JSON in the folder of results: the machine, the commit, the versions, calls by status code, latencies as a
histogram, throughput and the lag of the ledger over time, and what each process took of CPU and memory. A run in which
calls failed, or whose audit finds a difference, leaves no JSON, and the exit code is 1. `bench.page` shows the folder.
"""

import argparse
import asyncio
import re
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import asyncpg
from holdfast.client import Client
from holdfast_bench import ghz
from holdfast_bench.runs import Run, Target
from holdfast_bench.shapes import Shape, all_shapes, find_shape
from redis.asyncio import Redis

from bench.arguments import parser_of
from bench.builds import PATIENT, SHARDS, Build, serving
from bench.failures import FAILURES
from bench.ledger_lag import LagWatch
from bench.machine import ROOT
from bench.process_use import ProcessUse
from bench.result_files import RESULTS, provenance, write_result

IDLE_S = 1.0  # of a stack that has just started
CATCH_UP_S = 120.0
_GHZ_MODULE = re.compile(rb"\nmod\tgithub\.com/bojand/ghz\t(v\S+)")  # what Go writes into a program that it builds


def main() -> int:
    """The exit code: 0 if every shape could be run and every audit holds."""
    arguments = parsed()
    if why := ghz.missing():
        print(f"failed: {why}", file=sys.stderr)
        return 1
    shapes = {name: find_shape(name).scaled(arguments.scale, arguments.seconds) for name in arguments.shapes}
    failed = [
        shape.name
        for name, shape in shapes.items()
        if not run_and_write(shape, command_of(name, arguments), arguments.results)
    ]
    print(f"{len(shapes) - len(failed)} of {len(shapes)} shapes are in {arguments.results}")
    return 1 if failed else 0


def parsed() -> argparse.Namespace:
    parser = parser_of(__doc__)
    add = parser.add_argument
    add("shapes", nargs="*", default=[shape.name for shape in all_shapes()], help="names or files (default: all)")
    add("--results", type=Path, default=RESULTS, metavar="FOLDER", help="where the JSONs go (%(default)s)")
    add("--scale", type=float, default=1.0, help="times each shape's callers and rates (%(default)s)")
    add("--seconds", type=float, help="how long each shape takes (default: as its file says)")
    return parser.parse_args()


def command_of(shape: str, arguments: argparse.Namespace) -> str:
    """The command that repeats the run of one shape alone."""
    options = [("--scale", arguments.scale, 1.0), ("--seconds", arguments.seconds, None)]
    given = [f"{option}={value:g}" for option, value, default in options if value != default]
    return shlex.join(["python", "-m", "bench.suite", shape, *given])


def run_and_write(shape: Shape, command: str, results: Path) -> bool:
    """One run on new servers; whether it is worth a JSON."""
    began = time.monotonic()
    try:
        with (
            tempfile.TemporaryDirectory(prefix="holdfast-suite-") as folder,
            serving(ROOT, Path(folder) / "stack") as build,
            build.ledger_written() as writers,
        ):
            figures = asyncio.run(measured(shape, build, writers))
            figures["audit"] = build.audit_running(CATCH_UP_S)
    except FAILURES as error:
        print(f"{shape.name} failed: {error}", file=sys.stderr, flush=True)
        return False
    write_result(results / f"{shape.name}.json", {**provenance(command), "shape": asdict(shape), **figures})
    summary = f"{figures['calls']:,} calls, {figures['calls_per_s']:,.0f}/s, p99 {figures['latency_ms']['p99']:.0f} ms"
    print(f"{shape.name}: {summary}; {figures['audit']}; {time.monotonic() - began:.0f} s in all", flush=True)
    return True


async def measured(shape: Shape, build: Build, writers: Mapping[str, int]) -> dict[str, Any]:
    """The figures of one run, from the first call until the ledger has every commit."""
    pids = {"serve": build.server_pid, "valkey": build.redis_pid, **writers, **build.other_pids}
    redis_url, dsn = build.environment["HOLDFAST_REDIS_URL"], build.environment["HOLDFAST_POSTGRES_DSN"]
    async with Client(build.address, channels=1, retry=PATIENT) as client:
        run = Run(client, Target(build.address), shape)
        await run.prepare()
        async with LagWatch(redis_url, dsn, SHARDS) as watch:
            await watch.caught_up(CATCH_UP_S)
            await asyncio.sleep(IDLE_S)
            with ProcessUse(pids) as use:
                figures = await run.put_load(lambda line: None)
                ended = time.time()
                await watch.caught_up(CATCH_UP_S)
            caught_up_s = round(max(0.0, time.time() - ended), 2)
    lag = {**watch.lag.figures(figures["over_time"]["start"]), "caught_up_after_s": caught_up_s}
    processes = {**use.figures(), "ghz": use.generators()}
    return {"versions": await versions(redis_url, dsn), **figures, "ledger_lag": lag, "processes": processes}


async def versions(redis_url: str, dsn: str) -> dict[str, str]:
    """Of all that takes part."""
    async with Redis.from_url(redis_url, decode_responses=True) as redis:
        info = await redis.info("server")
    db = await asyncpg.connect(dsn)
    postgres = await db.fetchval("show server_version")
    await db.close()
    own: Sequence[str] = ("holdfast", "grpcio", "protobuf", "faust-streaming", "aiokafka", "asyncpg", "confluent-kafka")
    return {
        "redis": str(info.get("valkey_version") or info["redis_version"]),
        "postgres": str(postgres),
        **{name: version(name) for name in own},
        "ghz": ghz_version(),
    }


def ghz_version() -> str:
    """That of its module; what ghz prints of itself is `dev` if `go install` has built it."""
    if found := _GHZ_MODULE.search(Path(ghz.binary()).read_bytes()):
        return found[1].decode()
    done = subprocess.run([ghz.binary(), "--version"], capture_output=True, text=True, check=False)
    return (done.stdout + done.stderr).strip()


if __name__ == "__main__":
    sys.exit(main())
