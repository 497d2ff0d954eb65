"""`holdfast demo`: start the stack, run the sale, print what came of it, and prove that the books agree."""

import asyncio
import os
import signal
import subprocess
import sys
import tempfile
import uuid
from collections import deque
from pathlib import Path
from typing import Annotated

import typer
import uvloop
from holdfast.client import Client
from holdfast.retry import RetryPolicy
from rich.console import Console

from holdfast_embedded.data_dir import BadDataDir
from holdfast_embedded.demo.books import Books
from holdfast_embedded.demo.proof import find_faults
from holdfast_embedded.demo.report import Outcome, print_table
from holdfast_embedded.demo.sale import Crash, DemoSale, Scale, Stuck
from holdfast_embedded.demo.screen import Screen
from holdfast_embedded.demo.tally import Tally
from holdfast_embedded.demo.watch import Watch
from holdfast_embedded.postgres_seat import NoSeat
from holdfast_embedded.server import ServerFailed
from holdfast_embedded.stack import Stack, StackFailed

CHANNELS = 10
PATIENCE = RetryPolicy(overall_s=30.0, attempt_s=5.0)
AUDIT_DEADLINE_S = 60.0
LAST_LINES = 40  # of the stack's log, shown if something went wrong
EXIT_FAULTS, EXIT_NOT_RUN, EXIT_INTERRUPTED = 1, 2, 130
NOT_STARTED = (BadDataDir, NoSeat, ServerFailed, StackFailed)


def demo(
    units: Annotated[int, typer.Option(min=1, help="Units on sale.")] = 5000,
    buyers: Annotated[int, typer.Option(min=1, help="Buyers at a time.")] = 1000,
    blocked: Annotated[int, typer.Option(min=0, help="How many of them the ledger refuses.")] = 10,
    seed: Annotated[int, typer.Option(help="Makes the buyers do the same again.")] = 1,
) -> None:
    """Run a whole flash sale on servers that come with Holdfast, kill the persister in it, and audit the books.

    Ends with 0 only if nothing is oversold, lost or doubled; 1 says what is; 2 says that the stack did not start.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    console = Console()
    log: deque[str] = deque(maxlen=LAST_LINES)
    try:
        faults = _run(console, log, Scale(units, buyers, min(blocked, buyers), seed))
    except NOT_STARTED as error:
        console.print(*log, f"the stack did not start: {error}", sep="\n", markup=False, highlight=False)
        raise typer.Exit(EXIT_NOT_RUN) from None
    except KeyboardInterrupt:
        console.print("interrupted; everything is stopped and thrown away", style="dim")
        raise typer.Exit(EXIT_INTERRUPTED) from None
    _judge(console, log, faults)


def _run(console: Console, log: deque[str], scale: Scale) -> list[str]:
    """Run it all in a folder that is gone afterwards; the faults that were found."""
    with tempfile.TemporaryDirectory(prefix="holdfast-demo-", ignore_cleanup_errors=True) as folder:
        stack = Stack(
            Path(folder) / "data", os.environ, lambda name, line: log.append(f"{name}: {line}"), "127.0.0.1:0"
        )
        try:
            console.print("starting the servers and the service's processes", style="dim")
            stack.start()
            stack.wait_ready()
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                faults = runner.run(_sell(console, stack, scale))
            return [*faults, *_audit(console, stack)]
        except Stuck as stuck:
            return [str(stuck)]
        finally:
            stack.stop()


async def _sell(console: Console, stack: Stack, scale: Scale) -> list[str]:
    """Run the sale and prove it; the faults that were found."""
    tally = Tally()
    sale_id = f"demo-{uuid.uuid4().hex[:8]}"
    books = await Books.open(stack.addresses.postgres_dsn)
    try:
        async with Client(stack.addresses.listen, channels=CHANNELS, retry=PATIENCE) as client:
            watch = Watch(client, books, sale_id)
            with Screen(console, tally, watch, scale.units) as screen:
                crash = Crash(stack, screen, scale.units)
                sale = DemoSale(client, books, watch, screen, tally, scale, crash, sale_id)
                selling_s, drain_s = await sale.run()
            evidence = await sale.gather_evidence()
    finally:
        await books.close()
    print_table(console, Outcome(tally, watch, evidence.states, selling_s, drain_s))
    accident = [] if crash.killed and crash.mended else ["the persister was not killed and started again in the sale"]
    return [*tally.complaints, *accident, *find_faults(evidence)]


def _audit(console: Console, stack: Stack) -> list[str]:
    """Have the service compare Redis with the ledger, as an operator would."""
    where = stack.addresses
    environment = {
        **os.environ,
        "HOLDFAST_SHARDS": str(stack.shards),
        "HOLDFAST_REDIS_URL": where.redis_url,
        "HOLDFAST_POSTGRES_DSN": where.postgres_dsn,
        "HOLDFAST_KAFKA_BROKERS": where.kafka_brokers,
    }
    command = [sys.executable, "-m", "inventory_service", "audit"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=AUDIT_DEADLINE_S)
    console.print(done.stdout.strip(), markup=False, highlight=False)
    return [] if done.returncode == 0 else [f"the audit ended with {done.returncode}: {done.stderr.strip()}"]


def _judge(console: Console, log: deque[str], faults: list[str]) -> None:
    if not faults:
        console.print("nothing is oversold, lost or doubled", style="bold green")
        return
    console.print(*log, sep="\n", style="dim", markup=False, highlight=False)
    for fault in faults[:LAST_LINES]:
        console.print(fault, style="red", markup=False, highlight=False)
    console.print(f"{len(faults)} faults", style="bold red")
    raise typer.Exit(EXIT_FAULTS)
