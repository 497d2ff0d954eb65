"""The persister's metrics."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

COMMIT_BUCKETS = (1, 2, 5, 10, 20, 50, 100, 200, 500)


class LedgerMetrics:
    """What the ledger applied, refused and quarantined."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def counter(name: str, meaning: str, *labels: str) -> Counter:
            return Counter(name, meaning, labels, registry=registry)

        def gauge(name: str, meaning: str) -> Gauge:
            return Gauge(name, meaning, ["shard"], registry=registry)

        def histogram(name: str, meaning: str, buckets: tuple[float, ...] = Histogram.DEFAULT_BUCKETS) -> Histogram:
            return Histogram(name, meaning, buckets=buckets, registry=registry)

        self.commits = counter(
            "holdfast_ledger_commits_total", "Commits, by outcome: applied, repeated or orphaned", "outcome"
        )
        self.changes = counter("holdfast_ledger_changes_total", "Changes of reservations that were applied")
        self.refused = counter("holdfast_ledger_refused_orders_total", "Orders that the ledger refused", "reason")
        self.gaps = counter(
            "holdfast_ledger_gaps_total", "Deliveries with a gap above the watermark, each followed by a resend request"
        )
        self.quarantined = counter(
            "holdfast_ledger_quarantined_total",
            "Records and commits that could not be applied, their bytes kept",
            "reason",
        )
        self.frozen = gauge("holdfast_ledger_frozen", "1 while the shard is frozen in the ledger")
        self.age_s = gauge("holdfast_ledger_applied_age_seconds", "Age of a shard's last commit when it was applied")
        self.apply_s = histogram("holdfast_ledger_apply_duration_seconds", "Duration of one transaction of the ledger")
        self.apply_commits = histogram(
            "holdfast_ledger_apply_batch_commits", "Commits in one transaction", COMMIT_BUCKETS
        )


class PublishMetrics:
    """What was published to Kafka, and which compensations are open."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.facts = Counter(
            "holdfast_ledger_facts_published_total", "Facts that Kafka has confirmed", registry=registry
        )
        self.compensations = Counter(
            "holdfast_ledger_compensations_published_total",
            "Compensations that Kafka has confirmed, repeats included",
            registry=registry,
        )
        self._open = Gauge(
            "holdfast_ledger_compensations_open", "Refused orders that still have units", ["shard"], registry=registry
        )
        self._stalled = Gauge(
            "holdfast_ledger_compensations_stalled",
            "Refused orders whose compensation was sent ten times or more, and that still have units",
            ["shard"],
            registry=registry,
        )

    def show_compensations(self, shard: int, open_: int, stalled: int) -> None:
        """Set the gauges of a shard's refused orders that still have units."""
        self._open.labels(str(shard)).set(open_)
        self._stalled.labels(str(shard)).set(stalled)
