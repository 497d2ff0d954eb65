"""What the persister counts."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

COMMITS = (1, 2, 5, 10, 20, 50, 100, 200, 500)


class LedgerMetrics:
    """What the ledger took, refused and put aside."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def counter(name: str, meaning: str, *labels: str) -> Counter:
            return Counter(name, meaning, labels, registry=registry)

        def gauge(name: str, meaning: str) -> Gauge:
            return Gauge(name, meaning, ["shard"], registry=registry)

        def histogram(name: str, meaning: str, buckets: tuple[float, ...] = Histogram.DEFAULT_BUCKETS) -> Histogram:
            return Histogram(name, meaning, buckets=buckets, registry=registry)

        self.commits = counter("holdfast_ledger_commits_total", "Commits by what became of them", "outcome")
        self.changes = counter("holdfast_ledger_changes_total", "Reservation changes that the ledger has taken")
        self.refused = counter("holdfast_ledger_refused_orders_total", "Orders refused for good", "reason")
        self.gaps = counter("holdfast_ledger_gaps_total", "Deliveries that began beyond the watermark")
        self.set_aside = counter("holdfast_ledger_quarantined_total", "Records and commits put aside as bytes", "why")
        self.frozen = gauge("holdfast_ledger_frozen", "1 while the ledger takes nothing of the shard")
        self.age_s = gauge("holdfast_ledger_applied_age_seconds", "Age of a shard's last commit when it was applied")
        self.apply_s = histogram(
            "holdfast_ledger_apply_duration_seconds", "Time that one transaction of the ledger took"
        )
        self.apply_commits = histogram("holdfast_ledger_apply_batch_commits", "Commits in one transaction", COMMITS)


class PublishMetrics:
    """What was told on Kafka, and what is owed."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.facts = Counter(
            "holdfast_ledger_facts_published_total", "Facts that Kafka has confirmed", registry=registry
        )
        self.compensations = Counter(
            "holdfast_ledger_compensations_published_total", "Orders to give back, repeats included", registry=registry
        )
        self.open_compensations = Gauge(
            "holdfast_ledger_compensations_open", "Refused orders that still hold units", ["shard"], registry=registry
        )
