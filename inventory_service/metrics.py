"""The Prometheus metrics of each process of the inventory service."""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from itertools import accumulate
from time import monotonic

from holdfast.inventory.v1.reservation_pb2 import RejectionReason
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from inventory_service.domain.backlog import Backlog
from inventory_service.domain.circuit_breaker import CircuitBreaker
from inventory_service.domain.plain_reserve import PlainHold
from inventory_service.domain.ports import HoldCounts
from inventory_service.domain.results import Granted, Rejected
from inventory_service.domain.tokens import Problem
from inventory_service.server_checks.results import CheckResult, Level
from inventory_service.service.batcher import CALL_KINDS

LATENCY_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)
BATCH = (1, 2, 4, 8, 16, 32, 64, 128)


class _Tally:
    """Counts the calls of one method in plain numbers: the library's metrics take a hundredth of a call's time."""

    def __init__(self) -> None:
        self.by_code: dict[str, int] = {}  # by status code
        self.by_latency = [0] * (len(LATENCY_S) + 1)  # calls by latency bucket; the last is for longer ones
        self.seconds = 0.0

    def observe(self, code: str, seconds: float) -> None:
        self.by_code[code] = self.by_code.get(code, 0) + 1
        self.by_latency[bisect_left(LATENCY_S, seconds)] += 1
        self.seconds += seconds


class CallMetrics(Collector):
    """Calls by service, method and code, and their latency by method; turned into metrics at each scrape."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._tallies: dict[tuple[str, str], _Tally] = {}
        meaning = "Calls, requests of batches and messages on streams under way, of at most 4096."
        self._slots = Gauge("holdfast_slots_in_use", meaning, registry=registry)
        throttled = Counter("holdfast_throttled_calls", "Calls that failed with THROTTLED.", registry=registry)
        self.count_throttled: Callable[[], None] = throttled.inc
        registry.register(self)

    def show_slots(self, in_use: Callable[[], int]) -> None:
        """Have each scrape ask how many slots are in use."""
        self._slots.set_function(in_use)

    def observer(self, service: str, method: str) -> Callable[[str, float], None]:
        """The function that counts the calls of one method."""
        return self._tallies.setdefault((service, method), _Tally()).observe

    def collect(self) -> Iterable[Metric]:
        """Runs on the page's thread: a call that ends meanwhile may be in one metric and not yet in the other."""
        calls = CounterMetricFamily("holdfast_rpc_calls", "Calls completed.", labels=["service", "method", "code"])
        durations = HistogramMetricFamily(
            "holdfast_rpc_duration_seconds", "Time that a call spent in the server.", labels=["service", "method"]
        )
        for names, tally in list(self._tallies.items()):
            for code, count in tally.by_code.copy().items():
                calls.add_metric([*names, code], count)
            bounds = [*map(floatToGoString, LATENCY_S), "+Inf"]
            durations.add_metric(names, list(zip(bounds, accumulate(tally.by_latency), strict=True)), tally.seconds)
        return calls, durations


class TokenMetrics:
    """Calls refused for their token, by what is wrong with it."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._refused = Counter(
            "holdfast_tokens_refused", "Calls refused for their token, by problem.", ["problem"], registry=registry
        )
        for problem in (*Problem, "revoked"):
            self._refused.labels(problem)

    def count_refused(self, problem: str) -> None:
        """Count one call."""
        self._refused.labels(problem).inc()


class StockMetrics:
    """Results of Reserve and ChangeReservation, script calls, and Redis' memory."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.count_reserve = _Outcomes("holdfast_reserve_outcomes", "Reserve requests, by outcome.", registry).count
        self.count_change = _Outcomes(
            "holdfast_change_outcomes", "ChangeReservation requests, by outcome.", registry
        ).count
        sizes = Histogram(
            "holdfast_batch_size", "Requests in a script call.", ["kind"], buckets=BATCH, registry=registry
        )
        seconds = Histogram(
            "holdfast_script_duration_seconds",
            "Time that a script call took.",
            ["kind"],
            buckets=LATENCY_S,
            registry=registry,
        )
        memory = Gauge(
            "holdfast_redis_memory_used_ratio", "Share of Redis' maxmemory in use; 0: no maxmemory.", registry=registry
        )
        self.show_memory: Callable[[float], None] = memory.set
        self._sizes = {kind: sizes.labels(kind).observe for kind in CALL_KINDS}
        self._seconds = {kind: seconds.labels(kind).observe for kind in CALL_KINDS}

    def observe_call(self, kind: str, requests: int, seconds: float) -> None:
        self._sizes[kind](requests)
        self._seconds[kind](seconds)


class FileMetrics:
    """Files that are read again when they change, and the certificates in them."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._ok = Gauge(
            "holdfast_files_ok",
            "1: what the files say is in use; 0: they cannot be used, and what they said before is.",
            ["files"],
            registry=registry,
        )
        self._expiry = Gauge(
            "holdfast_certificate_expiry_seconds",
            "Moment at which the first certificate of the file expires, in seconds since 1970.",
            ["certificate"],
            registry=registry,
        )

    def show_ok(self, files: str, ok: bool) -> None:
        """Set whether files can be used."""
        self._ok.labels(files).set(ok)

    def show_expiry(self, certificate: str, moment: Callable[[], float]) -> None:
        """Have each scrape ask when a certificate expires, in seconds since 1970."""
        self._expiry.labels(certificate).set_function(moment)


class WatchMetrics:
    """Watches of sales and reservations."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._open = Gauge("holdfast_watches_open", "Watches open, of at most 10000.", registry=registry)
        sent = Counter("holdfast_watch_messages", "Messages and ends sent to watches.", registry=registry)
        self.count_messages: Callable[[float], None] = sent.inc

    def show_open(self, count: Callable[[], int]) -> None:
        """Have each scrape ask how many watches are open."""
        self._open.set_function(count)


class RevocationMetrics:
    """Revoked tokens that this server refuses, and how old its knowledge of them is."""

    def __init__(self, registry: CollectorRegistry) -> None:
        meaning = "Revocations that this server knows: a token, or the tokens of a subject before a moment."
        self._known = Gauge("holdfast_revocations", meaning, registry=registry)
        self._age = Gauge(
            "holdfast_revocations_age_seconds",
            "Time since the revocations were last read from a store; until the first time, since the start.",
            ["store"],
            registry=registry,
        )
        self.read_table = self._reads_of("ledger")
        self.read_stream = self._reads_of("redis")

    def show_known(self, count: Callable[[], int]) -> None:
        """Have each scrape ask how many there are."""
        self._known.set_function(count)

    def _reads_of(self, store: str) -> Callable[[], None]:
        """What notes a read of this store."""
        read_at = [monotonic()]
        self._age.labels(store).set_function(lambda: monotonic() - read_at[0])

        def note() -> None:
            read_at[0] = monotonic()

        return note


class _Outcomes(Collector):
    """Counts what requests for units were answered with, in plain numbers as `_Tally` does."""

    def __init__(self, name: str, meaning: str, registry: CollectorRegistry) -> None:
        self._name = name
        self._meaning = meaning
        self._counts = dict.fromkeys(("granted", "replayed", *map(_outcome, RejectionReason.values())), 0)
        self._by_reason = {reason: _outcome(reason) for reason in RejectionReason.values()}
        registry.register(self)

    def count(self, result: PlainHold | Granted | Rejected) -> None:
        """Count one request."""
        if isinstance(result, PlainHold):
            outcome = "granted"
        elif result.replayed:
            outcome = "replayed"
        else:
            outcome = "granted" if isinstance(result, Granted) else self._by_reason[result.reason]
        self._counts[outcome] += 1

    def collect(self) -> Iterable[Metric]:
        """Runs on the page's thread."""
        family = CounterMetricFamily(self._name, self._meaning, labels=["outcome"])
        for outcome, count in self._counts.items():
            family.add_metric([outcome], count)
        return [family]


def _outcome(reason: int) -> str:
    return RejectionReason.Name(RejectionReason.ValueType(reason)).removeprefix("REJECTION_REASON_").lower()


class BreakerMetrics:
    """The circuit breaker before Redis."""

    def __init__(self, registry: CollectorRegistry, breaker: CircuitBreaker) -> None:
        self._breaker = breaker
        self._open = Gauge(
            "holdfast_redis_breaker_open", "1: the circuit breaker before Redis is open; 0: closed.", registry=registry
        )
        self._openings = Counter(
            "holdfast_redis_breaker_openings", "Times that the circuit breaker opened.", registry=registry
        )

    def changed(self) -> None:
        """It has opened or closed."""
        self._open.set(self._breaker.is_open)
        self._openings.inc(self._breaker.is_open)


class LostCommitMetrics:
    """Commits that this server observed and that are lost, by shard, from 0 on, so that an increase is seen."""

    def __init__(self, registry: CollectorRegistry, shards: int) -> None:
        self._lost = Counter(
            "holdfast_acknowledged_and_lost_commits",
            "Commits that this server observed and that a take-over did not find.",
            ["shard"],
            registry=registry,
        )
        for shard in range(shards):
            self._lost.labels(str(shard))

    def count(self, shard: int, commits: int) -> None:
        self._lost.labels(str(shard)).inc(commits)


class RelayMetrics:
    """Backlog, holds and drift of each shard."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def gauge(name: str, meaning: str) -> Gauge:
            return Gauge(name, meaning, ["shard"], registry=registry)

        self._serving = gauge(
            "holdfast_shard_serving", "1: the shard serves calls; 0: it waits for a take-over or is frozen."
        )
        self._sends = gauge(
            "holdfast_relay_lease_held",
            "1: this relay has the lease and publishes the shard's commits; 0: it is standby.",
        )
        self._outbox = gauge("holdfast_outbox_commits", "Commits in the outbox.")
        self._unsent = gauge("holdfast_relay_lag_commits", "Commits that Kafka has not confirmed.")
        self._unsent_s = gauge("holdfast_relay_lag_seconds", "Age of the oldest commit that Kafka has not confirmed.")
        self._holds = gauge("holdfast_holds_open", "Holds that are open.")
        self._overdue = gauge(
            "holdfast_holds_overdue", "Holds that are overdue or released, and whose units are not back yet."
        )
        self._drift = gauge("holdfast_audit_drift_items", "Items whose units differ between Redis and the ledger.")
        self._compared = gauge(
            "holdfast_audit_last_run_timestamp_seconds",
            "Time of the last comparison of the shard's items, in seconds since 1970.",
        )
        self._parts = gauge(
            "holdfast_shard_load_parts",
            "Parts that a load of the shard from the ledger has written; 0: none is under way.",
        )
        self._unledgered_s = gauge(
            "holdfast_ledger_lag_seconds", "Age of the oldest commit that the ledger has not reported."
        )
        self._ahead_s = gauge(
            "holdfast_shard_time_ahead_seconds", "How far the time of the last commit is ahead of Redis' clock."
        )

    def show(self, shard: int, backlog: Backlog) -> None:
        """Set the gauges of a shard's backlog."""
        name = str(shard)
        self._serving.labels(name).set(backlog.serving)
        self._sends.labels(name).set(backlog.sends)
        self._outbox.labels(name).set(backlog.outbox)
        if backlog.sends:
            self._unsent.labels(name).set(backlog.unsent)
            self._unsent_s.labels(name).set(backlog.unsent_s)
        else:
            for known_to_lease_holder in (self._unsent, self._unsent_s, self._holds, self._overdue):
                known_to_lease_holder.remove(name)
        self._unledgered_s.labels(name).set(backlog.unledgered_s)
        self._ahead_s.labels(name).set(backlog.ahead_s)
        self._parts.labels(name).set(backlog.parts)

    def show_drift(self, shard: int, items: int, time_s: float) -> None:
        """Set the number of items that differ between Redis and the ledger, and the time of the comparison."""
        self._drift.labels(str(shard)).set(items)
        self._compared.labels(str(shard)).set(time_s)

    def show_holds(self, shard: int, holds: HoldCounts) -> None:
        """Set the gauges of a shard's holds."""
        self._holds.labels(str(shard)).set(holds.open)
        self._overdue.labels(str(shard)).set(holds.overdue)


class ServerCheckMetrics:
    """Results of the server checks; a setting that a server does not report is not exported."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._ok = Gauge(
            "holdfast_server_check_ok",
            "1: the promise that depends on the setting is kept; 0: it is not.",
            ["server", "setting"],
            registry=registry,
        )

        self._exported: dict[str, set[str]] = {}  # settings by server

    def show(self, server: str, results: Sequence[CheckResult]) -> None:
        """Set the gauges of one server, and remove those of settings that it no longer reports."""
        known = [result for result in results if result.level is not Level.UNKNOWN]
        for result in known:
            self._ok.labels(server, result.setting).set(result.level is not Level.FAIL)
        before, self._exported[server] = self._exported.get(server, set()), {result.setting for result in known}
        for setting in before - self._exported[server]:
            self._ok.remove(server, setting)


class CompensationMetrics:
    """Compensations by outcome."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._compensations = Counter(
            "holdfast_compensations", "Compensations, by outcome.", ["outcome"], registry=registry
        )

    def count(self, outcome: str) -> None:
        """Count one compensation."""
        self._compensations.labels(outcome).inc()
