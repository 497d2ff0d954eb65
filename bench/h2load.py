"""Runs h2load, the HTTP/2 load generator, as a gRPC client whose calls carry fresh ids.

h2load sends one body again and again, and a Reserve whose id was seen before is only replayed. So the body holds a
placeholder wherever an id belongs, and `fresh_ids.c`, compiled and loaded into h2load, overwrites each with a number of
the same length as h2load reads the body. That costs a microsecond; a relay in between costs twice what h2load does.
The body of a BatchReserve has two placeholders for each of its requests.

At a rate each connection sends a call whenever its period is over, and all connections do so at the same moments. The
latency of a call counts from the moment at which it was due, so that one that h2load or the server holds back counts
for how long its caller waits.

h2load sees HTTP statuses, which gRPC leaves at 200 when a call fails. A failed call has no message, so the bytes of the
messages show whether calls failed. When its time is over h2load closes its connections without waiting for the calls
in flight: the server may have made up to connections x streams more reservations than the report has calls.
"""

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import NamedTuple

from holdfast.inventory.v1.inventory_service_pb2 import BatchReserveRequest, ReserveRequest
from holdfast.inventory.v1.reservation_pb2 import Line
from holdfast_bench.load import METHOD, SKU, Load, LoadFailed, Report, check_sent

SOURCE = Path(__file__).with_name("fresh_ids.c")
LIBRARY = "fresh_ids.so"
PLACEHOLDER = "~" * 16  # as in fresh_ids.c
IDS_A_SERIES = 10**9
BATCH_METHOD = "holdfast.inventory.v1.InventoryService/BatchReserve"
GRPC_PREFIX = 5  # bytes before a message: whether it is compressed, and its length
STARTING_S = 30.0
TICK_S = 0.01  # how often a connection sends what is due, at most
LED_S = 0.5  # of load at a rate before what counts, and after it
AT_A_RATE = 1000  # streams, so that no call waits for another one's to end
HTTP_OK = 200
_DATA = re.compile(r"^traffic:.*\((\d+)\) data", re.MULTILINE)


class Call(NamedTuple):
    """A line of h2load's log."""

    start_us: int
    status: int  # of HTTP; -1: the stream failed
    latency_us: int


def missing() -> str | None:
    """What this needs and does not find, in words; None if it finds everything."""
    if shutil.which("h2load") is None:
        return "h2load is not on the PATH; Debian has it in nghttp2-client"
    return None if shutil.which("cc") else "h2load needs a C compiler, cc, for fresh ids; Debian has one in gcc"


def run(load: Load, batch: int = 0) -> Report:
    """Put the load on a server; LoadFailed unless every call was answered.

    A call is a Reserve or, with `batch`, a BatchReserve of so many, and so is the load's smallest answer.
    """
    compiled = _compiled()
    with tempfile.TemporaryDirectory() as folder:
        body, log, library = Path(folder) / "body", Path(folder) / "log", Path(compiled.name) / LIBRARY
        body.write_bytes(request_body(load.sale_id, batch))
        environment = {"LD_PRELOAD": str(library), "FIRST_ID": str(load.series * IDS_A_SERIES)}
        output = _run(
            _command(load, BATCH_METHOD if batch else METHOD, body, log), duration_s(load) + STARTING_S, **environment
        )
        return read_report(load, output, log.read_text())


def compile_ids(folder: Path) -> Path:
    """The library that is loaded into h2load."""
    library = folder / LIBRARY
    _run(["cc", "-O2", "-shared", "-fPIC", str(SOURCE), "-o", str(library), "-ldl"], STARTING_S)
    return library


@cache
def _compiled() -> "tempfile.TemporaryDirectory[str]":
    """A folder with that library, until this process ends: compiled once, so that no load's CPU has it."""
    folder = tempfile.TemporaryDirectory()
    compile_ids(Path(folder.name))
    return folder


def at_a_rate(load: Load, per_s: float) -> Load:
    """The load at about this rate: so many connections that each sends one call a tick."""
    connections = max(1, round(per_s * TICK_S))
    return replace(load, rate=connections / TICK_S, connections=connections, streams=AT_A_RATE)


def duration_s(load: Load) -> float:
    """How long h2load sends."""
    return load.seconds if load.rate is None else load.seconds + 2 * LED_S


def request_body(sale_id: str, batch: int = 0) -> bytes:
    """One Reserve, or a batch of so many, as gRPC frames it, with placeholders for the two ids of each."""
    request = ReserveRequest(
        sale_id=sale_id, reservation_id=PLACEHOLDER, buyer_id=PLACEHOLDER, lines=[Line(sku=SKU, quantity=1)]
    )
    message = (BatchReserveRequest(requests=[request] * batch) if batch else request).SerializeToString()
    return b"\0" + len(message).to_bytes(4, "big") + message


def read_report(load: Load, output: str, log: str) -> Report:
    """Take the log's lines (start, status, microseconds) and the sum of the bytes; LoadFailed if calls failed."""
    calls = [Call(*map(int, line.split("\t"))) for line in log.splitlines()]
    failed = sum(call.status != HTTP_OK for call in calls)
    if failed or not calls:
        raise LoadFailed(f"{failed} of {len(calls)} calls failed")
    found = _DATA.search(output)
    needed = len(calls) * (load.smallest_answer + GRPC_PREFIX) if load.smallest_answer else 0
    if found is None or int(found[1]) < needed:
        raise LoadFailed(f"some of {len(calls)} calls had no message, so they failed: {found and found[0]}")
    latencies_us = [call.latency_us for call in calls] if load.rate is None else list(since_due_us(load, calls))
    check_sent(len(latencies_us), load.scheduled)
    return Report(len(calls), duration_s(load), sorted(us / 1000 for us in latencies_us), int(found[1]))


def since_due_us(load: Load, calls: Sequence[Call]) -> Iterator[float]:
    """How long each call took from when it was due, without those due in the first and the last half second.

    A connection begins its periods once it is made, which is no call's delay: time counts from the most punctual call.
    """
    assert load.rate is not None
    period_us = load.connections / load.rate * 1e6
    due = [(number // load.connections * period_us, call) for number, call in enumerate(sorted(calls))]
    counted = [(due_us, call) for due_us, call in due if LED_S * 1e6 <= due_us < (LED_S + load.seconds) * 1e6]
    began_us = min((call.start_us - due_us for due_us, call in counted), default=0.0)
    for due_us, call in counted:
        yield max(call.latency_us, call.start_us + call.latency_us - began_us - due_us)


def _command(load: Load, method: str, body: Path, log: Path) -> list[str]:
    return [
        *("h2load", "--threads=1", f"--duration={round(duration_s(load) * 1000)}ms", f"--log-file={log}"),
        *(f"--clients={load.connections}", f"--max-concurrent-streams={load.streams}"),
        *(f"--data={body}", "--header=content-type: application/grpc", "--header=te: trailers"),
        *([f"--header=authorization: Bearer {load.token}"] if load.token else []),
        *([f"--rps={load.rate / load.connections:g}"] if load.rate else []),
        f"http://{load.address}/{method}",
    ]


def _run(command: list[str], deadline_s: float, **environment: str) -> str:
    """What a program prints; LoadFailed unless it succeeds in time."""
    try:
        ended = subprocess.run(
            command,
            env={**os.environ, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=deadline_s,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise LoadFailed(f"{command[0]} did not come to an end") from None
    if ended.returncode:
        raise LoadFailed(f"{command[0]} ended with {ended.returncode}: {ended.stdout.strip()[-500:]}")
    return ended.stdout
