"""How many instructions a server executes for a Reserve without a token and with one, counted by valgrind's callgrind.

Other work on the machine does not change the count. Two servers of bench/counted_server.py, one of which checks tokens,
get 96 calls at once on twelve connections, and the token in each of the forms of bench/header_forms.py. The token is as
`holdfast token issue` makes it for a key of ES256. Instructions of the kernel are not counted.
"""

import argparse
import asyncio
import statistics
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import uvloop
from holdfast.cli.token_keys import Algorithm, make_key, read_key
from holdfast.cli.tokens import issue_token
from holdfast.inventory.v1.inventory_service_pb2 import ReserveRequest
from holdfast.inventory.v1.reservation_pb2 import Line

from bench.header_forms import NEWEST_ENTRY, entering_table, huffman_coded, not_coded
from bench.machine import ROOT, machine_and_commit
from bench.programs import ENVIRONMENT, ProgramFailed
from bench.strategies.http2 import Connection

METHOD = "holdfast.inventory.v1.InventoryService/Reserve"
CONNECTIONS, STREAMS = 12, 8
CALLERS = CONNECTIONS * STREAMS  # each with one call in flight
UNCOUNTED = 3  # calls of each caller
NAME = "authorization"
NONE, HUFFMAN, WHOLE, NUMBER = "no token", "Huffman-coded", "not coded", "by number"


@dataclass(frozen=True)
class Case:
    """Calls of one kind to one server; a call's last headers, the first one's of each connection and the others'."""

    form: str
    checked: bool
    first: bytes = b""
    later: bytes = b""

    @property
    def name(self) -> str:
        return f"{self.form}, {'checked' if self.checked else 'not looked at'}" if self.first else self.form


def cases_of(token: str) -> Sequence[Case]:
    """All that are counted; the first has no token."""
    value = f"Bearer {token}"
    huffman, whole = huffman_coded(NAME, value), not_coded(NAME, value)
    sent = {HUFFMAN: (huffman, huffman), WHOLE: (whole, whole), NUMBER: (entering_table(value), NEWEST_ENTRY)}
    return [Case(NONE, False), *(Case(form, at, *both) for form, both in sent.items() for at in (False, True))]


@dataclass(frozen=True)
class CountedServer:
    """A server under callgrind."""

    address: str
    pid: int
    dumps: Path

    def count(self) -> Counter[str]:
        """Instructions since the last count, by the file of the code."""
        before = set(self.dumps.iterdir())
        self.tell("dump")
        (dump,) = set(self.dumps.iterdir()) - before
        return by_file(dump.read_text())

    def tell(self, *words: str) -> None:
        """Make callgrind do something."""
        subprocess.run(["vgdb", f"--pid={self.pid}", *words], check=True, capture_output=True)


def by_file(dump: str) -> Counter[str]:
    """What callgrind wrote, summed up by shared object."""
    names, counts, here, is_of_callee = dict[str, str](), Counter[str](), "", False
    for line in dump.splitlines():
        if line.startswith(("ob=", "cob=")):  # the latter: of what is called
            number, _, path = line.partition("=")[2].partition(" ")
            names.setdefault(number, Path(path).name)
            here = names[number] if line.startswith("ob=") else here
        elif line.startswith("calls="):
            is_of_callee = True  # the next line has what the callee took
        elif line[:1] in set("+-*0123456789"):
            counts[here] += 0 if is_of_callee else int([*line.split(), "0"][1])
            is_of_callee = False
    return counts


@contextmanager
def counted_server(folder: Path, *, tokens: bool) -> Iterator[CountedServer]:
    """Start one; from the first call on it is several dozen times as slow as usual."""
    dumps, log = folder / "dumps", folder / "log"
    dumps.mkdir(parents=True)
    command = [
        *("valgrind", "--tool=callgrind", "--instr-atstart=no", "--fair-sched=yes"),
        *(f"--callgrind-out-file={dumps}/count.%p", sys.executable, "-m", "bench.counted_server"),
        *(["--tokens"] if tokens else []),
    ]
    environment = {**ENVIRONMENT, "PYTHONHASHSEED": "0"}
    with log.open("wb") as errors:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=errors)
    try:
        assert process.stdout is not None
        if not (address := process.stdout.readline().decode().strip()):
            raise ProgramFailed(f"the server ended: {log.read_text()[-2000:]}")
        server = CountedServer(address, process.pid, dumps)
        server.tell("instrumentation", "on")
        yield server
    finally:
        process.kill()  # at SIGTERM it would take long to sum up what it counted
        process.wait()


async def count_calls(server: CountedServer, case: Case, calls: int, first: int) -> Counter[str]:
    """Instructions of so many calls one after the other, of each caller; `first` is the number of the first call."""
    connections = await connected(server.address, case, first)
    try:
        await call_each(connections, UNCOUNTED, first + CALLERS)
        await asyncio.to_thread(server.count)
        await call_each(connections, calls, first + CALLERS * (1 + UNCOUNTED))
        return await asyncio.to_thread(server.count)
    finally:
        for connection in connections:
            connection.close()


async def connected(address: str, case: Case, first: int) -> Sequence[Connection]:
    """Connections on which one call each was made, and which send the token from then on as a case says."""
    loop, (host, _, port), connections = asyncio.get_running_loop(), address.rpartition(":"), list[Connection]()
    for _ in range(CONNECTIONS):
        connection = Connection(address, METHOD)
        await loop.create_connection(lambda made=connection: made, host, int(port))  # type: ignore[misc]
        connections.append(connection)
    usual = connections[0].headers
    for connection in connections:
        connection.headers = usual + case.first
    await call_each(connections, 1, first, streams=1)
    for connection in connections:
        connection.headers = usual + case.later
    return connections


async def call_each(connections: Sequence[Connection], calls: int, first: int, streams: int = STREAMS) -> None:
    """So many callers on each connection, and so many calls of each of them; ProgramFailed unless all succeed."""

    async def call(connection: Connection, number: int) -> None:
        for at in range(calls):
            answer = await connection.call(request(number + at))
            if answer.failure:
                raise ProgramFailed(f"a call failed: {answer.failure}")

    callers = (connection for connection in connections for _ in range(streams))
    await asyncio.gather(*(call(caller, first + index * calls) for index, caller in enumerate(callers)))


def request(number: int) -> bytes:
    """A plain Reserve."""
    lines = [Line(sku="lamp", quantity=1)]
    return ReserveRequest(
        sale_id="bench-sale", reservation_id=f"r-{number:014}", buyer_id=f"b-{number:014}", lines=lines
    ).SerializeToString()


def count_all(cases: Sequence[Case], calls: int, rounds: int) -> Mapping[Case, Sequence[Counter[str]]]:
    """Every case in each round."""
    taken: dict[Case, list[Counter[str]]] = {case: [] for case in cases}
    with tempfile.TemporaryDirectory(prefix="holdfast-instructions-") as folder, ExitStack() as held:
        servers = {
            tokens: held.enter_context(counted_server(Path(folder) / f"tokens-{tokens}", tokens=tokens))
            for tokens in sorted({case.checked for case in cases})
        }
        for at in range(rounds):
            for index, case in enumerate(cases):
                first = (at * len(cases) + index) * (1 + UNCOUNTED + calls) * CALLERS
                counts = uvloop.run(count_calls(servers[case.checked], case, calls, first))
                taken[case].append(counts)
                print(f"round {at + 1}, {case.name}: {counts.total():,}", file=sys.stderr, flush=True)
    return taken


def table(taken: Mapping[Case, Sequence[Counter[str]]], calls: int) -> Iterator[str]:
    """Thousands of instructions a call, median and range, and what each case has more than the first, by code."""
    yield "| | a call | more than the first | in gRPC | in Python | elsewhere |"
    yield "|---|---|---|---|---|---|"
    first, *_ = (parts(counts, calls) for counts in taken.values())
    for case, counts in taken.items():
        each = [one.total() / calls / 1000 for one in counts]
        more = [part - without for part, without in zip(parts(counts, calls), first, strict=True)]
        columns = " | ".join(f"{part:.2f}" for part in (sum(more), *more))
        yield f"| {case.name} | {statistics.median(each):.1f} ({min(each):.1f}-{max(each):.1f}) | {columns} |"


def parts(counts: Sequence[Counter[str]], calls: int) -> tuple[float, float, float]:
    """Thousands a call: of gRPC and its Cython, of Python and other extensions, of the rest, mostly the C library."""
    grpc, python, other = (
        statistics.median(sum(count for name, count in one.items() if part_of(name) == part) for one in counts)
        for part in range(3)
    )
    return grpc / calls / 1000, python / calls / 1000, other / calls / 1000


def part_of(name: str) -> int:
    """The place in `parts` of a shared object."""
    return 0 if "cygrpc" in name else 1 if "python" in name else 2


def made_token(folder: Path) -> str:
    """What `holdfast token issue` prints for a key of ES256."""
    key = folder / "key.pem"
    make_key(key, folder / "jwks.json", Algorithm.ES256, "", force=False)
    claims = {"sub": "checkout@shop.example", "tenant": "shop", "scope": "inventory.reserve inventory.read"}
    return issue_token(claims, timedelta(hours=1), read_key(key, "")).token


def main() -> int:
    """The exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--calls", type=int, default=20, help=f"counted together, of each of {CALLERS} callers (%(default)s)"
    )
    parser.add_argument("--rounds", type=int, default=3, help="in which each case is counted once (%(default)s)")
    parser.add_argument("--bytes", type=int, default=0, help="of the token, cut or repeated; 0: as made (%(default)s)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="holdfast-token-") as folder:
        token = made_token(Path(folder))
    if size := arguments.bytes:
        token = (token * (size // len(token) + 1))[:size]
    try:
        taken = count_all(cases_of(token), arguments.calls, arguments.rounds)
    except ProgramFailed as error:
        print(f"failed: {error}", file=sys.stderr)
        return 1
    coded = len(huffman_coded(NAME, f"Bearer {token}"))
    print(f"{machine_and_commit()}; a token of {len(token)} bytes, {coded} with its name and coded\n")
    print("\n".join(table(taken, arguments.calls * CALLERS)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
