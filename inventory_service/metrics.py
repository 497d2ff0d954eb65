"""The numbers of each process, and the page that shows them."""

from collections.abc import Callable
from typing import NamedTuple

from holdfast.inventory.v1.reservation_pb2 import RejectionReason
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, start_http_server
from prometheus_client.gc_collector import GCCollector
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

from inventory_service.domain.backlog import Backlog
from inventory_service.domain.verdicts import Granted, Rejected

LATENCY_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)
BATCH = (1, 2, 4, 8, 16, 32, 64, 128)


class Address(NamedTuple):
    """Where a page is served."""

    host: str
    port: int


def new_registry() -> CollectorRegistry:
    """A registry that knows the process itself; nothing registers globally, so that a test may build two."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    return registry


def serve_page(listen: str, registry: CollectorRegistry) -> Address | None:
    """Serve /metrics on a thread of its own; None if `listen` is empty. OSError if the port is taken."""
    if not listen:
        return None
    host, _, port = listen.rpartition(":")
    server, _thread = start_http_server(int(port), addr=host.strip("[]"), registry=registry)
    return Address(host, server.server_port)


class CallMetrics:
    """Calls by service, method and code, and their latency by method. Labels are looked up once, for that is slow."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._calls = Counter(
            "holdfast_rpc_calls", "Calls that ended.", ["service", "method", "code"], registry=registry
        )
        self._seconds = Histogram(
            "holdfast_rpc_seconds",
            "How long a call was in the server.",
            ["service", "method"],
            buckets=LATENCY_S,
            registry=registry,
        )

    def observer(self, service: str, method: str) -> Callable[[str, float], None]:
        """What counts the calls of one method."""
        took = self._seconds.labels(service, method).observe
        ended: dict[str, Callable[[], None]] = {}

        def observe(code: str, seconds: float) -> None:
            count = ended.get(code)
            if count is None:
                count = ended[code] = self._calls.labels(service, method, code).inc
            count()
            took(seconds)

        return observe


class StockMetrics:
    """What Reserve answered, and what the batcher did for it."""

    def __init__(self, registry: CollectorRegistry) -> None:
        outcomes = Counter("holdfast_outcomes", "Reserve requests that were judged.", ["outcome"], registry=registry)
        sizes = Histogram(
            "holdfast_batch_requests", "Requests a script call.", ["kind"], buckets=BATCH, registry=registry
        )
        seconds = Histogram(
            "holdfast_script_seconds", "How long a script call took.", ["kind"], buckets=LATENCY_S, registry=registry
        )
        self._granted = outcomes.labels("granted").inc
        self._replayed = outcomes.labels("replayed").inc
        self._rejected = {reason: outcomes.labels(_outcome(reason)).inc for reason in RejectionReason.values()}
        self._sizes = {kind: sizes.labels(kind).observe for kind in ("reserve", "settle")}
        self._seconds = {kind: seconds.labels(kind).observe for kind in ("reserve", "settle")}

    def count_outcome(self, verdict: Granted | Rejected) -> None:
        if verdict.replayed:
            self._replayed()
        elif isinstance(verdict, Granted):
            self._granted()
        else:
            self._rejected[verdict.reason]()

    def observe_call(self, kind: str, requests: int, seconds: float) -> None:
        self._sizes[kind](requests)
        self._seconds[kind](seconds)


def _outcome(reason: int) -> str:
    return RejectionReason.Name(RejectionReason.ValueType(reason)).removeprefix("REJECTION_REASON_").lower()


class RelayMetrics:
    """How far behind Kafka and the ledger are, by shard."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def gauge(name: str, meaning: str) -> Gauge:
            return Gauge(name, meaning, ["shard"], registry=registry)

        self._serving = gauge(
            "holdfast_shard_serving", "1: the shard is served; 0: it waits for a take-over or is frozen."
        )
        self._outbox = gauge("holdfast_outbox_commits", "Commits that the outbox holds.")
        self._unsent = gauge("holdfast_relay_lag_commits", "Commits that Kafka has not confirmed.")
        self._unsent_s = gauge("holdfast_relay_lag_seconds", "Age of the oldest commit that Kafka has not confirmed.")
        self._unledgered_s = gauge(
            "holdfast_ledger_lag_seconds", "Age of the oldest commit not known to be in the ledger."
        )

    def show(self, shard: int, backlog: Backlog) -> None:
        """Show where a shard stands."""
        name = str(shard)
        self._serving.labels(name).set(backlog.serving)
        self._outbox.labels(name).set(backlog.outbox)
        self._unsent.labels(name).set(backlog.unsent)
        self._unsent_s.labels(name).set(backlog.unsent_s)
        self._unledgered_s.labels(name).set(backlog.unledgered_s)


class CompensationMetrics:
    """What became of compensations."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._compensations = Counter(
            "holdfast_compensations", "Compensations, by what came of them.", ["outcome"], registry=registry
        )

    def count(self, outcome: str) -> None:
        """Count one."""
        self._compensations.labels(outcome).inc()
