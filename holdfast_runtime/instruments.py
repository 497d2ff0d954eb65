"""Serves the metrics and the health of a long-running process."""

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
    """A process' registry of metrics, and the outages that its loops wait out."""

    registry: CollectorRegistry
    outages: Outages

    def retrier(self, transient: type[Exception] = TransientError) -> Retrier:
        return Retrier(self.outages, transient)


def serve_instruments(settings: SharedSettings, required: Sequence[Dependency]) -> Instruments:
    """Serve /metrics and /healthz unless switched off; `BadSettings` if the address cannot be used.

    `required` are the servers without which the process cannot do its work.
    """
    registry = new_registry()
    outages = Outages(registry)
    if settings.metrics_listen:
        try:
            url = serve_page(settings.metrics_listen, registry, Health(required, outages))
        except OSError as error:
            problem = f"cannot listen on {settings.metrics_listen}: {error.strerror or error}"
            raise BadSettings(f"HOLDFAST_METRICS_LISTEN: {problem}") from error
        log.info("metrics_served", url=url)
    return Instruments(registry, outages)
