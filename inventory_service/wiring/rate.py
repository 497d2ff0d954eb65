"""Builds the rate that each caller of a server may call at."""

from inventory_service.metrics import CallMetrics
from inventory_service.rpc.rate import CallerRate
from inventory_service.service.rate_limit import RateLimit
from inventory_service.settings import Settings


def caller_rate(settings: Settings, call_metrics: CallMetrics) -> CallerRate | None:
    """The rate of each caller; None: there is no limit."""
    if not settings.rate_per_s:
        return None
    limit = RateLimit(settings.rate_per_s, settings.rate_burst or max(1.0, settings.rate_per_s))
    return CallerRate(limit, call_metrics.count_throttled)
