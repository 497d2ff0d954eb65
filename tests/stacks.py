"""Starts whole stacks as `holdfast up` does, and runs commands with their settings."""

import asyncio
import os
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from holdfast_embedded.console import WriteLine
from holdfast_embedded.program import ProgramSpecs
from holdfast_embedded.stack import Stack

from tests.servers import FACTORIES

PROGRAM_S = READY_S = 120.0
# These tests stop servers and delete data, so they take no address from the environment.
ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith("HOLDFAST_")}


class Running(NamedTuple):
    """A stack that serves, and the output of its processes."""

    stack: Stack
    log: list[tuple[str, str]]


class CommandResult(NamedTuple):
    """A program that was run to its end."""

    code: int
    stdout: str
    stderr: str


@contextmanager
def running_stack(
    folder: Path, write_line: WriteLine = print, specs: ProgramSpecs | None = None, /, **settings: str
) -> Iterator[Stack]:
    """A stack that serves; by default pytest shows its processes' output if the test fails."""
    with Stack(folder / "data", {**ENVIRONMENT, **settings}, write_line, "127.0.0.1:0", specs, FACTORIES) as stack:
        stack.wait_ready(READY_S)
        yield stack


@contextmanager
def running(folder: Path, **settings: str) -> Iterator[Running]:
    """A stack that serves; its processes' output is kept, and pytest shows it if a test fails."""
    log: list[tuple[str, str]] = []

    def write_line(name: str, line: str) -> None:
        log.append((name, line))
        print(name, line)

    with running_stack(folder, write_line, **settings) as stack:
        yield Running(stack, log)


def shell_environment(stack: Stack) -> dict[str, str]:
    """The environment of a shell in which the stack's addresses were set."""
    where = stack.addresses
    return {
        **ENVIRONMENT,
        "HOLDFAST_ADDRESS": where.listen,
        "HOLDFAST_START_WAIT_S": "0",
        "HOLDFAST_SHARDS": str(stack.shards),
        "HOLDFAST_REDIS_URL": where.redis_url,
        "HOLDFAST_POSTGRES_DSN": where.postgres_dsn,
        "HOLDFAST_KAFKA_BROKERS": where.kafka_brokers,
    }


async def run_command(
    stack: Stack, *arguments: str, module: str = "inventory_service", **changed: str
) -> CommandResult:
    """Run one of a service's programs with the stack's settings: `audit`, `init`."""
    return await ended(await start_command(stack, *arguments, module=module, **changed))


async def start_command(
    stack: Stack, *arguments: str, module: str = "inventory_service", **changed: str
) -> asyncio.subprocess.Process:
    """Start one of a service's programs with the stack's settings."""
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", module, *arguments),
        env={**shell_environment(stack), **changed},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def ended(process: asyncio.subprocess.Process) -> CommandResult:
    """How a program ends that was started."""
    stdout, stderr = await asyncio.wait_for(process.communicate(), PROGRAM_S)
    assert process.returncode is not None
    return CommandResult(process.returncode, stdout.decode(), stderr.decode())


def shard_of(sale_id: str, shards: int) -> int:
    """The shard of a sale, computed without the product's code."""
    return zlib.crc32(f"default/{sale_id}".encode()) % shards
