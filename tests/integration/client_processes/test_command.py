"""The `holdfast` command as a process with pipes of its own: a reader that goes away, and Ctrl-C."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from holdfast.inventory.v1.inventory_service_pb2 import GetSaleResponse, WatchSaleResponse
from holdfast.inventory.v1.sale_pb2 import Item, Sale, SaleState

from tests.unit.clients.cli.command import NOON, SALE
from tests.unit.clients.fake_inventory import FakeInventory
from tests.waiting import LONG_S, eventually

SHOW, WATCH_SALE = ("sale", "show", "lamps"), ("sale", "watch", "lamps")

# As the script `holdfast` does, but for the time that a busy machine may take to connect.
SCRIPT = f"""
from holdfast.cli import ask
from holdfast.cli.__main__ import main
ask.CONNECT_S = {LONG_S}
main()
"""


def start(fake: FakeInventory, *words: str, stdout: int = subprocess.PIPE) -> "subprocess.Popen[bytes]":
    """Start one command as a process."""
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, *words],
        env={**os.environ, "PYTHONUNBUFFERED": "", "HOLDFAST_ADDRESS": fake.address},
        stdout=stdout,
        stderr=subprocess.PIPE,
    )


def lamps(available: int, snapshot: bool = False) -> WatchSaleResponse:
    """A message about the sale of lamps."""
    item = Item(sku="lamp", available=available, total=available)
    sale = Sale(sale_id="lamps", state=SaleState.SALE_STATE_OPEN, items=[item])
    return WatchSaleResponse(sale=sale, snapshot=snapshot, read_time=NOON)


def test_a_reader_that_closes_the_pipe_changes_no_exit_code(fake: FakeInventory) -> None:
    """`holdfast ... | head -1` under `set -o pipefail` is no failure of the call, and says nothing at its end."""
    fake.will_answer("GetSale", GetSaleResponse(sale=SALE))
    reading, writing = os.pipe()
    os.close(reading)

    command = start(fake, *SHOW, "--json", stdout=writing)
    os.close(writing)
    _, stderr = command.communicate(timeout=LONG_S)

    assert (command.returncode, stderr) == (0, b"")


def test_ctrl_c_ends_a_watch_and_its_call(fake: FakeInventory, hanging: threading.Event) -> None:
    """With nothing but what it has printed, at once although it is a pipe, and the exit code of a shell."""
    fake.will_answer("WatchSale", [lamps(1, snapshot=True), hanging])

    with watching(fake, "--json") as watch:
        assert watch.stdout is not None
        first = json.loads(watch.stdout.readline())
        watch.send_signal(signal.SIGINT)
        rest, stderr = watch.communicate(timeout=LONG_S)

    assert first["snapshot"]
    assert (watch.returncode, rest, stderr) == (130, b"", b"")
    asyncio.run(eventually(lambda: fake.ended))


def test_a_watch_ends_when_its_reader_has_gone(fake: FakeInventory, hanging: threading.Event) -> None:
    """`holdfast sale watch ... | head -1` would otherwise stay until the sale is over."""
    goes_on = threading.Event()
    changes = [lamps(count) for count in range(1, 100)]
    fake.will_answer("WatchSale", [lamps(100, snapshot=True), goes_on, *changes, hanging])

    with watching(fake) as watch:
        assert watch.stdout is not None
        watch.stdout.readline()
        watch.stdout.close()
        goes_on.set()
        code = watch.wait(LONG_S)

    assert code == 0
    assert watch.stderr is not None
    assert watch.stderr.read() == b""


@contextmanager
def watching(fake: FakeInventory, *words: str) -> "Iterator[subprocess.Popen[bytes]]":
    """A process that watches the sale."""
    process = start(fake, *WATCH_SALE, *words)
    try:
        yield process
    finally:
        process.kill()
        process.wait()
