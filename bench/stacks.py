"""A whole stack on embedded servers, for a benchmark to sell with."""

import asyncio
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from holdfast_embedded.server_factories import ServerFactories
from holdfast_embedded.stack import Stack

from bench.programs import ENVIRONMENT

READY_S = 120.0
AUDIT_S = "3600"


@contextmanager
def serving_stack(
    settings: Mapping[str, str] | None = None, factories: ServerFactories | None = None
) -> Iterator[Stack]:
    """A stack that serves every shard, with these settings beside its own."""
    environment = {**ENVIRONMENT, **(settings or {})}
    with (
        tempfile.TemporaryDirectory(prefix="holdfast-bench-") as folder,
        Stack(Path(folder) / "data", environment, _drop_line, "127.0.0.1:0", factories=factories) as stack,
    ):
        stack.wait_ready(READY_S)
        yield stack


def _drop_line(_name: str, _line: str) -> None:
    """Its logs lie in its folder."""


async def audited(stack: Stack) -> tuple[int, str]:
    """Wait for the ledger and compare: the exit code of the audit, and its output."""
    command = (sys.executable, "-m", "inventory_service", "audit", "--deadline", AUDIT_S)
    settings = {**ENVIRONMENT, **stack.embedded_addresses, "HOLDFAST_SHARDS": str(stack.shards)}
    process = await asyncio.create_subprocess_exec(
        *command, env=settings, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    output, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, output.decode().strip()
