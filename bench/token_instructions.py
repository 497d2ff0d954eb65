"""How many instructions a server executes for a Reserve without a token and with one, counted by valgrind's callgrind.

Two servers of bench/counted_server.py, one of which checks tokens, get calls with a token in each of the forms of
bench/header_forms.py, by default one call at a time: then gRPC's threads do the same for each. What a case takes more
than calls without a token is summed up function by function; those whose count differs from round to round are left
out, for they depend on how long threads wait. The token is as `holdfast token issue` makes it for a key of ES256.
Instructions of the kernel are not counted.
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

from bench.arguments import parser_of
from bench.failures import exit_code_of
from bench.header_forms import NEWEST_ENTRY, entering_table, huffman_coded, not_coded
from bench.machine import ROOT, machine_and_commit
from bench.programs import ENVIRONMENT, ProgramFailed
from bench.strategies.http2 import Connection

METHOD = "holdfast.inventory.v1.InventoryService/Reserve"
UNCOUNTED = 50  # calls of each caller, by which Python's bytecode is specialized
MOST_SPREAD = 200  # instructions a call, from round to round
NAME = "authorization"
NONE, HUFFMAN, WHOLE, NUMBER = "no token", "Huffman-coded", "not coded", "by number"

Function = tuple[str, str]  # the shared object that it is in, and its name or, in one without symbols, its address


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


Taken = Mapping[Case, Sequence[Counter[Function]]]  # a count a round


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

    def count(self) -> Counter[Function]:
        """Instructions since the last count."""
        before = set(self.dumps.iterdir())
        self.tell("dump")
        (dump,) = set(self.dumps.iterdir()) - before
        return by_function(dump.read_text())

    def tell(self, *words: str) -> None:
        """Make callgrind do something."""
        subprocess.run(["vgdb", f"--pid={self.pid}", *words], check=True, capture_output=True)


def by_function(dump: str) -> Counter[Function]:
    """What callgrind wrote: instructions of each function itself."""
    files, names, counts = dict[str, str](), dict[str, str](), Counter[Function]()
    file, name, is_of_callee = "", "", False
    for line in dump.splitlines():
        kind, _, rest = line.partition("=")
        number, _, text = rest.partition(" ")  # a name comes with its number once, and then the number alone
        if kind in ("ob", "cob"):  # the latter: of what is called
            files.setdefault(number, Path(text).name)
            file = files[number] if kind == "ob" else file
        elif kind in ("fn", "cfn"):
            names.setdefault(number, text)
            name = names[number] if kind == "fn" else name
        elif kind == "calls":
            is_of_callee = True  # the next line has what the callee took
        elif line[:1] in set("+-*0123456789"):
            counts[file, name] += 0 if is_of_callee else int([*line.split(), "0"][1])
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


async def count_calls(server: CountedServer, case: Case, callers: int, calls: int, first: int) -> Counter[Function]:
    """Instructions of so many calls of each caller; `first` is the number of the first call."""
    connections = await connected(server.address, case, callers, first)
    try:
        await call_each(connections, UNCOUNTED, first + callers)
        await asyncio.to_thread(server.count)
        await call_each(connections, calls, first + callers * (1 + UNCOUNTED))
        return await asyncio.to_thread(server.count)
    finally:
        for connection in connections:
            connection.close()


async def connected(address: str, case: Case, callers: int, first: int) -> Sequence[Connection]:
    """A connection a caller, on which one call was made, and which sends the token from then on as a case says."""
    loop, (host, _, port), connections = asyncio.get_running_loop(), address.rpartition(":"), list[Connection]()
    for _ in range(callers):
        connection = Connection(address, METHOD)
        await loop.create_connection(lambda made=connection: made, host, int(port))  # type: ignore[misc]
        connections.append(connection)
    usual = connections[0].headers
    for connection in connections:
        connection.headers = usual + case.first
    await call_each(connections, 1, first)
    for connection in connections:
        connection.headers = usual + case.later
    return connections


async def call_each(connections: Sequence[Connection], calls: int, first: int) -> None:
    """So many calls on each connection, one after the other; ProgramFailed unless all succeed."""

    async def call(connection: Connection, number: int) -> None:
        for at in range(calls):
            answer = await connection.call(request(number + at))
            if answer.failure:
                raise ProgramFailed(f"a call failed: {answer.failure}")

    await asyncio.gather(*(call(each, first + index * calls) for index, each in enumerate(connections)))


def request(number: int) -> bytes:
    """A plain Reserve."""
    lines = [Line(sku="lamp", quantity=1)]
    return ReserveRequest(
        sale_id="bench-sale", reservation_id=f"r-{number:014}", buyer_id=f"b-{number:014}", lines=lines
    ).SerializeToString()


def count_all(cases: Sequence[Case], callers: int, calls: int, rounds: int) -> Taken:
    """Every case in each round."""
    taken: dict[Case, list[Counter[Function]]] = {case: [] for case in cases}
    with tempfile.TemporaryDirectory(prefix="holdfast-instructions-") as folder, ExitStack() as held:
        servers = {
            tokens: held.enter_context(counted_server(Path(folder) / f"tokens-{tokens}", tokens=tokens))
            for tokens in sorted({case.checked for case in cases})
        }
        for at in range(rounds):
            for index, case in enumerate(cases):
                first = (at * len(cases) + index) * (1 + UNCOUNTED + calls) * callers
                counts = uvloop.run(count_calls(servers[case.checked], case, callers, calls, first))
                taken[case].append(counts)
                print(f"round {at + 1}, {case.name}: {counts.total():,}", file=sys.stderr, flush=True)
    return taken


def table(taken: Taken, calls: int) -> Iterator[str]:
    """Thousands of instructions a call, median and range, and what each case has more than the first, by code."""
    yield "| | a call | more than the first | in gRPC | in Python | elsewhere |"
    yield "|---|---|---|---|---|---|"
    first = next(iter(taken.values()))
    for case, counts in taken.items():
        each = [one.total() / calls / 1000 for one in counts]
        more = difference(counts, first, calls)
        columns = " | ".join(f"{part / 1000:.2f}" for part in (sum(more), *more))
        yield f"| {case.name} | {statistics.median(each):.1f} ({min(each):.1f}-{max(each):.1f}) | {columns} |"


def difference(these: Sequence[Counter[Function]], others: Sequence[Counter[Function]], calls: int) -> Sequence[float]:
    """A call's, without the functions that vary: of gRPC, of Python and its other extensions, and of the rest."""
    more = [0.0, 0.0, 0.0]
    for function in set().union(*these, *others):
        pair = [[one[function] / calls for one in counts] for counts in (these, others)]
        if max(max(each) - min(each) for each in pair) <= MOST_SPREAD:
            part = 0 if "cygrpc" in function[0] else 1 if "python" in function[0] else 2
            more[part] += statistics.median(pair[0]) - statistics.median(pair[1])
    return more


def made_token(folder: Path) -> str:
    """What `holdfast token issue` prints for a key of ES256."""
    key = folder / "key.pem"
    make_key(key, folder / "jwks.json", Algorithm.ES256, "", force=False)
    claims = {"sub": "checkout@shop.example", "tenant": "shop", "scope": "inventory.reserve inventory.read"}
    return issue_token(claims, timedelta(hours=1), read_key(key, "")).token


def main() -> int:
    """The exit code: 1 if a server or a caller failed."""
    arguments = parsed()
    return exit_code_of(lambda: measure(arguments))


def parsed() -> argparse.Namespace:
    parser = parser_of(__doc__)
    add = parser.add_argument
    add("--callers", type=int, default=1, help="with one call in flight each (%(default)s)")
    add("--calls", type=int, default=400, help="of each caller, counted together (%(default)s)")
    add("--rounds", type=int, default=3, help="in which each case is counted once (%(default)s)")
    add("--bytes", type=int, default=0, help="of the token, cut or repeated; 0: as it is made (%(default)s)")
    return parser.parse_args()


def measure(arguments: argparse.Namespace) -> int:
    """Count, and print the table."""
    with tempfile.TemporaryDirectory(prefix="holdfast-token-") as folder:
        token = made_token(Path(folder))
    if size := arguments.bytes:
        token = (token * (size // len(token) + 1))[:size]
    taken = count_all(cases_of(token), arguments.callers, arguments.calls, arguments.rounds)
    coded = len(huffman_coded(NAME, f"Bearer {token}"))
    print(f"{machine_and_commit()}; a token of {len(token)} bytes, {coded} with its name and coded\n")
    print("\n".join(table(taken, arguments.callers * arguments.calls)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
