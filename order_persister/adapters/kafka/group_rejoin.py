"""Makes the consumer rejoin its group after an error that aiokafka does not expect, and ends one that fetches no more.

aiokafka keeps such an error until records are fetched through its public method, which raises it, and rejoins only
then. Faust fetches through private ones: without this, the process would stay without partitions until it is restarted.
"""

import asyncio
import os
from typing import Any

import faust
import structlog
from aiokafka.errors import KafkaError

from holdfast_runtime.kafka import raise_fetch_error

CHECK_INTERVAL_S = 1.0  # it need not grow: each attempt to join takes at least as long

log = structlog.get_logger()


async def rejoin_after_errors(app: faust.App) -> None:
    """Runs beside the app until it is cancelled; started before the app, whose start waits for the group."""
    while True:
        await asyncio.sleep(CHECK_INTERVAL_S)
        consumer: Any = app._consumer
        if consumer is not None and consumer._thread._consumer is not None:  # Faust's, and aiokafka's in its thread
            consumer._thread.thread_loop.call_soon_threadsafe(surface_errors, consumer._thread._consumer)


def surface_errors(consumer: Any) -> None:
    """Raise and log the error that keeps the consumer from joining, if any; it then rejoins. In its own thread.

    The process ends if the consumer cannot go on.
    """
    if consumer._coordinator is None:  # it connects
        return
    try:
        consumer._coordinator.check_errors()
    except KafkaError as error:
        log.warning("server_unavailable", server="Kafka", why=f"{type(error).__name__}: {error}")
        if consumer._coordinator._coordination_task.done():
            _exit("the consumer has left its group")
    try:
        raise_fetch_error(consumer)
    except KafkaError as error:
        _exit(f"the consumer has stopped fetching: {error}")


def _exit(why: str) -> None:
    log.error("unhandled_exception", why=why)
    os._exit(1)
