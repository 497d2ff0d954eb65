"""The metrics of a server take whatever it shows."""

import pytest
from holdfast.inventory.v1.reservation_pb2 import RejectionReason
from prometheus_client import CollectorRegistry

from inventory_service import metrics
from inventory_service.domain.keys import Position
from inventory_service.domain.results import Rejected
from inventory_service.metrics import RevocationMetrics, StockMetrics
from inventory_service.service.batcher import CALL_KINDS


def test_every_kind_of_script_call_is_measured() -> None:
    """One that is not known to the metrics would end its calls with an unknown outcome."""
    registry = CollectorRegistry()
    metrics = StockMetrics(registry)

    for kind in CALL_KINDS:
        metrics.observe_call(kind, 1, 0.01)

    counted = [registry.get_sample_value("holdfast_batch_size_count", {"kind": kind}) for kind in CALL_KINDS]
    assert counted == [1.0] * len(CALL_KINDS)


def test_reserves_and_changes_are_counted_by_outcome() -> None:
    """Apart from each other, and a rejection by its reason: its status is OK."""
    registry = CollectorRegistry()
    metrics = StockMetrics(registry)
    blocked = Rejected(RejectionReason.REJECTION_REASON_BUYER_BLOCKED, Position(0, 1, 1, 0), 0)

    metrics.count_change(blocked)
    metrics.count_change(blocked._replace(replayed=True))
    metrics.count_reserve(blocked)

    counted = {
        (name, outcome): registry.get_sample_value(f"holdfast_{name}_outcomes_total", {"outcome": outcome})
        for name in ("reserve", "change")
        for outcome in ("buyer_blocked", "replayed")
    }
    assert counted == {
        ("reserve", "buyer_blocked"): 1.0,
        ("reserve", "replayed"): 0.0,
        ("change", "buyer_blocked"): 1.0,
        ("change", "replayed"): 1.0,
    }


def test_the_age_of_revocations_falls_when_a_store_was_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """By store: one that is away shows, beside the other that is read."""
    now_s = 100.0
    monkeypatch.setattr(metrics, "monotonic", lambda: now_s)
    registry = CollectorRegistry()
    revocations = RevocationMetrics(registry)
    revocations.show_known(lambda: 3)

    now_s += 5
    revocations.read_stream()
    now_s += 1

    ages = [
        registry.get_sample_value("holdfast_revocations_age_seconds", {"store": store}) for store in ("redis", "ledger")
    ]
    assert ages == [1.0, 6.0]
    assert registry.get_sample_value("holdfast_revocations") == 3.0
