"""Builds the circuit breaker between a server and its Redis, with its log, its metrics and its word to the probe."""

import asyncio
from collections.abc import Callable
from functools import partial
from time import monotonic
from typing import NamedTuple

import structlog
from prometheus_client import CollectorRegistry

from inventory_service.adapters.redis.breaker import RedisBreaker
from inventory_service.adapters.redis.connections import RedisConnections, Renewal
from inventory_service.adapters.redis.connectors import connector_to
from inventory_service.adapters.redis.probe import probe_serving
from inventory_service.domain.circuit_breaker import CircuitBreaker
from inventory_service.metrics import BreakerMetrics

MakePool = Callable[[int], RedisConnections]  # of so many
log = structlog.get_logger()


class StoreBreaker(NamedTuple):
    """The breaker as the parts of a server see it."""

    breaker: CircuitBreaker  # whether it is open
    redis: RedisBreaker
    pools: MakePool  # of connections, which have this breaker and are renewed together
    changed: asyncio.Event  # it has opened or closed, and the store is to be probed for the health service


def store_breaker(redis_url: str, registry: CollectorRegistry) -> StoreBreaker:
    """The breaker of one Redis."""
    breaker, connector = CircuitBreaker(), connector_to(redis_url)
    redis = RedisBreaker(breaker, partial(probe_serving, connector))
    renewal, changed = Renewal(), asyncio.Event()
    breaker.on_change += [_Log(breaker).changed, BreakerMetrics(registry, breaker).changed, changed.set]
    return StoreBreaker(breaker, redis, lambda size: RedisConnections(connector, size, renewal, redis), changed)


class _Log:
    """Logs each opening and each closing once."""

    def __init__(self, breaker: CircuitBreaker) -> None:
        self._breaker = breaker
        self._opened = 0.0

    def changed(self) -> None:
        if self._breaker.is_open:
            self._opened = monotonic()
            log.warning("redis_breaker_opened", why=self._breaker.why)
        else:
            log.info("redis_breaker_closed", after_s=round(monotonic() - self._opened, 3))
