"""Runs h2load, the HTTP/2 load generator, as a gRPC client whose calls carry fresh ids.

h2load sends one body again and again, and a Reserve whose id was seen before is only replayed. So the body holds a
placeholder wherever an id belongs, and a relay between h2load and the server, in this process, overwrites each
placeholder with a number of the same length. It knows nothing of HTTP/2, and every measured server is behind it alike.

h2load sees HTTP statuses, which gRPC leaves at 200 when a call fails. A failed call has no message, so the bytes of the
messages tell whether calls failed. When its time is over h2load closes its connections without waiting for the calls
in flight: the server may have made up to connections x streams more reservations than the report has calls.
"""

import asyncio
import contextlib
import itertools
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import uvloop
from holdfast.inventory.v1.inventory_service_pb2 import ReserveRequest
from holdfast.inventory.v1.reservation_pb2 import Line

from bench.load import METHOD, SKU, Load, LoadFailed, Report

FILLER = b"~"  # no id may contain it
ID_LENGTH = 16
PLACEHOLDER = FILLER * ID_LENGTH
IDS_A_SERIES = 10**9
GRPC_PREFIX = 5  # bytes before a message: whether it is compressed, and its length
STARTING_S = 30.0
READ_BYTES = 65_536
_DATA = re.compile(r"^traffic:.*\((\d+)\) data", re.MULTILINE)


def find() -> str | None:
    """The binary on the PATH; None if there is none. Debian has it in nghttp2-client."""
    return shutil.which("h2load")


def run(load: Load) -> Report:
    """Put the load on a server; LoadFailed unless every call was answered."""
    binary = find()
    if binary is None:
        raise LoadFailed("h2load was not found on the PATH. Debian has it in nghttp2-client")
    with tempfile.TemporaryDirectory() as folder, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        body, log = Path(folder) / "body", Path(folder) / "log"
        body.write_bytes(request_body(load.sale_id))
        output = runner.run(_through_relay(binary, load, body, log))
        return read_report(load, output, log.read_text())


def request_body(sale_id: str) -> bytes:
    """One Reserve as gRPC frames it, with placeholders for the two ids."""
    filler = PLACEHOLDER.decode()
    request = ReserveRequest(
        sale_id=sale_id, reservation_id=filler, buyer_id=filler, lines=[Line(sku=SKU, quantity=1)]
    ).SerializeToString()
    return b"\0" + len(request).to_bytes(4, "big") + request


def read_report(load: Load, output: str, log: str) -> Report:
    """Take the log's lines (start, status, microseconds) and the sum of the bytes; LoadFailed if calls failed."""
    calls = [line.split("\t") for line in log.splitlines()]
    failed = sum(status != "200" for _, status, _ in calls)
    if failed or not calls:
        raise LoadFailed(f"{failed} of {len(calls)} calls failed")
    found = _DATA.search(output)
    if found is None or int(found[1]) < len(calls) * (load.smallest_answer + GRPC_PREFIX):
        raise LoadFailed(f"some of {len(calls)} calls had no message, so they failed: {found and found[0]}")
    return Report(len(calls), load.seconds, sorted(int(latency_us) / 1000 for _, _, latency_us in calls))


class Stamp:
    """Overwrites the placeholders in one connection's bytes, however the bytes are cut."""

    def __init__(self, ids: Iterator[int]) -> None:
        self._ids = ids
        self._rest = b""

    def __call__(self, data: bytes) -> bytes:
        """The bytes that may be sent on; what may be the beginning of a placeholder waits for what comes next."""
        stamped = re.sub(PLACEHOLDER, self._next_id, self._rest + data)
        whole = len(stamped.rstrip(FILLER))
        self._rest = stamped[whole:]
        return stamped[:whole]

    def _next_id(self, _: re.Match[bytes]) -> bytes:
        return b"%0*d" % (ID_LENGTH, next(self._ids))


async def _pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter, change: Callable[[bytes], bytes]) -> None:
    """Send on what comes, until one side closes."""
    with contextlib.suppress(ConnectionError):
        while data := await source.read(READ_BYTES):
            sink.write(change(data))
    sink.close()


async def _through_relay(binary: str, load: Load, body: Path, log: Path) -> str:
    """Run h2load against a relay to the server; its standard output."""
    host, _, server_port = load.address.rpartition(":")
    ids = itertools.count(load.series * IDS_A_SERIES)

    async def connected(from_client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        from_server, to_server = await asyncio.open_connection(host, int(server_port))
        await asyncio.gather(_pump(from_client, to_server, Stamp(ids)), _pump(from_server, to_client, bytes))

    relay = await asyncio.start_server(connected, "127.0.0.1", 0)
    async with relay:
        port = relay.sockets[0].getsockname()[1]
        process = await asyncio.create_subprocess_exec(
            *(binary, "--duration", f"{round(load.seconds * 1000)}ms", "--threads", "1"),
            *("--clients", str(load.connections), "--max-concurrent-streams", str(load.streams)),
            *("--data", str(body), "--header", "content-type: application/grpc", "--header", "te: trailers"),
            *("--log-file", str(log), f"http://127.0.0.1:{port}/{METHOD}"),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        try:
            async with asyncio.timeout(load.seconds + STARTING_S):
                output, _ = await process.communicate()
        except TimeoutError:
            process.kill()
            raise LoadFailed("h2load did not come to an end") from None
    if process.returncode:
        raise LoadFailed(f"h2load ended with {process.returncode}: {output.decode().strip()[-500:]}")
    return output.decode()
