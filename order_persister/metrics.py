"""What the persister counts, for its /metrics page."""

from prometheus_client import Counter, Gauge, Histogram, start_http_server

COMMITS = Counter("holdfast_ledger_commits_total", "Commits by what became of them", ["outcome"])
CHANGES = Counter("holdfast_ledger_changes_total", "Reservation changes that the ledger has taken")
REFUSED = Counter("holdfast_ledger_refused_orders_total", "Orders that the ledger refused for good", ["reason"])
APPLY_SECONDS = Histogram("holdfast_ledger_apply_seconds", "Time that one transaction of the ledger took")
APPLY_COMMITS = Histogram(
    "holdfast_ledger_apply_commits", "Commits in one transaction", buckets=(1, 2, 5, 10, 20, 50, 100, 200, 500)
)
LAG_SECONDS = Gauge(
    "holdfast_ledger_applied_age_seconds", "Age of the last commit of a shard when it was applied", ["shard"]
)
FROZEN = Gauge("holdfast_ledger_frozen", "1 while the ledger takes nothing of the shard", ["shard"])
GAPS = Counter("holdfast_ledger_gaps_total", "Deliveries that began beyond the watermark")
SET_ASIDE = Counter("holdfast_ledger_set_aside_total", "Records and commits put aside with their bytes", ["why"])
WAITS = Counter("holdfast_ledger_waits_total", "Attempts that failed in passing and were made again", ["on"])
FACTS = Counter("holdfast_ledger_facts_total", "Facts that Kafka has confirmed")
COMPENSATIONS = Counter("holdfast_ledger_compensations_sent_total", "Orders to give back, repeats included")
OPEN_COMPENSATIONS = Gauge("holdfast_ledger_compensations_open", "Refused orders that still hold units", ["shard"])


def serve_metrics(address: str) -> int:
    """Serve /metrics at host:port and return the port; 0 in the address lets the kernel choose."""
    host, _, port = address.rpartition(":")
    server, _ = start_http_server(int(port), host.strip("[]"))
    return int(server.server_port)
