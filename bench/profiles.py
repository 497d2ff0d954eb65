"""Where each hot process spends its CPU while a stack sells: Python processes by py-spy, Redis by its own statistics.

py-spy samples a process from outside, and needs the right to trace it; HOLDFAST_PYSPY says where it is if it is not on
the PATH (`pip install py-spy`, in any environment). It samples the thread that has the interpreter, in C as in Python,
and a sample counts for the innermost package, for which libc and the interpreter itself do not count. What gRPC does in
threads without the interpreter is seen in the CPU of each thread. Redis counts the microseconds of each command, those
that a script calls among them, so what is left of a script's are Lua's own.
"""

import argparse
import asyncio
import os
import re
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from holdfast.client import Client
from holdfast_bench import ghz
from holdfast_bench.load import LoadFailed
from holdfast_bench.runs import Run, Target
from holdfast_bench.shapes import Shape, find_shape
from redis import Redis

from bench.arguments import parser_of
from bench.builds import PATIENT, SHARDS, Build, serving
from bench.cpu import PROC, threads_of
from bench.failures import BenchmarkFailed, exit_code_of
from bench.ledger_lag import LagWatch
from bench.machine import ROOT
from bench.result_files import RESULTS, command_line, provenance, write_result

CATCH_UP_S = 120.0
RATE = 100  # samples a second
LED_IN_S = 1.0  # of load before the first sample, and after the last
FUNCTIONS = 12
NOT_COUNTED = ("evalsha", "fcall", "info")  # scripts are counted as Lua and by their commands; INFO is this profile's
FRAME = re.compile(r"^(?P<function>.+) \((?P<file>[^:]+)(?::\d+)?\)$")
PACKAGE = re.compile(r".*/(?:site-packages|python3\.\d+|lib-dynload)/(?!site-packages)([\w.-]+)")
# Frames of these count for what calls them.
SUPPORT = re.compile(r"(libc|libpython\d*|libpthread|ld-linux-x86-64|libm|libstdc\+\+|python3|object\.h|unknown)$|<")
LIBRARIES = {
    **dict.fromkeys(("loop", "loop.c"), "uvloop"),
    **dict.fromkeys(("protocol", "protocol.c", "pgproto.c", "recordobj.c"), "asyncpg"),
    **dict.fromkeys(("hiredis", "read.c", "reader.c", "pack.c"), "hiredis"),
    "_message": "protobuf",
    "cygrpc": "grpc",
    "_asynciomodule.c": "asyncio",
    "_struct.c.h": "struct",
}
OWN = ("inventory_service", "order_persister", "holdfast_runtime", "holdfast")


class NoProfiler(BenchmarkFailed):
    """py-spy is not at hand, or may not trace; the message says which."""


def main() -> int:
    """The exit code: 0 if every process was sampled and the audit holds."""
    arguments = parsed()
    return exit_code_of(lambda: measure(arguments))


def parsed() -> argparse.Namespace:
    parser = parser_of(__doc__)
    parser.add_argument("--seconds", type=float, default=12.0, help="of load (%(default)s)")
    parser.add_argument("--results", type=Path, default=RESULTS, metavar="FOLDER", help="where the JSON goes")
    return parser.parse_args()


def measure(arguments: argparse.Namespace) -> int:
    """Write the profiles of one load."""
    shape = find_shape("abundant").scaled(seconds=arguments.seconds)
    with (
        tempfile.TemporaryDirectory(prefix="holdfast-profiles-") as folder,
        serving(ROOT, Path(folder) / "stack") as build,
        build.ledger_written() as writers,
    ):
        profiles = asyncio.run(sampled(shape, build, {"serve": build.server_pid, **writers}, Path(folder)))
        audit = build.audit_running(CATCH_UP_S)
    head = provenance(command_line("bench.profiles"))
    write_result(arguments.results / "profiles.json", {**head, "audit": audit, **profiles})
    return 0


async def sampled(shape: Shape, build: Build, pids: Mapping[str, int], folder: Path) -> dict[str, Any]:
    """The profiles of the processes, and of Redis, under one load."""
    if why := ghz.missing():
        raise LoadFailed(why)
    seconds = shape.seconds - 2 * LED_IN_S
    with Redis.from_url(build.environment["HOLDFAST_REDIS_URL"], decode_responses=True) as redis:
        async with Client(build.address, channels=1, retry=PATIENT) as client:
            run = Run(client, Target(build.address), shape)
            await run.prepare()
            await _ready(build)
            before = _commands(redis)
            load = asyncio.create_task(run.put_load(lambda line: None))
            await asyncio.sleep(LED_IN_S)
            threads = {name: threads_of(pid) for name, pid in pids.items()}
            stacks = await asyncio.gather(*(_record(pid, seconds, folder / name) for name, pid in pids.items()))
            spent = {name: thread_shares(pid, threads[name]) for name, pid in pids.items()}
            figures = await load
        commands = {name: usec - before.get(name, 0) for name, usec in _commands(redis).items()}
    profiles = {name: profile(text) for name, text in zip(pids, stacks, strict=True)}
    processes = {name: {**profiles[name], "threads": spent[name]} for name in pids}
    return {"calls": figures["calls"], "processes": processes, "redis": redis_profile(commands)}


async def _ready(build: Build) -> None:
    """Wait until relay and persister have started, and have nothing left to do."""
    redis_url, dsn = build.environment["HOLDFAST_REDIS_URL"], build.environment["HOLDFAST_POSTGRES_DSN"]
    async with LagWatch(redis_url, dsn, SHARDS) as watch:
        await watch.caught_up(CATCH_UP_S)


def thread_shares(pid: int, before: Mapping[int, int]) -> dict[str, float]:
    """Of the CPU that a process took since `before`, the shares of its threads, by their names; those alike are one."""
    spent: Counter[str] = Counter()
    for thread, total in threads_of(pid).items():
        name = (PROC / str(pid) / "task" / str(thread) / "comm").read_text().strip()
        spent["main" if thread == pid else name] += total - before.get(thread, 0)
    return _shares(spent, sum(spent.values()), len(spent))


async def _record(pid: int, seconds: float, file: Path) -> str:
    """The collapsed stacks of a process."""
    binary = os.environ.get("HOLDFAST_PYSPY") or shutil.which("py-spy")
    if not binary:
        raise NoProfiler("py-spy is not on the PATH nor at HOLDFAST_PYSPY; install it with: pip install py-spy")
    command = ["record", "--gil", "--native", "--pid", str(pid), "--duration", f"{seconds:.0f}", "--rate", str(RATE)]
    process = await asyncio.create_subprocess_exec(
        *(binary, *command, "--format", "raw", "--output", str(file)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    if process.returncode:
        raise NoProfiler(f"py-spy ended with {process.returncode}: {output.decode().strip()}")
    return await asyncio.to_thread(file.read_text)


def profile(collapsed: str) -> dict[str, Any]:
    """Shares of the samples, by package and by function: that which ran, without what it called elsewhere."""
    packages: Counter[str] = Counter()
    functions: Counter[str] = Counter()
    for line in collapsed.splitlines():
        stack, _, count = line.rpartition(" ")
        function, package = innermost(stack.split(";"))
        packages[package] += int(count)
        functions[f"{function} ({package})"] += int(count)
    total = sum(packages.values())
    return {
        "samples": total,
        "packages": _shares(packages, total, len(packages)),
        "functions": _shares(functions, total, FUNCTIONS),
    }


def innermost(frames: Sequence[str]) -> tuple[str, str]:
    """The function of the innermost frame that counts, and its package."""
    named = [(found["function"], package_of(found["file"])) for frame in frames if (found := FRAME.match(frame))]
    counting = [one for one in named if not SUPPORT.match(one[1])]
    return (counting or named or [("unknown", "unknown")])[-1]


def package_of(file: str) -> str:
    """The package of a source file or a library; of Holdfast's own also the folder in it."""
    parts = Path(file).parts
    for own in OWN:
        if own in parts and "site-packages" not in parts:
            return "/".join(parts[parts.index(own) : -1][:2])
    installed = PACKAGE.match(file)
    name = installed[1] if installed else parts[0]
    stem = name.partition(".")[0] if name.endswith((".py", ".pyx")) or ".so" in name else name
    return LIBRARIES.get(stem, stem)


def redis_profile(usec: Mapping[str, int]) -> dict[str, float]:
    """Shares of Redis' time in commands; a script's is what the commands that it calls leave of it."""
    scripts = sum(time for name, time in usec.items() if name in ("evalsha", "fcall"))
    others = {name: time for name, time in usec.items() if name not in NOT_COUNTED and time > 0}
    called = sum(others.values())
    return _shares(Counter({"Lua": max(0, scripts - called), **others}), max(scripts, called), FUNCTIONS)


def _shares(counts: "Counter[str]", total: int, most: int) -> dict[str, float]:
    return {name: round(count / total, 4) for name, count in counts.most_common(most)} if total else {}


def _commands(redis: "Redis") -> dict[str, int]:
    found: Any = redis.info("commandstats")
    return {name.removeprefix("cmdstat_"): int(values["usec"]) for name, values in found.items()}


if __name__ == "__main__":
    sys.exit(main())
