"""One build of Holdfast, from any checkout, that serves two sales on servers of its own.

Every program of it is started as a process with the checkout's own Python, so that code, scripts and tables are of one
commit; Valkey, PostgreSQL and the broker are the embedded ones of this checkout for every build. During the measuring
relay and persister do not run, for they would spend CPU beside it. They do during the audit, which waits for them.
"""

import contextlib
import math
import re
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple

import grpc
import psutil
from holdfast.blocking import BlockingClient
from holdfast.retry import RetryPolicy
from holdfast_bench.load import SKU
from holdfast_embedded.broker import Broker
from holdfast_embedded.ports import LOOPBACK, free_port
from holdfast_embedded.postgres import Postgres
from holdfast_embedded.server import Server
from holdfast_embedded.server_factories import EMBEDDED_BROKER_SETTINGS
from holdfast_embedded.valkey import Valkey

from bench.failures import BenchmarkFailed
from bench.machine import ROOT
from bench.programs import ProgramFailed, run_to_end, running

ACCEPTED, SOLD_OUT = "accepted", "sold-out"  # the two loads, and the ids of their sales
UNITS = {ACCEPTED: 10**9, SOLD_OUT: 1}
SHARDS = 16
HOLD_TTL = timedelta(hours=1)  # no hold expires within the measuring
PATIENT = RetryPolicy(overall_s=120.0, attempt_s=30.0)
PROGRAM_S = 120.0
START_S, POLL_S = 60.0, 0.1
AUDIT_UNKNOWN = (2, 3)  # exit codes: Redis and the ledger could not be compared; 1 says that they differ
MOST_AUDITS = 3
_RESERVE_CALLS = re.compile(
    r'^holdfast_rpc_calls_total{code="(\w+)",method="(?:Batch|Stream|)Reserve",[^}]*} (\S+)$', re.MULTILINE
)


class AuditFailed(BenchmarkFailed):
    """Redis does not hold what was answered."""


class AuditUnknown(ProgramFailed):
    """The audit could not be made."""


@dataclass(frozen=True)
class Build:
    """A build that serves."""

    checkout: Path
    folder: Path
    environment: Mapping[str, str]
    address: str
    server_pid: int  # of several workers, their supervisor's
    redis_pid: int
    token: str = ""  # with which it may be called; empty: it asks for none
    other_pids: Mapping[str, int] = field(default_factory=dict)  # of PostgreSQL and the broker
    worker_pids: Sequence[int] = ()  # without them the server serves itself

    def units_held(self, sale_id: str) -> int:
        """How many units of a sale are held."""
        with _client(self.address, self.token) as client:
            (item,) = client.get_sale(sale_id).sale.items
            return item.held

    def failed_calls(self) -> int:
        """How many Reserve calls ended with an error, by the server's page; callers have cancelled their last ones."""
        if not (page := self.environment["HOLDFAST_METRICS_LISTEN"]):
            return 0
        text = urllib.request.urlopen(f"http://{page}/metrics", timeout=START_S).read().decode()
        calls = _RESERVE_CALLS.findall(text)
        if not calls:
            raise AuditFailed("the server's page counts no Reserve calls")
        return sum(int(float(count)) for code, count in calls if code not in ("OK", "CANCELLED"))

    @property
    def processes(self) -> Sequence[Sequence[int]]:
        """The server's with its workers, and its Redis'."""
        return [self.server_pid, *self.worker_pids], [self.redis_pid]

    def check_answers(self, answered: int, unheard: float = math.inf) -> None:
        """AuditFailed if calls have failed, which h2load cannot see, or if an answer that is a hold has no unit.

        `unheard` is how many units more may be held: those of calls whose answers the client did not wait for.
        """
        if failed := self.failed_calls():
            raise AuditFailed(f"{failed} calls have failed, by the server's count")
        if (held := self.units_held(ACCEPTED)) < answered:
            raise AuditFailed(f"{answered} calls were answered by a hold, and {held} units are held")
        if held > answered + unheard:
            raise AuditFailed(f"{held} units are held, and {answered} calls were answered, {unheard:g} not waited for")
        if (held := self.units_held(SOLD_OUT)) != UNITS[SOLD_OUT]:
            raise AuditFailed(f"the sold out sale of {UNITS[SOLD_OUT]} unit holds {held}")

    def audit(self, deadline_s: float) -> str:
        """Bring the ledger up to date and compare it with Redis: the audit's output; ProgramFailed if they differ."""
        with self.ledger_written():
            return self.audit_running(deadline_s)

    @contextmanager
    def ledger_written(self) -> Iterator[Mapping[str, int]]:
        """Run relay and persister: their processes by name."""
        environment = {**self.environment, "HOLDFAST_METRICS_LISTEN": f"{LOOPBACK}:0"}  # the server has its own
        with (
            running(self.checkout, self.folder / "relay.log", "inventory_service", "relay", **environment) as relay,
            running(
                self.checkout, self.folder / "persist.log", "order_persister", "persist", **environment
            ) as persister,
        ):
            yield {"relay": relay.pid, "persist": persister.pid}

    def audit_running(self, deadline_s: float) -> str:
        """The same as `audit`, while relay and persister run."""
        for _ in range(MOST_AUDITS - 1):
            with contextlib.suppress(AuditUnknown):
                return self._audit_once(deadline_s)
        return self._audit_once(deadline_s)

    def _audit_once(self, deadline_s: float) -> str:
        """AuditUnknown if a server was too busy to answer the audit."""
        audit = ("inventory_service", "audit", "--deadline", f"{deadline_s:g}")
        try:
            return run_to_end(self.checkout, deadline_s + PROGRAM_S, *audit, **self.environment)
        except ProgramFailed as error:
            if error.exit_code in AUDIT_UNKNOWN:
                raise AuditUnknown(str(error)) from None
            raise


@contextmanager
def serving(checkout: Path, folder: Path, token: str = "", **settings: str) -> Iterator[Build]:
    """Start servers and a build's `serve` on them, with a sale of plenty and one that is sold out.

    `settings` are its variables beside the servers' addresses; with `token` it can be called.
    """
    folder.mkdir()
    valkey, postgres, broker = (
        Valkey(folder / "valkey"),
        Postgres(folder / "postgres"),
        Broker(folder / "broker", SHARDS),
    )
    with started(valkey, postgres, broker), ExitStack() as held:
        address = f"{LOOPBACK}:{free_port()}"
        environment = {**_environment(valkey, postgres, broker, address), **settings}
        run_to_end(checkout, PROGRAM_S, "order_persister", "migrate", **environment)
        run_to_end(checkout, PROGRAM_S, "inventory_service", "init", **environment)
        serve = held.enter_context(running(checkout, folder / "serve.log", "inventory_service", "serve", **environment))
        workers = int(settings.get("HOLDFAST_WORKERS", "1"))
        worker_pids = _listening_workers(serve.pid, address, workers) if workers > 1 else ()
        _make_sales(address, token)
        others = {"postgres": postgres.pid, "broker": broker.pid}
        yield Build(checkout, folder, environment, address, serve.pid, valkey.pid, token, others, worker_pids)


@contextmanager
def started(*servers: Server) -> Iterator[None]:
    """Run servers inside the block."""
    with ExitStack() as held:
        for server in servers:
            held.callback(server.stop)
            server.start()
        yield


class NoopServer(NamedTuple):
    """A server whose Reserve does nothing."""

    address: str
    pid: int


@contextmanager
def doing_nothing(folder: Path, *options: str) -> Iterator[NoopServer]:
    """Run one, with options of `bench.noop_server`, until the end of the block."""
    address = f"{LOOPBACK}:{free_port()}"
    with running(ROOT, folder / "noop.log", "bench.noop_server", "--listen", address, *options) as process:
        with grpc.insecure_channel(address) as channel:
            grpc.channel_ready_future(channel).result(START_S)
        yield NoopServer(address, process.pid)


def _listening_workers(supervisor: int, address: str, count: int) -> Sequence[int]:
    """The workers' processes, once all of them listen: connections are shared out among those that do."""
    port, deadline = int(address.rpartition(":")[2]), time.monotonic() + START_S
    while True:
        found = [child.pid for child in psutil.Process(supervisor).children() if _listens(child, port)]
        if len(found) == count:
            return found
        if time.monotonic() > deadline:
            raise ProgramFailed(f"{len(found)} of {count} workers listen on {address} after {START_S:g} s")
        time.sleep(POLL_S)


def _listens(process: psutil.Process, port: int) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        sockets = process.net_connections("tcp")
        return any(one.status == psutil.CONN_LISTEN and one.laddr.port == port for one in sockets)
    return False


def smallest_answer(address: str, sale_id: str, token: str = "") -> int:
    """Bytes of the response to a Reserve, less what the length of numbers in it may vary by."""
    with _client(address, token) as client:
        return client.reserve(sale_id, "first", "first-buyer", {SKU: 1}).ByteSize() - NUMBERS_VARY_BY


NUMBERS_VARY_BY = 20


def _environment(valkey: Server, postgres: Server, broker: Server, listen: str) -> dict[str, str]:
    return {
        **EMBEDDED_BROKER_SETTINGS,
        "HOLDFAST_SHARDS": str(SHARDS),
        "HOLDFAST_REDIS_URL": valkey.address,
        "HOLDFAST_POSTGRES_DSN": postgres.address,
        "HOLDFAST_KAFKA_BROKERS": broker.address,
        "HOLDFAST_LISTEN": listen,
        "HOLDFAST_METRICS_LISTEN": f"{LOOPBACK}:{free_port()}",
        "HOLDFAST_LOG_LEVEL": "warning",
    }


def _client(address: str, token: str) -> BlockingClient:
    return BlockingClient(address, channels=1, retry=PATIENT, token=token or None)


def _make_sales(address: str, token: str) -> None:
    with _client(address, token) as client:
        for sale_id, units in UNITS.items():
            client.create_sale(sale_id, {SKU: units}, hold_ttl=HOLD_TTL, max_hold_ttl=HOLD_TTL)
        client.reserve(SOLD_OUT, "the-only-one", "buyer", {SKU: 1})
