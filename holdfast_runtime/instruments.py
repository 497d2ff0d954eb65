"""Serves the metrics and the health of a long-running process."""

from collections.abc import Sequence
from dataclasses import dataclass

import structlog
from prometheus_client import CollectorRegistry

from holdfast_runtime.connection_errors import TransientError
from holdfast_runtime.health import Health
from holdfast_runtime.metrics_page import HealthSource, new_registry, serve_page
from holdfast_runtime.retry import Outages, Retrier
from holdfast_runtime.settings import BadSettings, SharedSettings
from holdfast_runtime.start_check import Dependency

log = structlog.get_logger()


@dataclass(frozen=True)
class Instruments:
    """A process' registry of metrics, the outages that its loops wait out, and the page that serves both."""

    registry: CollectorRegistry
    outages: Outages
    metrics_url: str = ""  # empty: there is no page

    def retrier(self, transient: type[Exception] = TransientError) -> Retrier:
        return Retrier(self.outages, transient)


def serve_instruments(settings: SharedSettings, required: Sequence[Dependency]) -> Instruments:
    """Serve /metrics and /healthz unless switched off; `BadSettings` if the address cannot be used.

    `required` are the servers without which the process cannot do its work.
    """
    registry = new_registry()
    outages = Outages(registry)
    return Instruments(registry, outages, publish(settings.metrics_listen, registry, Health(required, outages)))


def publish(listen: str, registry: CollectorRegistry, health: HealthSource) -> str:
    """Serve /metrics and /healthz there, and return the URL of /metrics; '' if `listen` is empty.

    `BadSettings` if the address cannot be used.
    """
    if not listen:
        return ""
    try:
        url = serve_page(listen, registry, health)
    except OSError as error:
        problem = f"cannot listen on {listen}: {error.strerror or error}"
        raise BadSettings(f"HOLDFAST_METRICS_LISTEN: {problem}") from error
    log.info("metrics_served", url=url)
    return url
