"""`holdfast demo`: start the stack, run the sale, print its results, and compare Redis with the ledger."""

import asyncio
import os
import signal
import subprocess
import sys
import tempfile
import uuid
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer
import uvloop
from holdfast.client import Client
from holdfast.retry import RetryPolicy
from rich.console import Console

from holdfast_embedded.data_dir import BadDataDir
from holdfast_embedded.demo.buyer_results import BuyerResults
from holdfast_embedded.demo.ledger_reader import LedgerReader
from holdfast_embedded.demo.progress_display import ProgressDisplay
from holdfast_embedded.demo.report import SaleReport, print_table
from holdfast_embedded.demo.sale import DemoSale, DemoTimeout, PersisterCrash, SaleSize
from holdfast_embedded.demo.sale_monitor import SaleMonitor
from holdfast_embedded.demo.verification import find_faults
from holdfast_embedded.postgres_identity import CannotRunPostgres
from holdfast_embedded.server import ServerFailed
from holdfast_embedded.stack import Stack, StackFailed

CHANNELS = 10
RETRY = RetryPolicy(overall_s=30.0, attempt_s=5.0, repeats_per_s=1000)
AUDIT_DEADLINE_S = 60.0
MAX_LINES = 40  # of the stack's log, and of the faults, printed after a failure
EXIT_FAULTS, EXIT_NOT_STARTED, EXIT_INTERRUPTED = 1, 2, 130
ASKED_OF_CALLERS = ("HOLDFAST_AUTH_", "HOLDFAST_TLS_", "HOLDFAST_RATE_")
START_ERRORS = (BadDataDir, CannotRunPostgres, ServerFailed, StackFailed)


def demo(
    units: Annotated[int, typer.Option(min=1, help="Units on sale.")] = 5000,
    buyers: Annotated[int, typer.Option(min=1, help="Buyers at a time.")] = 1000,
    blocked: Annotated[int, typer.Option(min=0, help="How many of them the ledger refuses.")] = 10,
    seed: Annotated[int, typer.Option(help="Makes the buyers do the same again.")] = 1,
) -> None:
    """Run a whole flash sale on servers that come with Holdfast, kill the persister in it, and audit the result.

    Ends with 0 only if nothing is oversold, lost or doubled; 1 says what is; 2 says that the stack did not start.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    console = Console()
    log: deque[str] = deque(maxlen=MAX_LINES)
    try:
        faults = _run(console, log, SaleSize(units, buyers, min(blocked, buyers), seed))
    except START_ERRORS as error:
        console.print(*log, f"the stack did not start: {error}", sep="\n", markup=False, highlight=False)
        raise typer.Exit(EXIT_NOT_STARTED) from None
    except KeyboardInterrupt:
        console.print("interrupted; everything is stopped and its data deleted", style="dim")
        raise typer.Exit(EXIT_INTERRUPTED) from None
    _print_verdict(console, log, faults)


def _run(console: Console, log: deque[str], size: SaleSize) -> list[str]:
    """Run the demo in a temporary folder; return the faults that were found."""
    with tempfile.TemporaryDirectory(prefix="holdfast-demo-", ignore_cleanup_errors=True) as folder:
        data_dir = Path(folder) / "data"
        environment = demo_environment(os.environ)
        stack = Stack(data_dir, environment, lambda name, line: log.append(f"{name}: {line}"), "127.0.0.1:0")
        try:
            console.print("starting the servers and the service's processes", style="dim")
            stack.start()
            stack.wait_ready()
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                faults = runner.run(_sell(console, stack, size))
            return [*faults, *_audit(console, stack)]
        except DemoTimeout as timeout:
            return [str(timeout)]
        finally:
            stack.stop()


def demo_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """What the stack is set to: all but what servers ask of callers, for the demo's buyers have no tokens."""
    return {name: value for name, value in environment.items() if not name.startswith(ASKED_OF_CALLERS)}


async def _sell(console: Console, stack: Stack, size: SaleSize) -> list[str]:
    """Run the sale, print its table and verify it; return the faults that were found."""
    results = BuyerResults()
    sale_id = f"demo-{uuid.uuid4().hex[:8]}"
    ledger = await LedgerReader.connect(stack.addresses.postgres_dsn)
    try:
        async with Client(stack.addresses.listen, channels=CHANNELS, retry=RETRY) as client:
            monitor = SaleMonitor(client, ledger, sale_id)
            with ProgressDisplay(console, results, monitor, size.units) as display:
                crash = PersisterCrash(stack, display, size.units)
                sale = DemoSale(client, ledger, monitor, display, results, size, crash, sale_id)
                selling_s, catch_up_s = await sale.run()
            final = await sale.read_final_state()
    finally:
        await ledger.close()
    print_table(console, SaleReport(results, monitor.item, monitor.lag, final.states, selling_s, catch_up_s))
    crash_faults = (
        [] if crash.killed and crash.restarted else ["the persister was not killed and restarted in the sale"]
    )
    return [*results.unexpected, *crash_faults, *find_faults(final)]


def _audit(console: Console, stack: Stack) -> list[str]:
    """Run `inventory_service audit`, which compares Redis with the ledger, as an operator would."""
    addresses = stack.addresses
    environment = {
        **os.environ,
        "HOLDFAST_SHARDS": str(stack.shards),
        "HOLDFAST_REDIS_URL": addresses.redis_url,
        "HOLDFAST_POSTGRES_DSN": addresses.postgres_dsn,
        "HOLDFAST_KAFKA_BROKERS": addresses.kafka_brokers,
    }
    command = [sys.executable, "-m", "inventory_service", "audit"]
    audit = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=AUDIT_DEADLINE_S)
    console.print(audit.stdout.strip(), markup=False, highlight=False)
    return [] if audit.returncode == 0 else [f"the audit ended with {audit.returncode}: {audit.stderr.strip()}"]


def _print_verdict(console: Console, log: deque[str], faults: list[str]) -> None:
    """Print whether there are faults, after the end of the stack's log if there are; exit with 1 then."""
    if not faults:
        console.print("nothing is oversold, lost or doubled", style="bold green")
        return
    console.print(*log, sep="\n", style="dim", markup=False, highlight=False)
    for fault in faults[:MAX_LINES]:
        console.print(fault, style="red", markup=False, highlight=False)
    console.print(f"{len(faults)} faults", style="bold red")
    raise typer.Exit(EXIT_FAULTS)
