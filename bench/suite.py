"""Runs every shape against a stack of its own, with relay and persister at work, and ends each run with the audit.

Each run is a JSON in the folder of results: the machine, the commit, the versions, calls by status code, latencies as a
histogram, throughput and the lag of the ledger over time, and what each process took of CPU and memory. A run in which
calls failed, or whose audit finds a difference, leaves no JSON, and the exit code is 1. `bench.page` shows the folder.
"""

import argparse
import asyncio
import json
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
from holdfast.retry import RetryPolicy
from holdfast_bench import ghz
from holdfast_bench.load import LoadFailed
from holdfast_bench.runs import Run, Target, WrongAnswers
from holdfast_bench.shapes import Shape, all_shapes, find_shape
from redis.asyncio import Redis

from bench.builds import SHARDS, Build, serving
from bench.figures import RESULTS
from bench.ledger_lag import LagWatch
from bench.machine import ROOT, provenance
from bench.process_use import ProcessUse
from bench.programs import ProgramFailed

PATIENT = RetryPolicy(overall_s=60.0, attempt_s=10.0)
IDLE_S = 1.0  # of a stack that has just started
CATCH_UP_S = 120.0
POLL_S = 0.1


class NotCaughtUp(RuntimeError):
    """The ledger did not get every commit in time."""


def main() -> int:
    """The exit code: 0 if every shape could be run and every audit holds."""
    arguments = parsed()
    if why := ghz.missing():
        print(f"failed: {why}", file=sys.stderr)
        return 1
    shapes = [find_shape(name).scaled(arguments.scale, arguments.seconds) for name in arguments.shapes]
    failed = [shape.name for shape in shapes if not run_and_write(shape, arguments.results)]
    print(f"{len(shapes) - len(failed)} of {len(shapes)} shapes are in {arguments.results}")
    return 1 if failed else 0


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("shapes", nargs="*", default=[shape.name for shape in all_shapes()], help="names or files (default: all)")
    add("--results", type=Path, default=RESULTS, metavar="FOLDER", help="where the JSONs go (%(default)s)")
    add("--scale", type=float, default=1.0, help="times each shape's callers and rates (%(default)s)")
    add("--seconds", type=float, help="how long each shape takes (default: as its file says)")
    return parser.parse_args()


def run_and_write(shape: Shape, results: Path) -> bool:
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
    except (LoadFailed, NotCaughtUp, ProgramFailed, WrongAnswers) as error:
        print(f"{shape.name} failed: {error}", file=sys.stderr, flush=True)
        return False
    results.mkdir(parents=True, exist_ok=True)
    (results / f"{shape.name}.json").write_text(json.dumps({**head(shape), **figures}, indent=1) + "\n")
    summary = f"{figures['calls']:,} calls, {figures['calls_per_s']:,.0f}/s, p99 {figures['latency_ms']['p99']:.0f} ms"
    print(f"{shape.name}: {summary}; {figures['audit']}; {time.monotonic() - began:.0f} s in all", flush=True)
    return True


async def measured(shape: Shape, build: Build, writers: Mapping[str, int]) -> dict[str, Any]:
    """The figures of one run, from the first call until the ledger has every commit."""
    pids = {"serve": build.server_pid, "valkey": build.redis_pid, **writers, **build.other_pids}
    redis_url, dsn = build.environment["HOLDFAST_REDIS_URL"], build.environment["HOLDFAST_POSTGRES_DSN"]
    watch = LagWatch(redis_url, dsn, SHARDS)
    async with Client(build.address, channels=1, retry=PATIENT) as client:
        run = Run(client, Target(build.address), shape)
        await run.prepare()
        watching = asyncio.create_task(watch.run())
        try:
            await caught_up(watch)
            await asyncio.sleep(IDLE_S)
            with ProcessUse(pids) as use:
                figures = await run.put_load(lambda line: None)
                ended = time.time()
                await caught_up(watch)
            caught_up_s = round(max(0.0, time.time() - ended), 2)
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
    lag = {**watch.lag.figures(figures["over_time"]["start"]), "caught_up_after_s": caught_up_s}
    processes = {**use.figures(), "ghz": {"cpu_s": use.generator_cpu_s}}
    return {"versions": await versions(redis_url, dsn), **figures, "ledger_lag": lag, "processes": processes}


async def caught_up(watch: LagWatch) -> None:
    """Wait until a sample that is yet to come shows that the ledger has every commit."""
    seen, deadline = len(watch.lag.samples), time.monotonic() + CATCH_UP_S
    while len(watch.lag.samples) <= seen + 1 or not watch.lag.is_caught_up:
        if time.monotonic() > deadline:
            raise NotCaughtUp(f"the ledger lacks commits {CATCH_UP_S:g} s after the last call")
        await asyncio.sleep(POLL_S)


def head(shape: Shape) -> dict[str, Any]:
    """What was run, where and of what."""
    return {**provenance(f"python -m bench.suite {shape.name}"), "shape": asdict(shape)}


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
    """As ghz has it, which says `dev` where it was built from its source."""
    done = subprocess.run([ghz.binary(), "--version"], capture_output=True, text=True, check=False)
    return (done.stdout + done.stderr).strip()


if __name__ == "__main__":
    sys.exit(main())
