"""Runs the `holdfast` command against the fake server: inside this process."""

import io
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TextIO

import pytest
import typer
from holdfast.cli import ask
from holdfast.cli.__main__ import app, main
from holdfast.inventory.v1.reservation_pb2 import LedgerState, Reservation, ReservationLine, ReservationState
from holdfast.inventory.v1.sale_pb2 import Item, Sale, SaleState
from typer.testing import CliRunner, Result

from tests.unit.clients.fake_inventory import FakeInventory
from tests.waiting import LONG_S

NOON = datetime(2026, 11, 27, 12, tzinfo=UTC)
HELD = Reservation(
    sale_id="lamps",
    reservation_id="r-1",
    buyer_id="ada",
    lines=[ReservationLine(sku="lamp", quantity=2)],
    state=ReservationState.RESERVATION_STATE_HELD,
    create_time=NOON,
    update_time=NOON,
    expire_time=NOON + timedelta(minutes=10),
    ledger_state=LedgerState.LEDGER_STATE_PENDING,
)
SALE = Sale(
    sale_id="lamps",
    state=SaleState.SALE_STATE_OPEN,
    hold_ttl=timedelta(minutes=10),
    items=[Item(sku="lamp", total=5000, available=4998, held=2)],
)
RESERVE = ("reserve", "lamps", "--buyer", "ada", "--line", "lamp=2", "--id", "r-1")
TOO_LONG_S = 60.0  # a server that asks for such a pause gets no repeat

COMMAND = typer.main.get_command(app)


def run(fake: FakeInventory, *words: str, typed: str | None = None) -> Result:
    """Run one command inside this process; `typed` is its standard input."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(ask, "CONNECT_S", LONG_S)
        return invoke(words, {"HOLDFAST_ADDRESS": fake.address}, typed)


def invoke(words: Sequence[str], environment: Mapping[str, str] | None = None, typed: str | None = None) -> Result:
    """Run one command inside this process, with commands that are built once: that takes a twentieth of a second."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("typer.testing._get_command", lambda app: COMMAND)
        return CliRunner().invoke(app, words, env=environment, input=typed)


def run_with(fake: FakeInventory, *words: str, stdout: TextIO | None, stderr: TextIO) -> int:
    """Run one command inside this process as the script does, on these outputs; its exit code."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(ask, "CONNECT_S", LONG_S)
        patched.setenv("HOLDFAST_ADDRESS", fake.address)
        patched.setattr(sys, "argv", ["holdfast", *words])
        patched.setattr(sys, "stdout", stdout)
        patched.setattr(sys, "stderr", stderr)
        with pytest.raises(SystemExit) as ended:
            main()
        for output in filter(None, (sys.stdout, sys.stderr)):
            output.flush()  # as Python does at its end
    return int(ended.value.code or 0)


def written(encoding: str = "utf-8") -> io.TextIOWrapper:
    """An output that keeps what is written to it."""
    return io.TextIOWrapper(io.BytesIO(), encoding=encoding)


def text_of(output: io.TextIOWrapper) -> str:
    assert isinstance(output.buffer, io.BytesIO)
    return output.buffer.getvalue().decode(output.encoding)


@contextmanager
def interrupting_once(wait: Callable[[], object]) -> Iterator[None]:
    """Send SIGINT to this thread once `wait` has returned in another one."""
    waited: list[object] = []  # keeps what was accepted open
    thread = threading.get_ident()

    def interrupt() -> None:
        waited.append(wait())
        signal.pthread_kill(thread, signal.SIGINT)

    interrupting = threading.Thread(target=interrupt)
    interrupting.start()
    yield
    interrupting.join()
