"""What a process that stays shows of itself: metrics, and whether it can do its work."""

from collections.abc import Sequence
from dataclasses import dataclass

import structlog
from prometheus_client import CollectorRegistry

from holdfast_runtime.connection_errors import TransientError
from holdfast_runtime.health import Health
from holdfast_runtime.metrics_page import new_registry, serve_page
from holdfast_runtime.retry import Outages, Retrier
from holdfast_runtime.settings import BadSettings, SharedSettings
from holdfast_runtime.start_check import Dependency

log = structlog.get_logger()


@dataclass(frozen=True)
class Instruments:
    """A process' registry of metrics, and the outages that its loops wait for."""

    registry: CollectorRegistry
    outages: Outages

    def retrier(self, transient: type[Exception] = TransientError) -> Retrier:
        return Retrier(self.outages, transient)


def show_instruments(settings: SharedSettings, needs: Sequence[Dependency]) -> Instruments:
    """Serve /metrics and /healthz if a page is wanted; BadSettings if its address cannot be had.

    `needs` are the servers without which the process cannot do its work.
    """
    registry = new_registry()
    outages = Outages(registry)
    if settings.metrics_listen:
        try:
            url = serve_page(settings.metrics_listen, registry, Health(needs, outages))
        except OSError as error:
            problem = f"cannot listen on {settings.metrics_listen}: {error.strerror or error}"
            raise BadSettings(f"HOLDFAST_METRICS_LISTEN: {problem}") from error
        log.info("metrics", url=url)
    return Instruments(registry, outages)
