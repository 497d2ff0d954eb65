"""Makes the consumer rejoin its group after an error that aiokafka does not expect.

aiokafka keeps such an error until records are fetched through its public method, which raises it, and rejoins only
then. Faust fetches through private ones: without this, the process would stay without partitions until it is restarted.
"""

import asyncio
import os
from typing import Any

import faust
import structlog
from aiokafka.errors import KafkaError

CHECK_INTERVAL_S = 1.0  # it need not grow: each attempt to join takes at least as long

log = structlog.get_logger()


async def rejoin_after_errors(app: faust.App) -> None:
    """Runs beside the app until it is cancelled; started before the app, whose start waits for the group."""
    while True:
        await asyncio.sleep(CHECK_INTERVAL_S)
        consumer: Any = app._consumer
        if consumer is not None and consumer._thread._consumer is not None:  # Faust's, and aiokafka's in its thread
            loop, coordinator = consumer._thread.thread_loop, consumer._thread._consumer._coordinator
            loop.call_soon_threadsafe(surface_error, coordinator)


def surface_error(coordinator: Any) -> None:
    """Raise and log the error that keeps the consumer from joining, if any; it then rejoins. In its own thread."""
    try:
        coordinator.check_errors()
    except KafkaError as error:
        log.warning("server_unavailable", server="Kafka", why=f"{type(error).__name__}: {error}")
        if coordinator._coordination_task.done():
            log.error("unhandled_exception", why="the consumer has left its group")
            os._exit(1)
