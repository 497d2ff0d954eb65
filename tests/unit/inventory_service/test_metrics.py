"""The metrics of a server take whatever it shows."""

from prometheus_client import CollectorRegistry

from inventory_service.metrics import StockMetrics
from inventory_service.service.batcher import CALL_KINDS


def test_every_kind_of_script_call_is_measured() -> None:
    """One that is not known to the metrics would end its calls with an unknown outcome."""
    registry = CollectorRegistry()
    metrics = StockMetrics(registry)

    for kind in CALL_KINDS:
        metrics.observe_call(kind, 1, 0.01)

    counted = [registry.get_sample_value("holdfast_batch_size_count", {"kind": kind}) for kind in CALL_KINDS]
    assert counted == [1.0] * len(CALL_KINDS)
